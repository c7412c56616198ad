"""What is locked stays locked: on a part of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil import provision
from hil.errors import ElementError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.rigguard import named_config
from hil.wire.atecc import Command, Opcode, crc16

if TYPE_CHECKING:
    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.rig import Rig

pytestmark = pytest.mark.needs("provision")


def wanted(rig: Rig) -> ConfigZone:
    name = rig.file.element.config
    assert name is not None, f"{rig.name} names no element configuration"
    return named_config(name)


def attempt(rig: Rig, element: Element, operation: Operation, command: Command) -> None:
    """Send one irreversible command with a permit, to see the element refuse it."""
    config = element.config.to_bytes()
    open_config = config[:86] + b"\x55\x55" + config[88:]
    permit = rig.guard.permit(operation, Facts(element.serial_number().hex(), config=open_config))
    with permit.armed([command]), element.exchange():
        element.execute(command)


def attempt_lock(rig: Rig, element: Element, command: Command, config: bytes) -> None:
    """Send a configuration lock with a permit, to see the element refuse it."""
    permit = rig.guard.permit(Operation.LOCK_CONFIG, Facts(element.serial_number().hex(), config=config))
    with permit.armed([command]), element.exchange():
        element.execute(command)


@pytest.mark.req("HIL-LOCK-004")
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "lock-config")
def test_the_configuration_is_written_and_locked_with_its_checksum(rig: Rig, element: Element) -> None:
    provision.lock_configuration(element, rig.guard, wanted(rig))
    found = element.config
    assert found.config_locked
    assert not found.data_locked
    assert found.to_bytes()[16:84] == wanted(rig).onto(found).to_bytes()[16:84]


@pytest.mark.req("HIL-LOCK-005")
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "lock-config")
def test_a_lock_with_a_wrong_checksum_locks_nothing(rig: Rig, element: Element) -> None:
    permit = rig.guard.permit(
        Operation.WRITE_CONFIG,
        Facts(element.serial_number().hex(), config=wanted(rig).onto(element.config).to_bytes()),
    )
    from hil.element import irreversible

    present = irreversible.write_config(element, wanted(rig), permit)
    other = wanted(rig).onto(present).to_bytes()
    deviating = Command(Opcode.WRITE, 0x00, 23, b"\x01\x00\x00\x00")  # X509format
    permit = rig.guard.permit(
        Operation.WRITE_CONFIG,
        Facts(element.serial_number().hex(), config=other[:92] + deviating.data + other[96:]),
    )
    with permit.armed([deviating]), element.exchange():
        element.execute(deviating)
    with pytest.raises(ElementError):
        attempt_lock(rig, element, Command(Opcode.LOCK, 0x00, present.crc), other)
    assert not element.lock_state().config


@pytest.mark.req("HIL-LOCK-006")
@pytest.mark.needs("power", element="config-locked")
@pytest.mark.irreversible("write-config")
def test_a_locked_configuration_cannot_be_written_after_a_power_cycle_either(
    rig: Rig, element: Element
) -> None:
    before = element.read_config()
    write = Command(Opcode.WRITE, 0x00, 0x0005, before[20:24])
    for _ in range(2):
        with pytest.raises(ElementError, match="0x0F"):
            attempt(rig, element, Operation.WRITE_CONFIG, write)
        assert element.read_config() == before
        rig.power_cycle()
    assert element.lock_state().config


@pytest.mark.req("HIL-LOCK-007")
@pytest.mark.needs(element="config-locked")
@pytest.mark.irreversible("write-slot", "write-otp", "lock-data")
def test_the_data_zone_is_locked_with_its_checksum(rig: Rig, element: Element) -> None:
    """Every non-private slot and the OTP zone are written first, so that the checksum is known."""
    provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
    locks = element.lock_state()
    assert locks.config
    assert locks.data


@pytest.mark.req("HIL-LOCK-008")
@pytest.mark.needs(element="config-locked")
@pytest.mark.irreversible("lock-config")
def test_a_locked_zone_cannot_be_locked_again(rig: Rig, element: Element) -> None:
    config = element.config.to_bytes()
    opened = config[:86] + b"\x55\x55" + config[88:]
    crc = int.from_bytes(crc16(opened), "little")
    with pytest.raises(ElementError, match="0x0F"):
        attempt_lock(rig, element, Command(Opcode.LOCK, 0x00, crc), opened)
