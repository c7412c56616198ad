"""The emulated board, key in its element, meets a broker that this project did not write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.element.certificates.selfsigned import self_signed
from hil.element.keys import ElementSigningKey
from hil.emulator.foreign import ForeignPeer
from hil.records.header import new_run
from hil.rig.cloud import PORT, pem
from hil.rig.opening import open_rig
from hil.wire.atecc import Opcode
from tests.conformance.peers import mosquitto, needs_mosquitto

if TYPE_CHECKING:
    from pathlib import Path

    from hil.cloud.local.pki import ServerChain
    from hil.emulator.builder import EmulatedRig
    from hil.rig.rig import Rig
    from hil.tls.client import Version

pytestmark = needs_mosquitto


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", ["emulated-esp8266-atecc508a", "emulated-esp32-atecc608b"])
def test_the_board_connects_to_mosquitto_with_the_key_in_its_element(
    tmp_path: Path, name: str, version: Version
) -> None:
    """Real TCP, ``require_certificate``; the broker names the board after its certificate."""
    calendar = Calendar()
    file = rigfile.load_rig(name)
    file = replace(file, connect=replace(file.connect, tls_versions=(version,)))
    with new_run(tmp_path / "runs", calendar) as journal:
        rig = open_rig(file, faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar)
        try:
            connects(rig, tmp_path, version)
        finally:
            rig.close()


def connects(rig: Rig, folder: Path, version: Version) -> None:
    element = rig.element_in("provisioned")
    # mosquitto, unlike AWS, wants the issuer: the first article's certificate is its own.
    der = self_signed(ElementSigningKey(element, 0), "/CN=test.acme.com", at=rig.calendar.time() - 60)
    registration = replace(rig.cloud.register(element), pem=pem(der, "CERTIFICATE"))
    write_server_files(folder, rig.cloud.endpoint.pki.chain())
    (folder / "clients.pem").write_text(registration.pem)
    emulated = rig.emulated
    assert emulated is not None
    with mosquitto(folder, version) as broker:
        peer = ForeignPeer(emulated.world, ("127.0.0.1", broker.port), rtt_us=5_000)
        emulated.network.unlisten(rig.cloud.host, PORT)
        emulated.network.foreign(rig.cloud.host, PORT, peer)
        try:
            rig.cloud.configure_board(registration, key="ATCA:0")
            before = signatures(emulated)
            connection = rig.next_connection()
            assert connection.connack == 0, connection.explain()
            assert signatures(emulated) - before == 1, "exactly one Sign on the chip"
            assert connection.count("element-sign") == 1
            assert not connection.software
            assert "u'test.acme.com'" in broker.output(), "the broker names the board after its certificate"
        finally:
            rig.power.off()
            peer.close()


def signatures(emulated: EmulatedRig) -> int:
    log = emulated.element.chip.log
    return sum(entry.command is not None and entry.command.opcode == Opcode.SIGN for entry in log)


def write_server_files(folder: Path, chain: ServerChain) -> None:
    (folder / "server.pem").write_bytes(chain.pem())
    (folder / "server.key").write_bytes(chain.key_pem())
