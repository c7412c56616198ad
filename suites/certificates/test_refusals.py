"""What has to be refused, each by its own rule: swapped, foreign, out of date, tampered, of another."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hil.element.certificates import asn1
from hil.element.certificates.certificate import load
from hil.element.certificates.chain import Rule, verify_chain
from hil.element.certificates.selfsigned import check_self_signed, self_signed, sign_again
from hil.element.certificates.trustgo import names_element
from hil.element.keys import ElementSigningKey
from hil.errors import CertificateError
from hil.rig.oneshot import element_facts
from hil.tls.software import SoftwareKey, point_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.element.certificates.anchors import Anchor
    from hil.element.certificates.certificate import Certificate
    from hil.element.device import Element
    from hil.rig.rig import Rig

Refusals = set[tuple[str, Rule]]

delivered = pytest.mark.needs("certificates", element="trust")


class Delivered:
    """The delivered chain, to be judged with one thing changed."""

    def __init__(self, rig: Rig) -> None:
        chain = rig.delivered_chain()
        self.device, self.signer, self.root = chain.device, chain.signer, chain.root
        self._at = rig.calendar.time()
        self._anchors = rig.anchors()

    def refusals(
        self,
        *,
        device: bytes | None = None,
        signer: bytes | None = None,
        root: bytes | None = None,
        at: float | None = None,
        slot_key: bytes | None = None,
        anchors: Sequence[Anchor] | None = None,
    ) -> Refusals:
        """The broken rules by link; empty for a good chain."""
        report = verify_chain(
            device or self.device,
            signer or self.signer,
            root or self.root,
            at=self._at if at is None else at,
            slot_key=slot_key,
            anchors=self._anchors if anchors is None else anchors,
        )
        return {(role, verdict.rule) for role, verdict in report.refusals}

    def with_link(self, link: str, der: bytes) -> Refusals:
        """The broken rules with another certificate in the place of the device's or the signer's."""
        return self.refusals(device=der) if link == "device" else self.refusals(signer=der)


@pytest.fixture
def chain(rig: Rig) -> Delivered:
    """The delivered chain; good as it is, so that each refusal has the one cause."""
    found = Delivered(rig)
    assert found.refusals() == set(), "the chain is refused before anything was changed"
    return found


def another_key() -> SoftwareKey:
    """A key that belongs to nobody here."""
    return SoftwareKey(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.req("HIL-CERT-010")
@delivered
def test_a_swapped_signer_is_refused(chain: Delivered) -> None:
    """A genuine signer of Microchip's, but not the one that signed this device's certificate."""
    published = files("hil.rigs") / "trust"
    others = [
        load((published / f"{name}.pem").read_bytes())
        for name in ("crypto-authentication-signer-2c10", "atecc-1h-signer-218b")
    ]
    other = next(signer for signer in others if signer.subject.raw != load(chain.signer).subject.raw)
    assert chain.refusals(signer=other.der) >= {("device", Rule.SIGNATURE), ("device", Rule.ISSUER_NAME)}


@pytest.mark.req("HIL-CERT-011")
@delivered
def test_a_foreign_root_is_refused_even_under_the_right_name(chain: Delivered) -> None:
    key = another_key()
    forged = sign_again(asn1.rewrite(chain.root, {(0, 6, 1): b"\x00\x04" + key.public_key()}), key)
    assert load(forged).subject.raw == load(chain.root).subject.raw
    assert chain.refusals(root=forged) >= {("signer", Rule.SIGNATURE), ("root", Rule.ANCHOR)}


@pytest.mark.req("HIL-CERT-011")
@delivered
def test_a_root_that_nobody_accepts_is_refused_by_that_alone(chain: Delivered) -> None:
    assert chain.refusals(anchors=()) == {("root", Rule.ANCHOR)}


@pytest.mark.req("HIL-CERT-012")
@delivered
@pytest.mark.parametrize("link", ["device", "signer"])
def test_an_expired_certificate_is_refused(chain: Delivered, link: str) -> None:
    end = load(getattr(chain, link)).not_after
    assert (link, Rule.VALIDITY) in chain.refusals(at=end + 1)
    assert (link, Rule.VALIDITY) not in chain.refusals(at=end)
    assert {rule for _, rule in chain.refusals(at=end + 1)} == {Rule.VALIDITY}


@pytest.mark.req("HIL-CERT-012")
@delivered
@pytest.mark.parametrize("link", ["device", "signer"])
def test_a_certificate_that_is_not_yet_valid_is_refused(chain: Delivered, link: str) -> None:
    begin = load(getattr(chain, link)).not_before
    assert (link, Rule.VALIDITY) in chain.refusals(at=begin - 1)
    assert (link, Rule.VALIDITY) not in chain.refusals(at=begin)
    assert {rule for _, rule in chain.refusals(at=begin - 1)} == {Rule.VALIDITY}


FIELDS: dict[str, tuple[asn1.Path, Rule]] = {
    "version": ((0, 0, 0), Rule.EXTENSIONS),
    "serial number": ((0, 1), Rule.SERIAL_NUMBER),
    "algorithm inside": ((0, 2, 0), Rule.SIGNATURE),
    "issuer": ((0, 3, 1, 0, 1), Rule.ISSUER_NAME),
    "not before": ((0, 4, 0), Rule.SIGNATURE),
    "not after": ((0, 4, 1), Rule.SIGNATURE),
    "subject": ((0, 5, 1, 0, 1), Rule.SIGNATURE),
    "key's curve": ((0, 6, 0, 1), Rule.SIGNATURE),
    "key": ((0, 6, 1), Rule.SERIAL_NUMBER),
    "algorithm outside": ((1, 0), Rule.SIGNATURE),
    "signature": ((2,), Rule.SIGNATURE),
}
"""Position class: where it stands, and the rule that a change there breaks (besides the signature)."""


def damaged(der: bytes, path: asn1.Path) -> bytes:
    """The certificate with the lowest bit of one field changed; a date's last digit before the Z."""
    node = asn1.parse(der)
    for index in path:
        node = node.children()[index]
    content = bytearray(node.content)
    content[-2 if node.tag in (asn1.UTC_TIME, asn1.GENERALIZED_TIME) else -1] ^= 1
    return asn1.rewrite(der, {path: bytes(content)})


@pytest.mark.req("HIL-CERT-013")
@delivered
@pytest.mark.parametrize("link", ["device", "signer"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_bit_is_refused_wherever_it_stands(chain: Delivered, link: str, field: str) -> None:
    path, rule = FIELDS[field]
    refusals = chain.with_link(link, damaged(getattr(chain, link), path))
    assert (link, Rule.SIGNATURE) in refusals
    assert (link, rule) in refusals


@pytest.mark.req("HIL-CERT-013")
@delivered
@pytest.mark.parametrize("link", ["device", "signer"])
def test_a_changed_bit_is_refused_in_every_extension(chain: Delivered, link: str) -> None:
    certificate = load(getattr(chain, link))
    for index, extension in enumerate(certificate.extensions):
        path: asn1.Path = (0, 7, 0, index, 2 if extension.critical else 1)
        value = extension.value[:-1] + bytes((extension.value[-1] ^ 1,))
        refusals = chain.with_link(link, asn1.rewrite(certificate.der, {path: value}))
        assert (link, Rule.SIGNATURE) in refusals, extension.oid
        if extension.oid in ("2.5.29.14", "2.5.29.35"):
            assert (link, Rule.KEY_IDENTIFIERS) in refusals


@pytest.mark.req("HIL-CERT-014")
@delivered
def test_a_certificate_for_another_key_than_the_slots_is_refused(chain: Delivered, rig: Rig) -> None:
    assert chain.refusals(slot_key=rig.slot_key(0)) == set()
    wrong = point_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert chain.refusals(slot_key=wrong) == {("device", Rule.LEAF_KEY)}


@pytest.mark.req("HIL-CERT-015")
@delivered
def test_the_certificate_names_this_element_and_no_other(chain: Delivered, rig: Rig) -> None:
    serial = bytes.fromhex(str(element_facts(rig)["serial"]))
    assert names_element(chain.device, serial), f"the certificate is for {load(chain.device).subject}"
    assert not names_element(chain.device, serial[:7] + bytes((serial[7] ^ 1,)) + serial[8:])


@pytest.mark.req("HIL-CERT-015")
@delivered
@pytest.mark.needs("emulated")
def test_a_wrong_serial_number_under_a_good_signature_is_refused(chain: Delivered) -> None:
    """Only whoever has the signer's key can make one: the emulated factory."""
    from hil.emulator.factory import FactoryCa

    changed = asn1.rewrite(chain.device, {(0, 1): b"\x40" + bytes(15)})
    signer = FactoryCa().signer(_signer_id(load(chain.signer)))
    assert chain.refusals(device=sign_again(changed, signer.key)) == {("device", Rule.SERIAL_NUMBER)}


def _signer_id(signer: Certificate) -> str:
    return (signer.subject.get("CN") or "")[-4:]


# -- chains of other signers --------------------------------------------------------------------------

SIGNERS = ("0001", "2A00", "2C10", "77FF", "FFFE")


@pytest.mark.req("HIL-CERT-016")
@delivered
@pytest.mark.needs("emulated", "power")
@pytest.mark.parametrize("signer_id", SIGNERS)
def test_the_chain_of_every_signer_is_read_and_verified(rig: Rig, signer_id: str) -> None:
    """Parts certified by other signers, read the same way as the one that was delivered."""
    from hil.emulator import factory

    emulated = rig.emulated
    assert emulated is not None
    own = emulated.memory
    make = factory.trust_flex if rig.file.element.address == 0x36 else factory.trust_go

    def insert(memory: object) -> None:
        rig.power.off()
        emulated.insert(memory)  # type: ignore[arg-type]  # a Memory, which suites do not know
        rig.power_on()

    insert(make(emulated.profile, own.serial, signer_id=signer_id))
    try:
        chain = rig.delivered_chain()
        report = verify_chain(
            chain.device,
            chain.signer,
            chain.root,
            at=rig.calendar.time(),
            slot_key=rig.slot_key(0),
            anchors=rig.anchors(),
        )
    finally:
        insert(own)
    report.require()
    issuer = "O = Microchip Technology Inc, CN = Crypto Authentication Signer "
    assert str(load(chain.device).issuer) == issuer + signer_id


# -- the self-signed certificate -----------------------------------------------------------------------

SUBJECT = "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"
DAY = 86_400


@pytest.mark.req("HIL-CERT-017")
@pytest.mark.needs("sign", element="provisioned")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("another key", "another key than the slot holds"),
        ("another issuer", "not by its subject"),
        ("expired", "not valid at the given time"),
        ("not yet valid", "not valid at the given time"),
        ("tampered", "does not verify"),
    ],
)
def test_a_self_signed_certificate_is_refused_with_the_reason(
    rig: Rig, element: Element, what: str, words: str
) -> None:
    now, key = int(rig.calendar.time()), ElementSigningKey(element, 0)
    der, point, at = self_signed(key, SUBJECT, at=now, days=30), element.public_key(0), now
    if what == "another key":
        point = another_key().public_key()
    elif what == "another issuer":
        issuer = (
            asn1.parse(self_signed(another_key(), "CN=somebody else", at=now)).children()[0].children()[3]
        )
        der = asn1.rewrite(der, {(0, 3): issuer.content})
    elif what == "expired":
        at = now + 31 * DAY
    elif what == "not yet valid":
        at = now - 1
    else:
        der = damaged(der, (0, 5, 4, 0, 1))
        der = asn1.rewrite(der, {(0, 3): asn1.parse(der).children()[0].children()[5].content})
    with pytest.raises(CertificateError, match=words):
        check_self_signed(der, point, at=at)
