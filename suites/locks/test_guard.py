"""Nothing irreversible happens by accident: reads and refusals only, on any element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.element.configwords import diff
from hil.errors import GuardRefusal
from hil.guard.operations import IRREVERSIBLE, Operation, classify
from hil.provision.flow import preview
from hil.provision.plan import Plan
from hil.wire.atecc import Command, Opcode, WordAddress

if TYPE_CHECKING:
    from pathlib import Path

    from hil.element.device import Element
    from hil.rig.rig import Rig

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
    "an opcode nobody knows": Command(0x99, 0x00, 0x0000),
    "store boot digest": Command(Opcode.SECUREBOOT, 0x06, 0x0000, bytes(32)),
}


def test_there_is_a_sample_of_every_irreversible_operation() -> None:
    operations = {row.operation for row in IRREVERSIBLE} | {Operation.UNKNOWN_COMMAND}
    assert {classify(command) for command in SAMPLES.values()} == operations


def commands_in(writes: list[bytes]) -> list[Command]:
    """The whole commands among write transactions; what is hidden in the trace keeps its head."""
    word = bytes((WordAddress.COMMAND,))
    return [
        Command(data[2], data[3], data[4] | data[5] << 8)
        for data in writes
        if data[:1] == word and len(data) > 6
    ]


@pytest.mark.req("HIL-LOCK-001")
@pytest.mark.needs("provision")
def test_a_dry_run_touches_nothing(element: Element, rig: Rig, tmp_path: Path) -> None:
    """It lists every packet that would be sent; element, bus and disk are the same afterwards."""
    before, mark = element.config, len(rig.trace)
    shown = preview(rig, Plan(folder=tmp_path, https=None))
    assert shown.rehearsal.packets or shown.nothing_to_do
    changed = [str(difference) for difference in diff(before, element.config)]
    assert changed == [], f"the dry run changed {'; '.join(changed)}"
    carried = [t.data for t in rig.trace[mark:] if t.op == "write"]
    assert not any(classify(command) for command in commands_in(carried))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.req("HIL-LOCK-002")
@pytest.mark.parametrize("name", SAMPLES)
def test_without_a_permit_no_byte_is_sent(element: Element, rig: Rig, name: str) -> None:
    """The bus trace is the witness: no such command appears."""
    command, mark = SAMPLES[name], len(rig.trace)
    with pytest.raises(GuardRefusal, match="needs a permit"), element.exchange():
        element.execute(command)
    carried = [t.data for t in rig.trace[mark:] if t.op == "write" and t.nack is None and t.error is None]
    assert not any(classify(sent) for sent in commands_in(carried)), "an irreversible command was sent"


@pytest.mark.req("HIL-LOCK-002")
def test_a_raw_bus_write_is_refused_as_well(rig: Rig, element: Element) -> None:
    """No road around: whole, without checksum, and in pieces."""
    group = SAMPLES["lock config"].encode()
    element.wake()
    for data in (group, group[:-2] + b"\x00\x00", group[:4], group[4:]):
        with pytest.raises(GuardRefusal):
            rig.bus.write(element.address, bytes((WordAddress.COMMAND,)) + data)
    for byte in group:
        with pytest.raises(GuardRefusal):
            rig.bus.write(element.address, bytes((WordAddress.COMMAND, byte)))
    element.sleep()


@pytest.mark.req("HIL-LOCK-002")
@pytest.mark.needs("rpc")
@pytest.mark.parametrize("method", ["I2C.Write", "I2C.WriteRegB", "I2C.WriteRegW", "i2c.write", "I2C.WriteX"])
def test_the_firmwares_bus_calls_are_refused_as_well(rig: Rig, method: str) -> None:
    """Whole, and assembled from registers: word address 3 is a register number to the firmware."""
    group = SAMPLES["lock config"].encode()
    params = {"addr": rig.file.element.address, "data_hex": f"03{group.hex()}", "reg": 3, "value": group[0]}
    with pytest.raises(GuardRefusal):
        rig.booted_board().rpc.call(method, params)


@pytest.mark.req("HIL-LOCK-002")
@pytest.mark.needs("rpc")
def test_a_call_written_to_the_console_by_hand_is_refused_as_well(rig: Rig) -> None:
    rig.need_start()
    with pytest.raises(GuardRefusal, match="by hand"):
        rig.console.write(b'{"method":"ATCA.LockZone","params":{"zone":0}}')


@pytest.mark.req("HIL-LOCK-003")
@pytest.mark.needs("atca")
@pytest.mark.parametrize("method", ["ATCA.LockZone", "ATCA.SetConfig", "ATCA.SetKey", "ATCA.GenKey"])
def test_the_firmwares_own_calls_are_refused(rig: Rig, method: str) -> None:
    with pytest.raises(GuardRefusal, match=method):
        rig.booted_board().rpc.call(method, {"zone": 0, "slot": 0})
