import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil.element.certificates import asn1
from hil.element.certificates.certificate import Certificate, load
from hil.element.certificates.compressed import Compressed, Dates, SerialSource
from hil.element.certificates.templates import Template
from hil.element.certificates.trustgo import DEVICE_TEMPLATES, SIGNER, padded_key, unpadded_key
from hil.errors import CertificateError

TRUST = Path(__file__).parents[2] / "rigs" / "trust"


def published(name: str) -> Certificate:
    return load((TRUST / f"{name}.pem").read_bytes())


ROOT = published("crypto-authentication-root-ca-002")
SIGNER_2C10 = published("crypto-authentication-signer-2c10")
MAH4I = published("device-template-atecc608a-mah4i")
TNGTLS = published("device-template-atecc608b-tngtls")
MAH1H = published("device-atecc608a-mah1h")
SIGNER_218B = published("atecc-1h-signer-218b")


def test_the_published_signer_is_rebuilt_byte_for_byte_from_72_bytes_and_its_key() -> None:
    stored = SIGNER.compress(SIGNER_2C10.der).encode()
    assert len(stored) == 72
    again = SIGNER.rebuild(Compressed.decode(stored), public_key=SIGNER_2C10.point, authority_key=ROOT.point)
    assert again == SIGNER_2C10.der


def test_the_published_trustflex_device_is_rebuilt_byte_for_byte() -> None:
    template = DEVICE_TEMPLATES[4]
    again = template.rebuild(
        Compressed.decode(template.compress(MAH4I.der).encode()),
        public_key=MAH4I.point,
        authority_key=SIGNER_2C10.point,
        element_serial=bytes.fromhex("01232b4e0931d16901"),
    )
    assert again == MAH4I.der


def test_the_published_trust_and_go_device_is_reproduced_by_its_template() -> None:
    compressed = DEVICE_TEMPLATES[3].compress(TNGTLS.der)  # compares every byte, the signer's key id apart
    assert compressed.signer_id.hex() == "2700"
    assert compressed.dates == Dates(2020, 2, 2, 15, 28)


@pytest.mark.parametrize(("number", "size"), [(2, 504), (3, 546), (4, 500)])
def test_sizes_of_the_device_templates(number: int, size: int) -> None:
    assert len(DEVICE_TEMPLATES[number].sample) == size


def test_a_template_of_ones_own_from_a_sample_certificate() -> None:
    template = Template.from_certificate(
        (TRUST / "device-atecc608a-mah1h.pem").read_bytes(), name="MAH1H", number=5
    )
    compressed = template.compress(MAH1H.der)
    assert compressed.dates.expire_years == 0
    again = template.rebuild(compressed, public_key=MAH1H.point, authority_key=SIGNER_218B.point)
    assert again == MAH1H.der


def test_leading_bytes_of_the_signature_change_every_enclosing_length() -> None:
    template = DEVICE_TEMPLATES[4]
    compressed = template.compress(MAH4I.der)
    sizes = set()
    for r in (b"\x80" + b"\x01" * 31, b"\x01" * 32, bytes(3) + b"\x01" * 29):
        rebuilt = template.rebuild(
            replace(compressed, signature=r + b"\x01" * 32),
            public_key=MAH4I.point,
            authority_key=SIGNER_2C10.point,
            element_serial=bytes.fromhex("01232b4e0931d16901"),
        )
        assert asn1.parse(rebuilt).raw == rebuilt
        sizes.add(len(rebuilt))
    assert sizes == {501, 500, 497}


@pytest.mark.parametrize("seed", range(50))
def test_what_is_rebuilt_compresses_to_the_same_bytes(seed: int) -> None:
    rng = random.Random(seed)
    template = rng.choice([SIGNER, *DEVICE_TEMPLATES.values()])
    dates = Dates(
        rng.randint(2000, 2031),
        rng.randint(1, 12),
        rng.randint(1, 28),
        rng.randint(0, 23),
        rng.randint(0, 31),
    )
    signature = bytes(rng.choice((0, 0x7F, 0x80, 0xFF)) for _ in range(64))
    compressed = Compressed(signature, dates, rng.randbytes(2), template.number, 0, SerialSource.KEY_HASH)
    rebuilt = template.rebuild(
        compressed,
        public_key=MAH4I.point,
        authority_key=ROOT.point,
        element_serial=rng.randbytes(9),
        eui48=rng.randbytes(6).hex().upper(),
    )
    assert template.compress(rebuilt) == compressed
    assert load(rebuilt).validity == (dates.issued, dates.expires())


@pytest.mark.parametrize("changes", [{"template": 2}, {"chain": 1}, {"serial_source": SerialSource.STORED}])
def test_a_compressed_certificate_of_another_template_is_refused(changes: dict[str, Any]) -> None:
    compressed = replace(SIGNER.compress(SIGNER_2C10.der), **changes)
    with pytest.raises(CertificateError, match="the compressed certificate is of template"):
        SIGNER.rebuild(compressed, public_key=SIGNER_2C10.point, authority_key=ROOT.point)


def test_what_a_template_needs_must_be_given() -> None:
    template = DEVICE_TEMPLATES[3]
    compressed = template.compress(TNGTLS.der)
    with pytest.raises(CertificateError, match="needs the EUI-48"):
        template.rebuild(
            compressed, public_key=TNGTLS.point, authority_key=ROOT.point, element_serial=bytes(9)
        )
    with pytest.raises(CertificateError, match="needs the element serial number"):
        template.rebuild(compressed, public_key=TNGTLS.point, authority_key=ROOT.point, eui48="0" * 12)


def test_a_certificate_that_leaves_the_template_is_not_compressed() -> None:
    with pytest.raises(CertificateError, match="leaves Crypto Authentication Signer at byte"):
        SIGNER.compress(asn1.rewrite(SIGNER_2C10.der, {(0, 7, 0, 0, 2): bytes.fromhex("03020106")}))
    with pytest.raises(CertificateError, match="stands where"):
        SIGNER.compress(SIGNER_218B.der)
    odd_minutes = asn1.rewrite(SIGNER_2C10.der, {(0, 4, 0): b"181214200100Z"})
    with pytest.raises(CertificateError, match="cannot be compressed"):
        SIGNER.compress(odd_minutes)


def test_a_root_is_no_template_because_it_has_no_signer_id() -> None:
    with pytest.raises(CertificateError, match="no common name that ends in a signer id"):
        Template.from_certificate(ROOT.der, name="root", number=1)


def test_a_stored_public_key_is_padded_and_its_validity_nibble_ignored() -> None:
    padded = padded_key(ROOT.point)
    assert len(padded) == 72
    assert unpadded_key(b"\x50" + padded[1:]) == ROOT.point
    with pytest.raises(CertificateError):
        unpadded_key(padded[:71])
