"""The key that the cloud is told about, whichever way the rig reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.element.certificates.certificate import pem as armour
from hil.element.certificates.selfsigned import self_signed, signing_request
from hil.element.keys import ElementSigningKey
from hil.rig.cloud import pem
from hil.tls.software import load_point

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.rig.rig import Rig

SLOT = 0


class Holder:
    """The private key in slot 0 and what it can sign."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._trust = rig.file.element.state == "trust"
        if not self._trust:
            rig.element_in("provisioned")

    @property
    def point(self) -> bytes:
        """The public key, 64 bytes, computed by the element."""
        return self._rig.slot_key(SLOT)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The same."""
        return load_point(self.point)

    def request(self, name: str) -> str:
        """A certificate request that the element has signed; a provisioning console chooses the name."""
        if self._trust:
            return self._rig.esp_idf_board().signing_request()
        key = ElementSigningKey(self._rig.element, SLOT)
        return pem(signing_request(key, f"CN={name}"), "CERTIFICATE REQUEST")

    def certificate(self, name: str) -> str:
        """A certificate that no CA of the cloud has signed: the delivered one, or one by the element."""
        if self._trust:
            return armour(self._rig.delivered_chain().device)
        key = ElementSigningKey(self._rig.element, SLOT)
        return armour(self_signed(key, f"CN={name}", at=self._rig.calendar.time() - 60, days=365))


@pytest.fixture
def holder(rig: Rig) -> Holder:
    """The key in slot 0 of a provisioned or delivered element."""
    return Holder(rig)
