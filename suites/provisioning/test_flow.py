"""The first article's whole procedure, as `hil provision` carries it out, ending with HTTPS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hil.provision.flow import provision
from hil.provision.plan import Plan
from hil.tls.openssl import connect_openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hil.element.device import Element
    from hil.rig.rig import Rig

pytestmark = [
    pytest.mark.needs("provision", "https", "sign", element="blank"),
    pytest.mark.irreversible(
        "write-config", "lock-config", "write-slot", "write-otp", "lock-data", "write-private-key"
    ),
]

PORT = 443
STEPS = [
    "write the configuration",
    "lock the configuration",
    "write and lock the data zone",
    "key-encryption key",
    "private key",
    "signature by the element",
    "files on the board",
    "settings of the board",
]


def only_1_2(context: ssl.SSLContext) -> None:
    """What the firmware's mbedTLS offers."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.mark.req("HIL-PROV-003")
def test_the_articles_procedure_ends_with_https_by_the_certificate_that_was_made(
    rig: Rig, element: Element, tmp_path: Path, step: Callable[[str], AbstractContextManager[None]]
) -> None:
    """Key and certificate, configuration, locks, KEK in slot 4, encrypted write to slot 0, upload, HTTPS."""
    plan = Plan(folder=tmp_path)
    serial = element.serial_number().hex()
    with step("provision"):
        outcome = provision(rig, plan)
    assert [result.step for result in outcome.results] == STEPS
    assert outcome.serial == serial
    certificate = x509.load_pem_x509_certificate(plan.files(serial)["certificate"].read_bytes())
    with step("ask the element"):
        locks = rig.element.lock_state()
        assert (locks.config, locks.data) == (True, True)
        assert rig.element.public_key(plan.key.slot) == outcome.identity.public_key
    with step("HTTPS"):
        assert rig.boot is not None
        ready = rig.boot.events.get("http_ready")
        assert ready is not None, "the boot log has no line `HTTP server started on …`"
        assert ready.fields == {"address": str(PORT), "tls": " (SSL)"}
        trusted = certificate.public_bytes(Encoding.PEM).decode()
        deadline = rig.clock.now + rig.file.connect.timeout_ms * 1000
        stream = rig.net.connect(PORT)
        connection = connect_openssl(stream, trusted=trusted, deadline=deadline, adjust=only_1_2)
        assert connection.certificate == certificate.public_bytes(Encoding.DER)
        connection.close()
    with step("provision again"):
        again = provision(rig, plan)
        assert not again.changed, "; ".join(str(result) for result in again.results if result.done)
