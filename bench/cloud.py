"""The cloud side: many devices on the served endpoint, thousands of manifest entries in one run.

Each part runs in a process of its own: the first wants the second core for the clients, the second is
about its peak of memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure
from hil.clock import WallClock, wall_us

if TYPE_CHECKING:
    from hil.cloud.session import CloudSession

ROOT = Path(__file__).parent.parent
DEVICES = 500
CONNECTS = 400
ENTRIES = 5_000
DAMAGED_EVERY = 50


def measure() -> list[Figure]:
    load = _part("load")
    manifest = _part("manifest")
    return [
        Figure("devices connected at once", load["connected"], "", DEVICES, at_least=True),
        Figure("good devices that were refused", load["refused"], "", 0),
        Figure(
            "connects a minute beside them", load["per_minute"], "", 1_000, at_least=True,
            note=f"{CONNECTS} in a row, median {load['median_ms']:.1f} ms",
        ),
        Figure(
            "manifest entries registered in one run", manifest["registered"], "", manifest["good"],
            at_least=True, note=f"of {ENTRIES}, the others damaged; {manifest['seconds']:.0f} s",
        ),
        Figure("damaged entries named", manifest["bad"], "", ENTRIES - manifest["good"], at_least=True),
        Figure("peak of memory", manifest["peak_mb"], "MB", 600),
        Figure(
            "of it per entry, moto's copy included", manifest["per_entry_kb"], "kB", 40,
            note="between the 500th entry and the last",
        ),
        Figure("a registered entry / the calls it needs by themselves", manifest["ratio"], "×", 2.5),
    ]  # fmt: skip


def _part(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cloud", name], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


# -- devices ------------------------------------------------------------------------------------


def load() -> dict[str, Any]:
    """500 devices with a certificate each stay connected; meanwhile others come and go."""
    import statistics

    from bench.cloud_devices import Fleet
    from hil.clock import Calendar
    from hil.cloud.local.endpoint import Endpoint
    from hil.cloud.local.pki import ServerPki
    from hil.cloud.local.serving import ServedEndpoint

    fleet = Fleet(DEVICES)
    host = "bench-ats.iot.us-east-1.amazonaws.com"
    pki = ServerPki(host, Calendar(), names=("localhost",))
    root = pki.root("ec")

    def make() -> Endpoint:
        return Endpoint(
            fleet.registry, pki, account="123456789012", region="us-east-1", host=host, names=("localhost",)
        )

    with ServedEndpoint(make) as served:
        fleet.connect_all(served.port, root)
        connected = sum(log.verdict == "accepted" and log.closed_us is None for log in served.endpoint.logs)
        start = wall_us()
        times = fleet.come_and_go(CONNECTS)
        minutes = (wall_us() - start) / 60e6
        refused = sum(log.verdict == "refused" for log in served.endpoint.logs)
        fleet.close()
    return {
        "connected": connected,
        "refused": refused,
        "per_minute": CONNECTS / minutes,
        "median_ms": statistics.median(times) / 1000,
    }


# -- manifest -----------------------------------------------------------------------------------


def manifest() -> dict[str, Any]:
    """Write a manifest, then judge and register it; memory is watched from the 500th entry on."""
    from bench.cloud_devices import write_manifest
    from hil.clock import Calendar
    from hil.cloud.bulk import register_all
    from hil.cloud.devicepolicy import device_policy
    from hil.cloud.ledger import Ledger
    from hil.cloud.manifestcheck import candidates, judge_manifest
    from hil.cloud.registration import Registrar
    from hil.cloud.session import CloudSession
    from hil.element.certificates.certificate import load as load_certificate
    from hil.emulator.factory import synthetic_anchor
    from hil.rigfile import Cloud

    seen: list[int] = []
    memory: list[int] = []

    def progress(_: object) -> None:
        seen.append(1)
        if len(seen) in (500, ENTRIES):
            memory.append(_resident_kb())

    with tempfile.TemporaryDirectory() as name, CloudSession(Cloud()) as session:
        folder = Path(name)
        signer = load_certificate(write_manifest(folder / "manifest.json", ENTRIES, DAMAGED_EVERY))
        registrar = Registrar(session, Ledger(folder / "ledger.jsonl"))
        policy = registrar.ensure_policy("p", device_policy(session.account_id, session.region))
        reports = judge_manifest(
            (folder / "manifest.json").read_bytes(),
            signer,
            at=Calendar().time(),
            anchors=[synthetic_anchor()],
        )
        start = wall_us()
        report = register_all(
            registrar,
            candidates(reports),
            policy=policy,
            clock=WallClock(),
            record=folder / "fates.jsonl",
            progress=progress,
        )
        took = wall_us() - start
        bare = _bare_calls(session, 100)
    good = ENTRIES - ENTRIES // DAMAGED_EVERY
    return {
        "good": good,
        "registered": report.counts["registered"],
        "bad": report.counts["bad"],
        "seconds": took / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "per_entry_kb": (memory[1] - memory[0]) / (ENTRIES - 500),
        "ratio": took / good / bare,
    }


def _bare_calls(session: CloudSession, count: int) -> float:
    """Time of the six calls that a device takes, in us."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.cloud.ownca import OwnCa

    iot, ca = session.iot, OwnCa("bench")
    texts = [
        ca.issue(f"bare-{n}", ec.generate_private_key(ec.SECP256R1()).public_key()) for n in range(count)
    ]
    start = wall_us()
    for number, text in enumerate(texts):
        arn = iot.register_certificate_without_ca(certificatePem=text, status="INACTIVE")["certificateArn"]
        name = f"hil-bare-{number}"
        iot.create_thing(thingName=name)
        iot.describe_thing(thingName=name)
        iot.attach_policy(policyName="hil-p", target=arn)
        iot.attach_thing_principal(thingName=name, principal=arn)
        iot.update_certificate(certificateId=arn.rpartition("/")[2], newStatus="ACTIVE")
    return (wall_us() - start) / count


def _resident_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps({"load": load, "manifest": manifest}[sys.argv[1]]()))
