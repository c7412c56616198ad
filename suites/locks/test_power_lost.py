"""The power goes while the element writes its memory: nothing else may suffer, and writing again heals it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hil.element import irreversible
from hil.element.zones import BLOCK, Zone, blocks_of, config_address, data_address
from hil.errors import DeviceError, DeviceTimeout
from hil.guard.guard import POWER_OFF, Facts
from hil.guard.operations import Operation
from hil.marks import block
from hil.rig.inspection import inspect
from hil.rig.policy import rig_config
from hil.wire.atecc import Command, Opcode, WordAddress

if TYPE_CHECKING:
    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.guard.permit import Permit
    from hil.rig.rig import Rig

pytestmark = pytest.mark.needs("power", "i2c", "provision")

WRITE_32 = 0x80
KEY_CONFIG = 96
"""Where the last block of the configuration zone begins: KeyConfig of all slots."""


class PowerWent(DeviceError):
    """The write's answer cannot come any more."""


def cut_into(rig: Rig, permit: Permit, command: Command, after_ms: int) -> Element:
    """Send a write, cut the power before its answer, and bring everything up again.

    The relay takes some milliseconds of its own. What became of the write is inspected and goes into
    the ledger, as after any write whose answer was lost.
    """
    element, serial = rig.element, permit.serial
    cut = rig.guard.permit(Operation.CUT_POWER, Facts(serial))
    element.wake()
    try:
        with permit.armed([command]):
            send(rig, bytes((WordAddress.COMMAND,)) + command.encode(), after_ms * 1000)
            with cut.armed([POWER_OFF]):
                rig.power.off()
            raise PowerWent("the power was cut on purpose")
    except PowerWent:
        rig.power_on()
    rig.need_start()
    element = rig.element
    try:
        assert element.serial_number().hex() == serial
    except DeviceError as error:
        pytest.fail(f"the element is dead after the power was cut into a write: {error.message}")
    for intent in rig.guard.ledger.open_intents(serial):
        rig.guard.ledger.resolve(serial, intent.intent, inspect(element, intent).found, "the locks suite")
    return element


def send(rig: Rig, data: bytes, wait_us: int) -> None:
    """Write to the element, and be back after ``wait_us`` whatever became of it.

    Firmware that carries the bus answers when the transaction is over: nobody waits for that.
    """
    board, address = rig.mongoose_board, rig.file.element.address
    if board is None:
        rig.bus.write(address, data)
        rig.clock.sleep(wait_us)
        return
    call = {"bus": 0, "addr": address, "data_hex": data.hex()}
    until = rig.clock.now + wait_us
    with suppress(DeviceTimeout):
        board.rpc.call("I2C.Write", call, timeout_us=wait_us)
    rig.clock.sleep(max(0, until - rig.clock.now))


@pytest.mark.req("HIL-PWR-007")
@pytest.mark.parametrize("after_ms", [12, 20, 42])
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "cut-power")
def test_a_configuration_write_that_loses_its_power_is_healed_by_another(
    rig: Rig, element: Element, after_ms: int
) -> None:
    rig.need_element()
    before = element.read_config()
    wanted = rig_config(rig.file).onto(element.config)
    new = wanted.to_bytes()
    if before[KEY_CONFIG:] == new[KEY_CONFIG:]:  # a physical part serves one test after the other
        pytest.skip("not applicable: the element holds this configuration already, nothing would be written")
    facts = Facts(serial_of(element), config=new)
    permit = rig.guard.permit(Operation.WRITE_CONFIG, facts)
    command = Command(Opcode.WRITE, WRITE_32 | Zone.CONFIG, config_address(KEY_CONFIG), new[KEY_CONFIG:])
    element = cut_into(rig, permit, command, after_ms)
    after = element.read_config()
    assert after[:KEY_CONFIG] == before[:KEY_CONFIG], "bytes changed that nobody had written"
    assert not element.lock_state().config, "the configuration is locked, though no Lock was sent"
    irreversible.write_config(element, wanted, rig.guard.permit(Operation.WRITE_CONFIG, facts))
    assert rig.element.read_config()[KEY_CONFIG:] == new[KEY_CONFIG:]


@pytest.mark.req("HIL-PWR-007")
@pytest.mark.parametrize("after_ms", [42])
@pytest.mark.needs(element="provisioned")
@pytest.mark.irreversible("write-slot", "cut-power")
def test_a_slot_write_that_loses_its_power_is_healed_by_another(
    rig: Rig, element: Element, after_ms: int
) -> None:
    rig.need_element()
    if not element.lock_state().data:
        block("the element was provisioned and is not locked any more: test_zones says more")
    slot = open_slot(element.config)
    if slot is None:
        pytest.skip("not applicable: no slot of this configuration can be both written and read in clear")
    config, before = without_locks(element), element.read_slot(slot)
    new = bytes(byte ^ 0xFF for byte in before[:BLOCK])
    facts = Facts(serial_of(element), slot=slot)
    permit = rig.guard.permit(Operation.WRITE_SLOT, facts)
    command = Command(Opcode.WRITE, WRITE_32 | Zone.DATA, data_address(slot, 0), new)
    element = cut_into(rig, permit, command, after_ms)
    assert without_locks(element) == config, "the configuration changed"
    assert element.read_slot(slot)[BLOCK:] == before[BLOCK:], "another block of the slot changed"
    irreversible.write_slot(element, slot, new, rig.guard.permit(Operation.WRITE_SLOT, facts))
    assert rig.element.read_slot(slot)[:BLOCK] == new


def serial_of(element: Element) -> str:
    return element.serial_number().hex()


def without_locks(element: Element) -> bytes:
    """The configuration but its lock bytes: that locks hold is the locks suite's."""
    config = element.read_config()
    return config[:84] + config[90:]


def open_slot(config: ConfigZone) -> int | None:
    """A slot of at least two blocks that anybody may write and read."""
    for number, slot in enumerate(config.slots):
        free = slot.config.write_config == 0 and not slot.config.is_secret and not slot.config.encrypt_read
        if free and not slot.key.private and config.slot_unlocked(number) and blocks_of(number) > 1:
            return number
    return None
