"""The board as an HTTPS server whose private key is in the element, against OpenSSL as the client."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hil.element.certificates.selfsigned import self_signed
from hil.element.keys import ElementSigningKey
from hil.errors import GuardRefusal
from hil.measure.measurement import Limit
from hil.rig.network import station
from hil.tls.alerts import TlsError
from hil.tls.openssl import OpenSslConnection, connect_openssl
from hil.tls.software import SoftwareKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.element.device import Element
    from hil.measure.measurement import Measurements
    from hil.rig.rig import Rig
    from hil.tls.key import SigningKey

pytestmark = pytest.mark.needs("https", "sign", element="provisioned")

PORT = 443
SLOT = 0
FILE = "ecc.crt.pem"
SUBJECT = "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"
PLAIN = {"listen_addr": "80", "ssl_cert": "", "ssl_key": ""}
SIGNED = rf"ATCA:{SLOT} ECDSA sign ok"
LINES = (r"ATCA:\d+ ECDH (?:get|gen) pubkey ok", SIGNED, r"ATCA:\d+ ECDH ok")
"""What the firmware's TLS library says while a TLS 1.2 handshake is served, in this order."""


def certificate(key: SigningKey, rig: Rig) -> str:
    der = self_signed(key, SUBJECT, at=rig.calendar.time(), days=365)
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def serve(rig: Rig, shown: str) -> None:
    """The first article's step 7: certificate on the board, key in the element, restart."""
    rig.booted_board().fs_put(FILE, shown.encode())
    http = {"enable": True, "listen_addr": f":{PORT}", "ssl_cert": FILE, "ssl_key": f"ATCA:{SLOT}"}
    rig.configure({"wifi": {"sta": station(rig.file)}, "mqtt": {"enable": False}, "http": http})


def only_1_2(context: ssl.SSLContext) -> None:
    """What the firmware's mbedTLS offers; and there the order of the operations is fixed."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2


def shake_hands(rig: Rig, trusted: str) -> OpenSslConnection:
    stream = rig.net.connect(PORT)
    deadline = rig.clock.now + rig.file.connect.timeout_ms * 1000
    return connect_openssl(stream, trusted=trusted, deadline=deadline, adjust=only_1_2)


@pytest.fixture
def shown(rig: Rig, element: Element) -> Iterator[str]:
    """The certificate that the board serves with: for the slot's key, signed by it."""
    pem = certificate(ElementSigningKey(element, SLOT), rig)
    serve(rig, pem)
    yield pem
    rig.configure({"http": PLAIN, "wifi": {"sta": {"enable": False}}})


@pytest.mark.req("HIL-HTTPS-001")
def test_the_board_serves_https_with_the_elements_key(rig: Rig, element: Element, shown: str) -> None:
    assert rig.boot is not None
    ready = rig.boot.events.get("http_ready")
    assert ready is not None, "the boot log has no line `HTTP server started on …`"
    assert ready.fields == {"address": str(PORT), "tls": " (SSL)"}
    connection = shake_hands(rig, shown)
    served = x509.load_der_x509_certificate(connection.certificate).public_key()
    point = served.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert point[1:] == element.public_key(SLOT)
    connection.close()


@pytest.mark.req("HIL-HTTPS-002")
def test_the_element_does_the_work_of_the_handshake_and_the_mcu_none(rig: Rig, shown: str) -> None:
    """The log lines of the article, once each and in their order; no fall-back to software."""
    mark = rig.console.mark()
    shake_hands(rig, shown).close()
    since = mark
    for pattern in LINES:
        rig.console.expect(pattern, timeout_us=1_000_000, since=since)
    said = [line.text for line in rig.console.transcript.lines_since(mark)]
    work = [text for text in said if "ECD" in text]
    assert len(work) == len(LINES), work
    assert not [text for text in said if "SW ECD" in text], "the firmware fell back to software"
    assert [text.split(" ", 1)[1].replace("gen", "get") for text in work] == [
        "ECDH get pubkey ok",
        "ECDSA sign ok",
        "ECDH ok",
    ]


@pytest.mark.req("HIL-HTTPS-003")
def test_a_client_that_trusts_somebody_else_refuses(rig: Rig, shown: str) -> None:
    stranger = certificate(SoftwareKey(ec.generate_private_key(ec.SECP256R1())), rig)
    with pytest.raises(TlsError, match="does not accept the server"):
        shake_hands(rig, stranger)
    shake_hands(rig, shown).close()


@pytest.mark.req("HIL-HTTPS-004")
def test_a_certificate_of_another_key_is_worth_nothing(rig: Rig, shown: str) -> None:
    """Whoever copies a certificate to another board cannot serve with it."""
    other = certificate(SoftwareKey(ec.generate_private_key(ec.SECP256R1())), rig)
    serve(rig, other)
    with pytest.raises(TlsError):
        shake_hands(rig, other)


@pytest.mark.req("HIL-HTTPS-005")
def test_calls_over_https_are_answered_and_guarded(rig: Rig, shown: str) -> None:
    expected = rig.booted_board().sys_get_info().mac
    with rig.net.rpc("http", PORT, over=shake_hands(rig, shown)) as calls:
        assert calls.sys_get_info().mac == expected
        with pytest.raises(GuardRefusal, match=r"ATCA\.LockZone"):
            calls.rpc.call("ATCA.LockZone", {"zone": 0})


@pytest.mark.req("HIL-HTTPS-006")
def test_the_handshake_is_served_within_the_limit(rig: Rig, shown: str, measure: Measurements) -> None:
    stream = rig.net.connect(PORT)
    start = rig.clock.now
    deadline = start + rig.file.connect.timeout_ms * 1000
    connect_openssl(stream, trusted=shown, deadline=deadline, adjust=only_1_2).close()
    limit = Limit(high=rig.file.connect.limit_ms, warn_high=rig.file.connect.warn_ms)
    measure.record("TLS handshake served, element", (rig.clock.now - start) / 1000, "ms", limit, key=True)


@pytest.mark.req("HIL-HTTPS-007")
@pytest.mark.needs("power")
def test_it_serves_again_after_a_power_cycle(rig: Rig, shown: str) -> None:
    rig.power_cycle()
    shake_hands(rig, shown).close()
