"""A manifest of the element in the rig: written, judged, and registered in bulk."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hil.cloud.bulk import register_all
from hil.cloud.manifest import encode_manifest, sign_entry
from hil.cloud.manifestcheck import Check, candidates, judge_manifest
from hil.cloud.manifestwrite import live_record
from hil.element.certificates.certificate import load
from hil.element.certificates.selfsigned import self_signed
from hil.rig.oneshot import element_facts
from hil.tls.software import SoftwareKey

if TYPE_CHECKING:
    from pathlib import Path

    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig

pytestmark = pytest.mark.needs("cloud", "certificates", "pubkey", element="trust")


class Manifest:
    """One good entry and its damaged copies, under a signer of the test's own."""

    def __init__(self, rig: Rig) -> None:
        key = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
        signer = self_signed(key, "O=hil,CN=hil test manifest signer", at=rig.calendar.time() - 60)
        facts = element_facts(rig)
        self.serial = str(facts["serial"])
        self.signer = load(signer)
        record = live_record(
            rig,
            bytes.fromhex(self.serial),
            part=str(facts["part"]),
            address=rig.file.element.address,
            chain=rig.delivered_chain(),
            slots=(),
        )
        self.good: dict[str, Any] = sign_entry(record, signer, key)

    def damaged(self) -> dict[Check, dict[str, Any]]:
        """For each check an entry that breaks it."""
        good = self.good
        signature = bytearray(_unpadded(good["signature"]))
        signature[10] ^= 1
        protected = json.loads(_unpadded(good["protected"])) | {"kid": "c29tZWJvZHkgZWxzZQ"}
        return {
            Check.SIGNER: good | {"protected": _padless(json.dumps(protected).encode())},
            Check.SIGNATURE: good | {"signature": _padless(bytes(signature))},
            Check.UNIQUE_ID: good | {"header": {"uniqueId": "0123e07e00000000ee"}},
            Check.FORM: {"payload": good["payload"]},
        }


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _padless(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def manifest(rig: Rig) -> Manifest:
    """The manifest of the element in the rig."""
    return Manifest(rig)


@pytest.mark.req("HIL-CLOUD-020")
def test_the_manifest_of_the_live_element_is_good(rig: Rig, manifest: Manifest) -> None:
    (report,) = judge_manifest(
        encode_manifest([manifest.good]), manifest.signer, at=rig.calendar.time(), anchors=rig.anchors()
    )
    assert report.ok, report.problem
    assert report.identity == manifest.serial
    assert len(report.certificates) == 2


@pytest.mark.req("HIL-CLOUD-020")
@pytest.mark.parametrize("check", [Check.FORM, Check.SIGNER, Check.SIGNATURE, Check.UNIQUE_ID])
def test_each_damage_is_refused_by_its_own_check(rig: Rig, manifest: Manifest, check: Check) -> None:
    (report,) = judge_manifest(
        encode_manifest([manifest.damaged()[check]]),
        manifest.signer,
        at=rig.calendar.time(),
        anchors=rig.anchors(),
    )
    broken = {finding.check for finding in report.findings if finding.ok is False}
    assert check in broken
    # A changed header changes what is signed as well.
    assert broken - {check} <= ({Check.SIGNATURE} if check is Check.SIGNER else set()), report.problem


@pytest.mark.req("HIL-CLOUD-021")
def test_bulk_registration_takes_the_good_and_names_the_bad(
    rig: Rig, cloud: RigCloud, manifest: Manifest, tmp_path: Path
) -> None:
    """A bad entry neither stops nor hides the others; a second run keeps what is done."""
    entries = [*manifest.damaged().values(), manifest.good]
    policy, record = cloud.ensure_policy(), tmp_path / "fates.jsonl"

    def run() -> dict[str, int]:
        reports = judge_manifest(
            encode_manifest(entries), manifest.signer, at=rig.calendar.time(), anchors=rig.anchors()
        )
        report = register_all(
            cloud.registrar, candidates(reports), policy=policy, clock=rig.clock, record=record
        )
        assert report.exit_code == 16
        assert all(fate.reason for fate in report.problems)
        return dict(report.counts)

    assert run() == {"registered": 1, "bad": 4}
    assert run() == {"kept": 1, "bad": 4}
    thing = cloud.session.name(manifest.serial)
    assert cloud.session.iot.list_thing_principals(thingName=thing)["principals"]
