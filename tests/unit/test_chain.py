from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hil.element.certificates import asn1
from hil.element.certificates.anchors import Origin
from hil.element.certificates.certificate import Certificate, load, pem
from hil.element.certificates.chain import ChainReport, Rule, verify_chain, verify_path
from hil.element.certificates.compressed import Dates
from hil.element.certificates.selfsigned import sign_again
from hil.emulator.factory import FactoryCa, FactoryKey, seeded_scalar, synthetic_anchor
from hil.errors import CertificateError

TRUST = Path(__file__).parents[2] / "rigs" / "trust"
AT = 1_750_000_000.0
SERIAL = bytes.fromhex("0123e07e0000063501")
CA = FactoryCa()
KEY = FactoryKey.from_scalar(seeded_scalar("test", "device"))
ANCHORS = [synthetic_anchor(CA)]


def published(name: str) -> bytes:
    return (TRUST / f"{name}.pem").read_bytes()


def device(**options: object) -> bytes:
    return CA.device(SERIAL, KEY.public_key(), eui48="02E07E000635", **options)[1]  # type: ignore[arg-type]


def judge(
    leaf: bytes | None = None,
    signer: bytes | None = None,
    root: bytes | None = None,
    *,
    at: float = AT,
    slot_key: bytes | None = None,
) -> ChainReport:
    return verify_chain(
        device() if leaf is None else leaf,
        CA.signer().certificate if signer is None else signer,
        CA.root if root is None else root,
        at=at,
        slot_key=KEY.public_key() if slot_key is None else slot_key,
        anchors=ANCHORS,
    )


def broken(report: ChainReport) -> set[tuple[str, Rule]]:
    return {(role, verdict.rule) for role, verdict in report.refusals}


@pytest.mark.parametrize(
    ("leaf", "signer"),
    [
        ("device-template-atecc608a-mah4i", "crypto-authentication-signer-2c10"),
        ("device-atecc608a-mah1h", "atecc-1h-signer-218b"),
    ],
)
def test_both_published_chains_are_good_and_end_in_a_genuine_root(leaf: str, signer: str) -> None:
    key = load(published(leaf)).point
    report = verify_chain(published(leaf), published(signer), at=AT, slot_key=key)
    assert report.ok, str(report)
    assert report.origin is Origin.MICROCHIP
    report.require()


def test_a_synthetic_chain_is_good_and_labelled_so() -> None:
    report = judge()
    assert report.ok, str(report)
    assert report.origin is Origin.SYNTHETIC
    assert "root: synthetic (emulated parts)" in str(report)
    assert "key usage: digitalSignature, keyAgreement" in str(report)


def test_a_synthetic_chain_is_refused_where_a_genuine_root_is_asked_for() -> None:
    report = verify_chain(device(), CA.signer().certificate, CA.root, at=AT)
    assert broken(report) == {("root", Rule.ANCHOR)}


def test_a_missing_root_is_named() -> None:
    report = verify_chain(device(), CA.signer().certificate, at=AT)
    assert ("signer", Rule.ANCHOR) in broken(report)
    assert "no accepted root is called O = Microchip Technology Inc, OU = SYNTHETIC" in str(report)


def test_a_report_names_every_broken_rule_when_it_is_required_to_be_good() -> None:
    with pytest.raises(CertificateError, match=r"device: key of the slot: .*another key"):
        judge(slot_key=bytes(64)).require()


def resigned(path: asn1.Path, content: bytes, *, signer: bool = False) -> bytes:
    """The device's (or signer's) certificate with one place changed, signed again by its issuer."""
    draft = asn1.rewrite(CA.signer().certificate if signer else device(), {path: content})
    return sign_again(draft, CA._key if signer else CA.signer().key)


def serial_for(dates: Dates) -> bytes:
    return load(device(dates=dates)).serial


NO_CA = bytes.fromhex("3000")
FOREIGN = FactoryCa("test: another factory")

CASES: list[tuple[str, Callable[[], ChainReport], set[tuple[str, Rule]]]] = [
    ("wrong slot key", lambda: judge(slot_key=bytes(64)), {("device", Rule.LEAF_KEY)}),
    ("expired", lambda: judge(at=2_530_000_000), {("device", Rule.VALIDITY)}),
    ("not yet valid", lambda: judge(at=1_600_000_000), {("device", Rule.VALIDITY)}),
    (
        "swapped signer",
        lambda: judge(signer=CA.signer("2B00").certificate),
        {("device", Rule.SIGNATURE), ("device", Rule.ISSUER_NAME), ("device", Rule.KEY_IDENTIFIERS)},
    ),
    (
        "foreign signer of the same name",
        lambda: judge(signer=FOREIGN.signer().certificate),
        {
            ("device", Rule.SIGNATURE),
            ("device", Rule.KEY_IDENTIFIERS),
            ("signer", Rule.SIGNATURE),
            ("signer", Rule.KEY_IDENTIFIERS),
        },
    ),
    (
        "foreign root of the same name",
        lambda: judge(root=FOREIGN.root),
        {("signer", Rule.SIGNATURE), ("signer", Rule.KEY_IDENTIFIERS), ("root", Rule.ANCHOR)},
    ),
    (
        "another root that is genuine",
        lambda: judge(root=published("crypto-authentication-root-ca-002")),
        {
            ("signer", Rule.SIGNATURE),
            ("signer", Rule.ISSUER_NAME),
            ("signer", Rule.KEY_IDENTIFIERS),
            ("root", Rule.ANCHOR),
        },
    ),
    (
        "signature byte",
        lambda: judge(device()[:-1] + bytes((device()[-1] ^ 1,))),
        {("device", Rule.SIGNATURE)},
    ),
    (
        "serial number",
        lambda: judge(resigned((0, 1), b"\x40" + bytes(15))),
        {("device", Rule.SERIAL_NUMBER)},
    ),
    (
        "signer is no CA",
        lambda: judge(signer=resigned((0, 7, 0, 1, 2), NO_CA, signer=True)),
        {("signer", Rule.CA)},
    ),
    (
        "signer may not sign certificates",
        lambda: judge(signer=resigned((0, 7, 0, 0, 2), bytes.fromhex("03020780"), signer=True)),
        {("signer", Rule.KEY_USAGE)},
    ),
    (
        "own key identifier",
        lambda: judge(resigned((0, 7, 0, 3, 1), b"\x04\x14" + bytes(20))),
        {("device", Rule.KEY_IDENTIFIERS)},
    ),
    (
        "authority key identifier",
        lambda: judge(resigned((0, 7, 0, 4, 1), b"\x30\x16\x80\x14" + bytes(20))),
        {("device", Rule.KEY_IDENTIFIERS)},
    ),
    (
        "unknown critical extension",
        lambda: judge(resigned((0, 7, 0, 1, 0), bytes.fromhex("551d63"))),
        {("device", Rule.EXTENSIONS)},
    ),
    (
        "alternative name of an unknown form",
        lambda: judge(resigned((0, 7, 0, 0, 1), bytes.fromhex("30028f00"))),
        {("device", Rule.EXTENSIONS)},
    ),
    (
        "a date that is none",
        lambda: judge(resigned((0, 4, 1), b"20490631220000Z")),
        {("device", Rule.VALIDITY), ("device", Rule.SERIAL_NUMBER)},
    ),
    (
        "outer algorithm",
        lambda: judge(asn1.rewrite(device(), {(1, 0): bytes.fromhex("2a8648ce3d040303")})),
        {("device", Rule.SIGNATURE)},
    ),
    (
        "unused bits in the signature",
        lambda: judge(asn1.rewrite(device(), {(2,): b"\x01" + load(device()).signature})),
        {("device", Rule.SIGNATURE)},
    ),
    ("a byte too many", lambda: judge(device() + b"\x00"), {("device", Rule.ENCODING)}),
    ("not a certificate", lambda: judge(b"0\x00"), {("device", Rule.ENCODING)}),
]


@pytest.mark.parametrize(("case", "expected"), [(c, e) for _, c, e in CASES], ids=[n for n, _, _ in CASES])
def test_each_defect_breaks_exactly_its_own_rules(
    case: Callable[[], ChainReport], expected: set[tuple[str, Rule]]
) -> None:
    report = case()
    assert broken(report) == expected, str(report)
    assert all(verdict.reason for _, verdict in report.refusals)


def test_a_signer_that_nobody_can_read_spoils_the_device_too() -> None:
    report = judge(signer=b"0\x00")
    assert ("signer", Rule.ENCODING) in broken(report)
    assert ("device", Rule.SIGNATURE) in broken(report)


@pytest.mark.parametrize("position", range(0, 547, 7))
def test_a_tampered_byte_anywhere_is_refused(position: int) -> None:
    good = device()
    tampered = good[:position] + bytes((good[position] ^ 0x20,)) + good[position + 1 :]
    assert not judge(tampered).ok


def test_a_path_longer_than_its_ca_allows_is_refused() -> None:
    ca = Certificate(CA.signer().certificate)
    report = verify_path([device(), ca, ca, CA.root], at=AT, anchors=ANCHORS)
    assert ("certificate 2", Rule.CA) in broken(report)


def test_the_serial_number_rule_is_not_asked_of_other_roots() -> None:
    other = replace(ANCHORS[0], origin=Origin.OTHER)
    root = asn1.rewrite(CA.root, {(0, 1): b"\x01"})
    root = asn1.rewrite(root, {(0, 5, 1, 0, 1): b"X", (0, 3, 1, 0, 1): b"X"})
    report = verify_chain(device(), CA.signer().certificate, root, at=AT, anchors=[other])
    verdicts = {v.rule: v.ok for v in report.links[0].verdicts}
    assert verdicts[Rule.SERIAL_NUMBER] is None
    assert report.origin is Origin.OTHER


def test_pem_der_and_loaded_certificates_are_judged_alike() -> None:
    as_pem = judge(pem(device()).encode(), pem(CA.signer().certificate).encode(), pem(CA.root).encode())
    assert str(as_pem) == str(judge())
