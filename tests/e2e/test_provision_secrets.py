"""Everything that provisioning leaves behind, searched for keys and passwords in every spelling."""

from __future__ import annotations

import base64
import os
import re
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHIPPED = "emulated-esp8266-atecc508a"
SERIAL = "0123e07e00000508ee"
PATIENCE_S = 120
SECRETS = {
    "scalar": bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
    "KEK": bytes.fromhex("c3a5c85c97cb3127b0a1f3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60789"),
    "content of secret slot 5": b"the test's own shared secret, 36 b!!",
    "Wi-Fi password": b"a Wi-Fi password of the test",
    "password of the key file": b"a password for a test key",
}
"""Made for this test and used nowhere else."""


def spellings(secret: bytes) -> dict[str, bytes]:
    """How a secret could stand in a file; text is searched without blanks and separators as well."""
    found = {
        "raw": secret,
        "reversed": secret[::-1],
        "Python": repr(secret)[2:-1].encode(),
        "decimal": str(int.from_bytes(secret, "big")).encode(),
        "hex": secret.hex().encode(),
        "reversed hex": secret[::-1].hex().encode(),
        "list": ",".join(map(str, secret)).encode(),
    }
    for offset in range(3):  # wherever it begins within a longer base64 text
        first, last = -(-offset * 8 // 6), (offset + len(secret)) * 8 // 6
        text = base64.b64encode(bytes(offset) + secret)[first:last]
        found[f"base64 +{offset}"] = text
        found[f"URL base64 +{offset}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(content: bytes) -> list[str]:
    """Which secrets stand in a file, whole or by half, and how they are spelt."""
    tight = re.sub(rb"\\n|\s", b"", content)
    digits = re.sub(rb"0x|[^0-9a-f]", b"", content.lower())
    found = []
    for name, secret in SECRETS.items():
        half = len(secret) // 2
        for part in (secret[:half], secret[half:]):
            found += [
                f"{name} as {how}"
                for how, needle in spellings(part).items()
                if needle in content or needle in tight or ("hex" in how and needle in digits)
            ]
    return found


@pytest.mark.parametrize("name", SECRETS)
def test_the_search_finds_a_secret_wherever_it_stands(name: str) -> None:
    secret = SECRETS[name]
    for wrapped in (
        b"x" + secret + b"y",
        secret.hex(" ").upper().encode(),
        ", ".join(f"0x{byte:02x}" for byte in secret).encode(),
        str(list(secret)).encode(),
        f"got {secret!r}".encode(),
        base64.encodebytes(b"DER.." + secret + b"...").replace(b"\n", b"\\n"),
        base64.urlsafe_b64encode(b"+" + secret),
        secret[len(secret) // 2 :].hex().encode(),
    ):
        assert leaks(wrapped), wrapped
    assert not leaks(b"nothing to be found here: " + bytes(range(256)))


@dataclass
class Bench:
    """A folder with a rig, a plan and the secrets that they name; and what a run may write to."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("secrets", "part", "tmp", "home", "work"):
            (self.folder / name).mkdir()
        secrets = self.folder / "secrets"
        key = ec.derive_private_key(int.from_bytes(SECRETS["scalar"], "big"), ec.SECP256R1())
        password = SECRETS["password of the key file"]
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        (secrets / "mine.pem").write_bytes(pem)
        (secrets / "key.password").write_bytes(password + b"\n")
        (secrets / "kek.hex").write_text(SECRETS["KEK"].hex())
        (secrets / "slot5.bin").write_bytes(SECRETS["content of secret slot 5"])
        (secrets / "wifi.password").write_bytes(SECRETS["Wi-Fi password"])
        text = (ROOT / "rigs" / f"{SHIPPED}.yaml").read_text(encoding="utf-8").replace(SHIPPED, "vault")
        text = re.sub(r"  image: .*\n", "", text)
        text += "  state_file: part/part.json\n"
        text += "wifi: {ssid: workshop, password: {file: secrets/wifi.password}}\n"
        (self.folder / "vault.yaml").write_text(text, encoding="utf-8")
        (self.folder / "plan.yaml").write_text(
            "kek: {file: secrets/kek.hex}\n"
            "key: {file: secrets/mine.pem, password: {file: secrets/key.password}}\n"
            "certificate: {file: work/ecc.crt.pem}\n"
            "data: [{slot: 5, file: secrets/slot5.bin}]\n",
            encoding="utf-8",
        )

    def run(self, *command: str) -> tuple[int, bytes, set[bytes]]:
        """Run a program to its end: exit status, what it said, the arguments of it and its children."""
        environment = {
            **os.environ,
            "HIL_HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        said = b""
        arguments: set[bytes] = set()
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder / "work", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            while True:  # every time that it says something, its arguments are looked at
                arguments.update(arguments_of(process.pid))
                assert select.select([process.stdout], [], [], PATIENCE_S)[0], said
                block = os.read(process.stdout.fileno(), 1 << 16)
                if not block:
                    break
                said += block
        return process.returncode, said, arguments

    def hil(self, *arguments: str) -> tuple[int, bytes, set[bytes]]:
        return self.run("-c", "from hil.cli import main; main()", *arguments)

    def left_behind(self) -> dict[str, bytes]:
        """Every file but the secrets that were given and the part's own memory."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.relative_to(self.folder).parts[0] not in ("secrets", "part")
        }


def arguments_of(pid: int) -> Iterator[bytes]:
    """Arguments of a process and of all that it has started, as every user of the computer sees them."""
    waiting = [pid]
    while waiting:
        one = Path("/proc") / str(waiting.pop())
        try:
            yield (one / "cmdline").read_bytes()
            for task in (one / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            continue


FAILING = """
from pathlib import Path

import pytest

from hil.errors import DeviceError
from hil.provision.flow import preview, provision
from hil.provision.plan import load_plan

FOLDER = Path(__file__).parents[1]


@pytest.mark.needs("provision")
@pytest.mark.irreversible("lock-config", "lock-data", "write-private-key")
def test_provision_and_fail(rig, element):
    plan = load_plan(FOLDER / "plan.yaml")
    shown = preview(rig, plan)
    outcome = provision(rig, plan)
    config = rig.booted_board().config_get()
    print(shown, outcome, config)
    assert config["wifi"] == {}


@pytest.mark.needs("provision")
@pytest.mark.irreversible("write-private-key")
def test_refuse_and_fail(rig, element):
    plan = load_plan(FOLDER / "plan.yaml")
    from hil.provision import write_key
    from hil.provision.identity import identity_for

    identity = identity_for(plan, element.serial_number().hex(), now=rig.calendar.time())
    wrong = bytes(reversed(identity.kek))
    write_key(element, rig.guard, identity.scalar, wrong, slot=0)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="arguments are read from /proc")
def test_no_key_and_no_password_is_left_behind_by_a_whole_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rig, plan = str(tmp_path / "vault.yaml"), ("--plan", str(tmp_path / "plan.yaml"))
    said = {}
    code, said["dry run"], seen = bench.hil("provision", rig, *plan)
    assert code == 0, said["dry run"].decode()
    assert b"slot 5 block 0: <32 secret bytes>" in said["dry run"]
    code, said["run"], arguments = bench.hil("provision", rig, *plan, "--no-dry-run")
    assert code == 0, said["run"].decode()
    assert b"provisioned and verified" in said["run"]
    assert b"wifi.sta.pass=<redacted>" in said["run"]
    (tmp_path / "part" / "part.json").unlink()
    (tmp_path / "home" / "ledgers" / f"{SERIAL}.jsonl").unlink()
    (tmp_path / "work" / "test_it.py").write_text(FAILING, encoding="utf-8")
    code, said["session"], more = bench.run(
        "-m", "pytest", "test_it.py", "--rig", rig, "--runs", str(tmp_path / "work" / "runs"),
        "-rA", "--showlocals", "-vv", "-p", "no:cacheprovider",
    )  # fmt: skip
    assert code == 1, said["session"].decode()
    assert b"2 failed" in said["session"], said["session"].decode()
    left = bench.left_behind() | {f"terminal of the {name}": text for name, text in said.items()}
    names = {Path(name).name for name in left}
    assert {"journal.jsonl", "junit.xml", "report.html", f"{SERIAL}.jsonl", "ecc.crt.pem"} <= names
    arguments |= seen | more
    assert any(b"--no-dry-run" in line for line in arguments), "nobody looked at the arguments"
    left |= {f"arguments {number}": line for number, line in enumerate(arguments)}
    found = {name: leaks(content) for name, content in left.items()}
    assert {name: how for name, how in found.items() if how} == {}
