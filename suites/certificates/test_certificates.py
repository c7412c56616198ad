from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.element.certificates.certificate import load
from hil.element.certificates.chain import verify_chain
from hil.element.certificates.selfsigned import check_self_signed, self_signed
from hil.element.keys import ElementSigningKey

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.rig.rig import Rig

SLOT = 0
SUBJECT = "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"


@pytest.mark.req("HIL-CERT-001")
@pytest.mark.needs("sign", element="provisioned")
def test_a_self_signed_certificate_carries_the_slots_public_key(element: Element, rig: Rig) -> None:
    """The first article's certificate, signed by the element itself."""
    now = rig.calendar.time()
    der = self_signed(ElementSigningKey(element, SLOT), SUBJECT, at=now, days=3650)
    check_self_signed(der, element.public_key(SLOT), at=now)
    certificate = x509.load_der_x509_certificate(der)
    point = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert point[1:] == element.public_key(SLOT)
    assert str(load(der).subject) == "C = IE, L = Dublin, O = ACME Ltd, OU = Testing, CN = test.acme.com"
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.req("HIL-CERT-002")
@pytest.mark.needs("certificates")
def test_the_delivered_chain_verifies_link_by_link(rig: Rig) -> None:
    """Device → signer → root; every rule of every link has to hold."""
    chain = rig.delivered_chain()
    report = verify_chain(
        chain.device,
        chain.signer,
        chain.root,
        at=rig.calendar.time(),
        slot_key=rig.slot_key(SLOT),
        anchors=rig.anchors(),
    )
    broken = [f"{role}: {v.rule}: {v.reason}" for role, v in report.refusals]
    assert report.ok, "the chain is refused: " + "; ".join(broken)


@pytest.mark.req("HIL-CERT-003")
@pytest.mark.needs("certificates")
def test_the_issuer_is_a_microchip_signer(rig: Rig) -> None:
    """As ``openssl x509 -issuer`` prints it; on emulated parts a synthetic signer of the same form."""
    issuer = str(load(rig.delivered_chain().device).issuer)
    prefix = "O = Microchip Technology Inc, CN = Crypto Authentication Signer "
    assert issuer.startswith(prefix), issuer
    if rig.emulated is not None:
        assert issuer == prefix + "2A00"
