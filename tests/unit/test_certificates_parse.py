from pathlib import Path

import pytest

from hil.element.certificates import asn1
from hil.element.certificates.anchors import Origin, microchip_anchors, origin_of
from hil.element.certificates.certificate import key_identifier, load, load_all, pem
from hil.errors import CertificateError

TRUST = Path(__file__).parents[2] / "rigs" / "trust"
SHA256 = {
    line.split("|")[1].strip(" `"): line.split("|")[5].strip(" `")
    for line in (TRUST / "README.md").read_text().splitlines()
    if line.startswith("| `") and "csr" not in line
}


@pytest.mark.parametrize("file", sorted(SHA256))
def test_every_published_certificate_is_read_whole(file: str) -> None:
    certificate = load((TRUST / file).read_bytes())
    assert certificate.fingerprint == SHA256[file]
    assert certificate.version == 3
    assert certificate.not_before < certificate.not_after
    assert len(certificate.point) == 64
    assert certificate.subject_key_id in (None, key_identifier(b"\x04" + certificate.point))
    assert certificate.extensions


def test_all_published_certificates_are_listed_with_their_fingerprint() -> None:
    assert set(SHA256) == {path.name for path in TRUST.glob("*.pem") if "csr" not in path.name}


def test_a_device_certificate_with_an_underscore_in_a_printable_string_gives_up_its_extensions() -> None:
    certificate = load((TRUST / "device-template-atecc608b-tngtls.pem").read_bytes())
    assert b"eui48_6827194AB0BD" in certificate.extensions[0].value
    constraints = certificate.basic_constraints
    assert constraints is not None
    assert not constraints.ca
    assert certificate.key_usage == frozenset({0, 4})


def test_the_signer_states_what_it_may_do() -> None:
    certificate = load((TRUST / "crypto-authentication-signer-2c10.pem").read_bytes())
    constraints = certificate.basic_constraints
    assert constraints is not None
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert certificate.key_usage == frozenset({0, 5, 6})
    assert certificate.validity == ("20181214200000Z", "20491214200000Z")


def test_microchip_roots_are_recognised_by_their_fingerprint() -> None:
    assert [a.origin for a in microchip_anchors()] == [Origin.MICROCHIP] * 2
    root = microchip_anchors()[0].certificate
    last = root.der[-1] ^ 1
    assert origin_of(load(root.der[:-1] + bytes((last,)))) is Origin.OTHER


def test_pem_and_der_and_several_in_one_file() -> None:
    root, other = (a.certificate for a in microchip_anchors())
    assert load(pem(root.der).encode()) == root == load(root.der)
    assert load_all((pem(root.der) + "text between\n" + pem(other.der)).encode()) == [root, other]
    assert pem(root.der) == (TRUST / "crypto-authentication-root-ca-002.pem").read_text()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        b"0\x00",
        asn1.sequence(asn1.sequence(), asn1.sequence(), asn1.bit_string(b"")),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError):
        load(data)


@pytest.mark.parametrize(
    ("path", "content", "field", "says"),
    [
        ((0, 4, 0), b"1812142000Z", "not_before", "no date"),
        ((0, 4, 1), b"20490230200000Z", "not_after", "no date of the calendar"),
        ((0, 4, 1), b"20491214200000+0100", "not_after", "no date"),
        ((0, 7, 0, 0, 2), bytes.fromhex("03020700"), "key_usage", "allows nothing"),
        ((0, 7, 0, 1, 2), bytes.fromhex("3003020100"), "basic_constraints", "non-CA"),
        ((0, 7, 0, 1, 2), bytes.fromhex("30060101ff0201ff"), "basic_constraints", "path length of -1"),
        ((0, 7, 0, 2, 1), b"\x05\x00", "subject_key_id", "tag 0x05"),
    ],
)
def test_a_field_that_cannot_be_read_says_so_and_hides_no_other(
    path: asn1.Path, content: bytes, field: str, says: str
) -> None:
    signer = (TRUST / "crypto-authentication-signer-2c10.pem").read_bytes()
    damaged = load(asn1.rewrite(load(signer).der, {path: content}))
    with pytest.raises(CertificateError, match=says):
        getattr(damaged, field)
    assert damaged.subject.get("CN") == "Crypto Authentication Signer 2C10"
    assert len(damaged.point) == 64
