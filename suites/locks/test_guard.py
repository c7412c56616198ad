"""Nothing irreversible happens by accident: reads and refusals only, on any element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import provision
from hil.errors import GuardRefusal
from hil.guard.operations import IRREVERSIBLE, classify
from hil.rigguard import named_config
from hil.wire.atecc import Command, Opcode, WordAddress

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.rig import Rig

pytestmark = pytest.mark.needs("i2c")

SAMPLES = {
    "lock config": Command(Opcode.LOCK, 0x00, 0x0000),
    "lock config without CRC": Command(Opcode.LOCK, 0x80),
    "lock data": Command(Opcode.LOCK, 0x01, 0x0000),
    "lock slot": Command(Opcode.LOCK, 0x02),
    "write config": Command(Opcode.WRITE, 0x00, 0x0005, bytes(4)),
    "write OTP": Command(Opcode.WRITE, 0x81, 0x0000, bytes(32)),
    "write slot": Command(Opcode.WRITE, 0x82, 0x0020, bytes(32)),
    "update extra": Command(Opcode.UPDATEEXTRA, 0x00, 0x0001),
    "count": Command(Opcode.COUNTER, 0x01, 0x0000),
    "generate key": Command(Opcode.GENKEY, 0x04, 0x0000),
    "write private key": Command(Opcode.PRIVWRITE, 0x40, 0x0000, bytes(68)),
    "derive key": Command(Opcode.DERIVEKEY, 0x00, 0x0005),
    "ECDH into slot": Command(Opcode.ECDH, 0x05, 0x0002, bytes(64)),
    "KDF into slot": Command(Opcode.KDF, 0x08, 0x0800, bytes(4)),
    "invalidate key": Command(Opcode.VERIFY, 0x07, 0x0009, bytes(83)),
    "store boot digest": Command(Opcode.SECUREBOOT, 0x06, 0x0000, bytes(32)),
}


def test_there_is_a_sample_of_every_irreversible_operation() -> None:
    assert {classify(command) for command in SAMPLES.values()} == {row.operation for row in IRREVERSIBLE}


@pytest.mark.req("HIL-LOCK-001")
@pytest.mark.needs("provision")
def test_a_dry_run_touches_nothing(element: Element, rig: Rig) -> None:
    """The plan says what would be sent; the element is the same before and after."""
    name = rig.file.element.config
    assert name is not None, f"{rig.name} names no element configuration"
    before = element.read_config()
    lines = provision.plan(element, named_config(name))
    assert lines
    assert all(line.startswith("dry run, nothing is sent") for line in lines)
    assert element.read_config() == before


@pytest.mark.req("HIL-LOCK-002")
@pytest.mark.parametrize("name", SAMPLES)
def test_without_a_permit_no_byte_is_sent(element: Element, rig: Rig, name: str) -> None:
    """The bus trace is the witness: the command's bytes never appear."""
    command = SAMPLES[name]
    with pytest.raises(GuardRefusal, match="needs a permit"), element.exchange():
        element.execute(command)
    carried = [t.data for t in rig.trace if t.op == "write" and t.nack is None and t.error is None]
    assert not any(command.encode() in data for data in carried)


@pytest.mark.req("HIL-LOCK-002")
def test_a_raw_bus_write_is_refused_as_well(rig: Rig, element: Element) -> None:
    """No road around: whole, without checksum, and in pieces."""
    group = SAMPLES["lock config"].encode()
    element.wake()
    for data in (group, group[:-2] + b"\x00\x00", group[:4], group[4:]):
        with pytest.raises(GuardRefusal):
            rig.bus.write(element.address, bytes((WordAddress.COMMAND,)) + data)
    element.sleep()


@pytest.mark.req("HIL-LOCK-003")
@pytest.mark.needs("atca")
@pytest.mark.parametrize("method", ["ATCA.LockZone", "ATCA.SetConfig", "ATCA.SetKey", "ATCA.GenKey"])
def test_the_firmwares_own_calls_are_refused(rig: Rig, method: str) -> None:
    with pytest.raises(GuardRefusal, match=method):
        rig.booted_board().rpc.call(method, {"zone": 0, "slot": 0})
