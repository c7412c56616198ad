import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hil.element.certificates import asn1
from hil.element.certificates.certificate import load
from hil.element.certificates.selfsigned import (
    check_self_signed,
    self_signed,
    sign_again,
    signing_request,
    subject_name,
)
from hil.errors import CertificateError, UsageError
from hil.tls.software import SoftwareKey, point_of

ACME = "C=IE,L=Dublin,O=ACME Ltd,OU=Testing,CN=test.acme.com"
AT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
TEST_KEY = SoftwareKey(ec.derive_private_key(0x1234, ec.SECP256R1()))
OTHER_KEY = SoftwareKey(ec.derive_private_key(0x5678, ec.SECP256R1()))


class DigestsOnly:
    """A key that takes digests and nothing else, as the element does."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []

    def public_key(self) -> bytes:
        return TEST_KEY.public_key()

    def sign_digest(self, digest: bytes) -> bytes:
        self.digests.append(digest)
        return TEST_KEY.sign_digest(digest)


def test_a_self_signed_certificate_carries_the_keys_public_half_and_verifies() -> None:
    certificate = self_signed(TEST_KEY, ACME, at=AT, dns_names=["test.acme.com"])
    loaded = load(certificate)
    assert str(loaded.subject) == "C = IE, L = Dublin, O = ACME Ltd, OU = Testing, CN = test.acme.com"
    assert loaded.issuer == loaded.subject
    check_self_signed(certificate, TEST_KEY.public_key(), at=AT)
    generic = x509.load_der_x509_certificate(certificate)
    generic.verify_directly_issued_by(generic)
    names = generic.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["test.acme.com"]
    assert (loaded.not_before, loaded.not_after) == (AT, AT + 365 * 86400)


def test_the_key_signs_the_digest_of_the_body_and_nothing_else() -> None:
    key = DigestsOnly()
    certificate = load(self_signed(key, ACME, at=AT))
    assert key.digests == [hashlib.sha256(certificate.body).digest()]


def test_the_same_input_gives_the_same_body() -> None:
    bodies = {load(self_signed(TEST_KEY, ACME, at=AT)).body for _ in range(2)}
    assert len(bodies) == 1
    assert load(self_signed(TEST_KEY, ACME, at=AT + 1)).serial not in {
        load(self_signed(TEST_KEY, ACME, at=AT)).serial
    }


def test_a_request_carries_the_key_and_verifies() -> None:
    request = x509.load_der_x509_csr(signing_request(TEST_KEY, ACME))
    assert request.is_signature_valid
    key = request.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert point_of(key) == TEST_KEY.public_key()
    assert request.subject == subject_name(ACME)


def test_openssl_form_of_a_subject() -> None:
    assert subject_name("/C=IE/O=ACME Ltd/CN=x") == subject_name("C=IE, O=ACME Ltd, CN=x")


@pytest.mark.parametrize("text", ["", "CN", "CN=", "XX=1", "C=Ireland", "CN=a,,O=b"])
def test_a_subject_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        subject_name(text)


@pytest.mark.parametrize(
    ("certificate", "at", "says"),
    [
        (self_signed(OTHER_KEY, ACME, at=AT), AT, "another key"),
        (self_signed(TEST_KEY, ACME, at=AT, days=1), AT + 86401, "not valid"),
        (self_signed(TEST_KEY, ACME, at=AT), AT - 1, "not valid"),
        (sign_again(self_signed(TEST_KEY, ACME, at=AT), OTHER_KEY), AT, "does not verify"),
    ],
)
def test_each_defect_of_a_self_signed_certificate_has_its_reason(
    certificate: bytes, at: float, says: str
) -> None:
    with pytest.raises(CertificateError, match=says):
        check_self_signed(certificate, TEST_KEY.public_key(), at=at)


def test_a_certificate_issued_by_somebody_else_is_not_self_signed() -> None:
    mine = self_signed(TEST_KEY, ACME, at=AT)
    other = load(self_signed(TEST_KEY, "CN=other", at=AT)).subject.raw
    renamed = asn1.rewrite(mine, {(0, 3): asn1.parse(other).content})
    with pytest.raises(CertificateError, match="not by its subject"):
        check_self_signed(renamed, TEST_KEY.public_key(), at=AT)
