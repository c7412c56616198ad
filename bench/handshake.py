"""Who spends the processor's time in a TLS handshake with the key in the element.

Ours is everything but tlslite-ng's and OpenSSL's own time: the hooks, the driver, the bus, the emulated
element, the network and our half of the endpoint. tlslite-ng's share is its own and its packages',
OpenSSL's what cryptography and pyOpenSSL do, also where a line of ours called it; the standard library's
time belongs to whoever called it. Two handshakes are looked at: one of :mod:`hil.tls` with an element on a
bus of its own, and one that an emulated board does, with its log lines and the host that reads them.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cryptography.hazmat.bindings import _rust
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from bench.connect import RIG, play
from bench.figures import Figure
from bench.sampling import Sampling, Site, calls
from hil.element.device import Element
from hil.element.keys import ElementEcdh, ElementSigningKey, ElementVerify
from hil.emulator.boards import mongoose_net
from hil.emulator.bus import I2CMaster
from hil.rig.oneshot import one_rig
from hil.tls import client
from hil.tls.key import Offload

if TYPE_CHECKING:
    from collections.abc import Callable

HANDSHAKES = 500
PAUSE_US = 1_000_000

THEIRS = ("tlslite", "ecdsa", "OpenSSL", "cryptography")
"""Packages whose time is not ours: tlslite-ng with the one it computes with, OpenSSL's two bindings."""


def of_the_element() -> float:
    """Our percentage of handshakes of both TLS versions, from the host, with an element on a bus."""
    sampling = Sampling()
    with one_rig(RIG) as rig:
        registration = rig.cloud.register(rig.element_in("provisioned"))
        world, emulated = rig.world, rig.emulated
        assert world is not None
        assert emulated is not None
        lines = emulated.lines
        bus = I2CMaster(world, lines, sda=lines.sda_gpio, scl=lines.scl_gpio)
        element = Element(bus, rig.file.element.address, part=rig.file.element.part)
        offload = Offload(ElementSigningKey(element, 0), ElementEcdh(element, 0), ElementVerify(element))
        der = load_pem_x509_certificate(registration.pem.encode()).public_bytes(Encoding.DER)
        host, port = rig.cloud.server.rsplit(":", 1)
        root = rig.cloud.endpoint.pki.root("ec")
        for number in range(HANDSHAKES + 1):
            stream = emulated.network.connect(host, int(port))
            version: client.Version = "1.2" if number % 2 else "1.3"
            with sampling.running() if number else nullcontext():  # the first one warms up
                connection = client.connect(
                    stream,
                    server_name=host,
                    roots=[root],
                    chain=[der],
                    offload=offload,
                    calendar=rig.calendar,
                    versions=[version],
                )
            connection.close()
            world.run_for(PAUSE_US)
    return share(sampling)


def of_a_board() -> float:
    """Our percentage of handshakes that a board does."""
    sampling = Sampling()
    connect_tls = client.connect

    def handshake(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (whatever the board passes)
        with sampling.running():
            return connect_tls(*args, **kwargs)

    def watched(connect: Callable[[], None]) -> None:
        with patch.object(mongoose_net, "connect", handshake):
            connect()

    play(HANDSHAKES, "reconnect", watched)
    return share(sampling)


def share(sampling: Sampling) -> float:
    """Percentage of the samples that are ours."""
    names = openssl_names()
    counts = {site: n for site, n in sampling.sites.items() if site[0].co_filename != __file__}
    return 100 * sum(n for site, n in counts.items() if _ours(site, names)) / sum(counts.values())


def openssl_names() -> frozenset[str]:
    """Names of the functions, types and methods by which our lines call OpenSSL directly."""
    names: set[str] = set()
    for module in (_rust.x509, _rust.asn1, *vars(_rust.openssl).values()):
        for name, member in getattr(module, "__dict__", {}).items():
            names.add(name)
            if isinstance(member, type):
                names.update(dir(member))
    plain = {name for kind in (bytes, bytearray, dict, int, list, set, str, tuple) for name in dir(kind)}
    plain.remove("update")  # what a handshake updates are hashes
    return frozenset(name for name in names - plain if not name.startswith("_"))


def _ours(site: Site, names: frozenset[str]) -> bool:
    file = site[0].co_filename
    return not any(f"/{package}/" in file for package in THEIRS) and calls(site) not in names


def measure() -> list[Figure]:
    note = f"samples of {HANDSHAKES} handshakes"
    return [
        Figure("own share of a TLS handshake with an element", of_the_element(), "%", 25, note=note),
        Figure("the same on a board, its log and reader included", of_a_board(), "%", 25, note=note),
    ]
