import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hil.cloud.manifest import (
    ElementRecord,
    Entry,
    element_record,
    encode_manifest,
    read_manifest,
    sign_entry,
)
from hil.cloud.manifestcheck import Check, EntryReport, candidates, judge_entry, judge_manifest
from hil.element.certificates.certificate import load, pem
from hil.element.certificates.selfsigned import self_signed
from hil.element.certificates.trustgo import TrustChain
from hil.emulator.factory import FactoryCa, FactoryKey, seeded_scalar, synthetic_anchor
from hil.errors import CertificateError, UsageError

AT = 1_750_000_000.0
SERIAL = bytes.fromhex("0123e07e0000063501")
CA = FactoryCa()
ANCHORS = [synthetic_anchor(CA)]
TEST_KEY = FactoryKey.from_scalar(seeded_scalar("test", "manifest signer"))
SIGNER = self_signed(TEST_KEY, "O=Test,CN=test manifest signer", at=AT)
SLOTS = {
    slot: FactoryKey.from_scalar(seeded_scalar("test", f"slot {slot}")).public_key() for slot in range(5)
}


def chain(serial: bytes = SERIAL, ca: FactoryCa = CA, key: bytes = SLOTS[0]) -> TrustChain:
    eui48 = f"02E07E{serial[5:8].hex().upper()}"
    return TrustChain(ca.device(serial, key, eui48=eui48)[1], ca.signer().certificate, ca.root)


def entry(version: int = 1, **changes: Any) -> dict[str, Any]:
    record = element_record(SERIAL, SLOTS, chain(), version=version)
    return sign_entry(_changed(record, changes), SIGNER, TEST_KEY)


def _changed(record: ElementRecord, changes: dict[str, Any]) -> ElementRecord:
    return msgspec.structs.replace(record, **changes)


def judge(item: dict[str, Any], signer: bytes = SIGNER) -> EntryReport:
    (report,) = judge_manifest(encode_manifest([item]), load(signer), at=AT, anchors=ANCHORS)
    return report


def broken(report: EntryReport) -> set[Check]:
    return {finding.check for finding in report.findings if finding.ok is False}


def unpacked(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
    return decoded


def packed(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("version", "has_keys", "has_secrets"), [(1, True, True), (2, False, False), (3, True, False)]
)
def test_what_is_written_is_good_in_every_version(version: int, has_keys: bool, has_secrets: bool) -> None:
    item = entry(version)
    report = judge(item)
    assert report.ok, report.problem
    assert report.identity == SERIAL.hex()
    payload = unpacked(item["payload"])
    assert payload["version"] == version
    assert ("publicKeySet" in payload, "encryptedSecretKeySet" in payload) == (has_keys, has_secrets)
    verdicts = {finding.check: finding.ok for finding in report.findings}
    assert verdicts[Check.CHAIN] is (True if has_keys else None)


def test_version_1_says_what_the_edukit_tool_says() -> None:
    item = entry()
    payload, protected = unpacked(item["payload"]), unpacked(item["protected"])
    assert payload["model"] == "ATECC608A"
    assert payload["partNumber"] == "ATECC608A-TNGTLS"
    assert payload["provisioningTimestamp"] == "2021-06-09T22:00:00.000Z"
    assert payload["distributor"]["organizationalUnitName"] == "Microchip Direct"
    assert [key["kid"] for key in payload["publicKeySet"]["keys"]] == ["0", "1", "2", "3", "4"]
    assert [base64.b64decode(c) for c in payload["publicKeySet"]["keys"][0]["x5c"]] == [
        chain().device,
        chain().signer,
    ]
    assert set(protected) == {"typ", "alg", "kid", "x5t#S256"}
    assert protected["alg"] == "ES256"


def test_a_single_object_is_a_manifest_too() -> None:
    (read,) = read_manifest(json.dumps(entry()).encode())
    assert isinstance(read, Entry)
    assert read.record.unique_id == SERIAL.hex()


def test_the_misspelt_distributer_is_read() -> None:
    item = entry()
    payload = unpacked(item["payload"])
    payload["distributer"] = payload.pop("distributor")
    (read,) = read_manifest(json.dumps([item | {"payload": packed(payload)}]).encode())
    assert isinstance(read, Entry)
    assert read.record.distributor.organizational_unit_name == "Microchip Direct"


FOREIGN = FactoryCa("test: another factory")
OTHER_KEY = FactoryKey.from_scalar(seeded_scalar("test", "another manifest signer"))
OTHER_SIGNER = self_signed(OTHER_KEY, "O=Test,CN=test manifest signer", at=AT)


def with_protected(**changes: object) -> dict[str, Any]:
    item = entry()
    return item | {"protected": packed(unpacked(item["protected"]) | changes)}


def signed_with_algorithm(name: str) -> dict[str, Any]:
    """A good signature under a header that names another algorithm."""
    item = with_protected(alg=name)
    digest = hashlib.sha256(f"{item['protected']}.{item['payload']}".encode()).digest()
    signature = base64.urlsafe_b64encode(TEST_KEY.sign_digest(digest)).rstrip(b"=").decode()
    return item | {"signature": signature}


def signed_for(chain_: TrustChain, keys: dict[int, bytes]) -> dict[str, Any]:
    return sign_entry(element_record(SERIAL, keys, chain_), SIGNER, TEST_KEY)


DEFECTS: list[tuple[str, Callable[[], EntryReport], set[Check]]] = [
    ("another signer", lambda: judge(entry(), OTHER_SIGNER), {Check.SIGNER, Check.SIGNATURE}),
    ("kid", lambda: judge(with_protected(kid="AAAA")), {Check.SIGNER, Check.SIGNATURE}),
    ("x5t", lambda: judge(with_protected(**{"x5t#S256": "AAAA"})), {Check.SIGNER, Check.SIGNATURE}),
    ("no algorithm", lambda: judge(signed_with_algorithm("none")), {Check.SIGNATURE}),
    ("short signature", lambda: judge(entry() | {"signature": "AAAA"}), {Check.SIGNATURE}),
    (
        "tampered payload",
        lambda: judge(entry() | {"payload": entry(group_id="x")["payload"]}),
        {Check.SIGNATURE},
    ),
    ("header", lambda: judge(entry() | {"header": {"uniqueId": "0123000000000000ee"}}), {Check.UNIQUE_ID}),
    ("upper-case id", lambda: judge(entry(unique_id=SERIAL.hex().upper())), {Check.UNIQUE_ID}),
    ("another key in slot 0", lambda: judge(signed_for(chain(), {0: SLOTS[1]})), {Check.SLOT_KEY}),
    ("foreign root", lambda: judge(signed_for(chain(ca=FOREIGN), SLOTS)), {Check.CHAIN}),
    (
        "certificate of another element",
        lambda: judge(signed_for(chain(bytes.fromhex("0123e07e0000063601")), SLOTS)),
        {Check.CHAIN},
    ),
    (
        "no signer's certificate",
        lambda: judge(_without_signer()),
        {Check.CHAIN},
    ),
]


def _without_signer() -> dict[str, Any]:
    record = element_record(SERIAL, SLOTS, chain())
    assert record.public_key_set is not None
    first, *rest = record.public_key_set.keys
    keys = [msgspec.structs.replace(first, x5c=first.x5c[:1]), *rest]
    return sign_entry(
        _changed(record, {"public_key_set": type(record.public_key_set)(keys)}), SIGNER, TEST_KEY
    )


@pytest.mark.parametrize(
    ("case", "expected"), [(c, e) for _, c, e in DEFECTS], ids=[n for n, _, _ in DEFECTS]
)
def test_each_defect_breaks_exactly_its_own_checks(
    case: Callable[[], EntryReport], expected: set[Check]
) -> None:
    report = case()
    assert broken(report) == expected, report.problem
    assert not report.certificates


def test_a_bad_entry_neither_stops_nor_hides_the_others() -> None:
    bad = [{"payload": 1}, {}, entry() | {"payload": "!!"}, entry() | {"signature": "AAAA"}]
    reports = list(
        judge_manifest(encode_manifest([entry(), *bad, entry()]), load(SIGNER), at=AT, anchors=ANCHORS)
    )
    assert [report.ok for report in reports] == [True, False, False, False, False, True]
    assert reports[1].identity == "entry 1"
    found = list(candidates(iter(reports)))
    assert [c.pem is not None for c in found] == [True, False, False, False, False, True]
    assert found[0].pem == pem(chain().device) + pem(chain().signer)
    assert all(c.problem for c in found[1:5])


@pytest.mark.parametrize("data", [b"", b"null", b"[1,", b"\xff\xfe", b'"text"'])
def test_what_is_no_manifest_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(CertificateError, match="not a manifest"):
        read_manifest(data)


def test_the_same_signature_is_good_under_es256() -> None:
    assert judge(signed_with_algorithm("ES256")).ok


def test_critical_header_members_that_are_not_understood_are_refused() -> None:
    (read,) = read_manifest(encode_manifest([with_protected(crit=["b64"])]))
    assert isinstance(read, CertificateError)
    assert "critical" in read.message


def test_base64_must_be_canonical() -> None:
    item = entry()
    (read,) = read_manifest(encode_manifest([item | {"signature": item["signature"] + "="}]))
    assert isinstance(read, CertificateError)


def test_microchips_expired_log_signers_can_be_named() -> None:
    trust = Path(__file__).parents[2] / "rigs" / "trust"
    log_signer = load((trust / "log-signer-002.pem").read_bytes())
    (read,) = read_manifest(encode_manifest([entry()]))
    assert isinstance(read, Entry)
    report = judge_entry(read, log_signer, at=AT, anchors=ANCHORS)
    assert broken(report) == {Check.SIGNER, Check.SIGNATURE}
    assert "Log Signer 002" in report.problem


def test_a_synthetic_chain_is_refused_where_microchips_roots_are_asked_for() -> None:
    (read,) = read_manifest(encode_manifest([entry()]))
    assert isinstance(read, Entry)
    assert broken(judge_entry(replace(read), load(SIGNER), at=AT)) == {Check.CHAIN}


def test_wrong_use_is_refused_before_anything_is_signed() -> None:
    with pytest.raises(UsageError):
        element_record(SERIAL[:8], SLOTS)
    with pytest.raises(UsageError):
        element_record(SERIAL, SLOTS, version=4)
    with pytest.raises(UsageError):
        sign_entry(element_record(SERIAL, SLOTS), SIGNER, OTHER_KEY)
