"""The state machine of the zones, as a technician would probe it: on a part of the test's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from hil import provision
from hil.board.irreversible import atca_generate_key, atca_set_key
from hil.element import irreversible
from hil.element.configwords import diff
from hil.errors import ElementError, RpcError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.guard.permit import RpcCall
from hil.rig.lockprobe import accepted
from hil.rig.policy import rig_config
from hil.wire.atecc import Command, Opcode, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.guard.permit import Permit
    from hil.rig.rig import Rig

pytestmark = pytest.mark.needs("provision")

WATCHDOG_US = 2_000_000
"""Longer than any part stays awake (DS508 section 8: 1.7 s at most)."""


def facts(element: Element, config: ConfigZone, slot: int | None = None) -> Facts:
    return Facts(element.serial_number().hex(), slot=slot, config=config.to_bytes())


def obeyed(element: Element, permit: Permit, command: Command) -> bytes | None:
    """What the element answered to an armed command; None if it refused with a status."""
    try:
        with permit.armed([command]):
            return element.execute(command)
    except ElementError:
        return None


def answers(read: Callable[[], bytes]) -> bool:
    """Whether something can be read; a refusal must be 0F, not possible in the present state."""
    try:
        read()
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return False
    return True


def keys(element: Element) -> dict[int, bytes | None]:
    """Public key of every slot that may tell it; None where no key is."""
    found: dict[int, bytes | None] = {}
    for slot, entry in enumerate(element.config.slots):
        if entry.key.private and entry.key.pub_info:
            try:
                found[slot] = element.public_key(slot)
            except ElementError as error:
                if error.status != Status.EXECUTION:
                    raise
                found[slot] = None
    return found


def first(slots: Iterable[int], what: str) -> int:
    """The first of these slots; without one the test says nothing."""
    for slot in slots:
        return slot
    pytest.skip(f"not applicable: the configuration has no {what}")


def lockable_slot(config: ConfigZone, *, private: bool) -> int:
    """The last slot that can be locked alone."""
    found = (
        n
        for n in reversed(range(16))
        if config.slots[n].key.lockable and config.slots[n].key.private is private
    )
    return first(found, f"lockable {'private' if private else 'data'} slot")


# -- blank --------------------------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-010")
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "lock-data", "lock-slot", "write-slot", "write-otp", "generate-key")
def test_a_blank_element_takes_nothing_but_its_configuration(rig: Rig, element: Element) -> None:
    """No identity, no lock byte, no content, no key, no other lock before the configuration is locked."""
    wrong = accepted(element, rig.guard, "blank", rig_config(rig.file))
    assert wrong == [], f"the element must refuse all of this: {'; '.join(wrong)}"


@pytest.mark.req("HIL-LOCK-010")
@pytest.mark.needs(element="blank")
def test_a_blank_element_shows_its_configuration_and_nothing_else(element: Element) -> None:
    assert not element.lock_state().config
    given_away = [slot for slot in range(16) if answers(partial(element.read_slot_block, slot, 0))]
    assert given_away == [], "slots can be read before anything is locked"
    assert not answers(partial(element.read_slot_word, 10, 0, 0)), "a word of a slot can be read"
    assert not answers(element.read_otp), "the OTP zone can be read before anything is locked"


# -- the configuration lock -------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-012")
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "lock-config")
def test_a_lock_with_the_checksum_of_another_configuration_locks_nothing(rig: Rig, element: Element) -> None:
    """The zone holds one byte that nobody reviewed; the lock carries the checksum of what was."""
    reviewed = rig_config(rig.file).onto(element.config)
    raw = bytearray(reviewed.to_bytes())
    raw[92] ^= 0x01  # X509format
    deviating = type(reviewed).from_bytes(bytes(raw))
    permit = rig.guard.permit(Operation.WRITE_CONFIG, facts(element, deviating))
    irreversible.write_config(element, deviating, permit)
    lock = Command(Opcode.LOCK, 0x00, reviewed.crc)
    permit = rig.guard.permit(Operation.LOCK_CONFIG, facts(element, reviewed))
    assert obeyed(element, permit, lock) is None, "a Lock with a wrong checksum was obeyed"
    assert not element.lock_state().config, "a wrong checksum locked the configuration"


@pytest.mark.req("HIL-LOCK-011")
@pytest.mark.needs(element="blank")
@pytest.mark.irreversible("write-config", "lock-config")
def test_the_configuration_is_written_and_locked_with_its_checksum(rig: Rig, element: Element) -> None:
    wanted = rig_config(rig.file)
    provision.lock_configuration(element, rig.guard, wanted)
    found = element.config
    assert found.config_locked
    assert not found.data_locked
    assert [d for d in diff(wanted.onto(found), found) if d.field != "LockConfig"] == []


# -- between the locks ------------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-013")
@pytest.mark.needs(element="config-locked")
@pytest.mark.irreversible("write-config", "lock-config", "lock-slot", "write-slot", "generate-key")
def test_between_the_locks_every_forbidden_write_is_refused(rig: Rig, element: Element) -> None:
    wrong = accepted(element, rig.guard, "config-locked", rig_config(rig.file))
    assert wrong == [], f"the element must refuse all of this: {'; '.join(wrong)}"


@pytest.mark.req("HIL-LOCK-020")
@pytest.mark.needs("atca", element="config-locked")
@pytest.mark.irreversible("write-config", "lock-config")
def test_the_firmwares_own_calls_are_no_road_around_a_lock(rig: Rig, element: Element) -> None:
    """The same element behind the same lock, asked by the firmware's own driver."""
    before = element.config
    permit = rig.guard.permit(Operation.WRITE_CONFIG, facts(element, before))
    call = RpcCall("ATCA.SetConfig")
    with pytest.raises(RpcError, match="0xf4"), permit.armed([call]):
        rig.booted_board().rpc.call("ATCA.SetConfig", {"config": before.to_bytes()})
    assert rig.element.config == before


@pytest.mark.req("HIL-LOCK-014")
@pytest.mark.needs(element="config-locked")
def test_between_the_locks_nothing_can_be_read_but_the_configuration(element: Element) -> None:
    assert element.read_config()[87] != 0x55
    given_away = [slot for slot in range(16) if answers(partial(element.read_slot_block, slot, 0))]
    assert given_away == [], "slots can be read before the data zone is locked"
    words = [slot for slot in range(16) if answers(partial(element.read_slot_word, slot, 0, 0))]
    assert words == [], "words of slots can be read before the data zone is locked"
    assert not answers(element.read_otp), "the OTP zone can be read before it is locked"


@pytest.mark.req("HIL-LOCK-015")
@pytest.mark.needs(element="config-locked")
@pytest.mark.irreversible("write-slot", "write-otp", "lock-data")
def test_the_data_zone_is_locked_with_the_checksum_of_its_content_only(rig: Rig, element: Element) -> None:
    """Every non-private slot and the OTP zone are written first; another content's checksum is refused."""
    contents = provision.Contents.zeros(element.config)
    other = provision.Contents(contents.slots, otp=b"\x01" + bytes(63))
    lock = Command(Opcode.LOCK, 0x01, other.crc(element.config))
    wrong = Facts(element.serial_number().hex(), config=element.config.to_bytes(), data=other.covered())
    provision.write_contents(element, rig.guard, contents)
    permit = rig.guard.permit(Operation.LOCK_DATA, wrong)
    assert obeyed(element, permit, lock) is None, "a Lock with a wrong checksum was obeyed"
    assert not element.lock_state().data, "a wrong checksum locked the data zone"
    provision.lock_data(element, rig.guard, contents)
    assert element.lock_state().data


# -- behind both locks ------------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-016")
@pytest.mark.needs(element="provisioned")
@pytest.mark.irreversible("write-config", "lock-config", "lock-data", "write-slot", "generate-key")
def test_behind_both_locks_every_forbidden_write_is_refused(rig: Rig, element: Element) -> None:
    before = keys(element)
    wrong = accepted(element, rig.guard, "provisioned", rig_config(rig.file))
    assert wrong == [], f"the element must refuse all of this: {'; '.join(wrong)}"
    assert keys(element) == before


@pytest.mark.req("HIL-LOCK-021")
@pytest.mark.needs("atca", element="provisioned")
@pytest.mark.irreversible("write-slot", "generate-key")
def test_the_firmwares_own_calls_write_and_make_no_key_that_a_slot_does_not_allow(
    rig: Rig, element: Element
) -> None:
    """Behind both locks, through the firmware's driver: what WriteConfig forbids stays forbidden."""
    config, serial = element.config, element.serial_number().hex()
    before = keys(element)
    rules = {slot: entry.config.write_config for slot, entry in enumerate(config.slots)}
    data = first((n for n in config.data_slots if rules[n] > 1 and not rules[n] & 0x4), "closed data slot")
    private = first((n for n in config.private_slots if not rules[n] & 0x2), "private slot without GenKey")
    board = rig.booted_board()
    permit = rig.guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=data))
    with pytest.raises(RpcError, match="0xf4"):
        atca_set_key(board, data, bytes(32), permit, private=False)
    permit = rig.guard.permit(Operation.GENERATE_KEY, Facts(serial, slot=private))
    with pytest.raises(RpcError, match="0xf4"):
        atca_generate_key(board, private, permit)
    assert keys(rig.element) == before


@pytest.mark.req("HIL-LOCK-017")
@pytest.mark.needs(element="provisioned")
def test_no_private_key_and_no_secret_can_be_read(element: Element) -> None:
    """In clear, by blocks and by words; what is readable by its configuration stays so."""
    config = element.config
    hidden = [n for n, slot in enumerate(config.slots) if slot.key.private or slot.config.is_secret]
    readable = [
        slot
        for slot in range(16)
        if answers(partial(element.read_slot_block, slot, 0))
        or answers(partial(element.read_slot_word, slot, 0, 0))
    ]
    assert sorted({*readable} & {*hidden}) == [], "slots that must stay secret can be read"
    assert sorted({*range(16)} - {*readable}) == hidden, "slots that are no secret cannot be read"


# -- slot locks -----------------------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-018")
@pytest.mark.needs(element="config-locked")
@pytest.mark.irreversible("lock-slot", "write-slot", "generate-key")
def test_a_locked_slot_takes_neither_data_nor_keys_and_its_neighbours_do(rig: Rig, element: Element) -> None:
    config = element.config
    data, key = lockable_slot(config, private=False), lockable_slot(config, private=True)
    guard, serial = rig.guard, element.serial_number().hex()
    irreversible.generate_key(element, key, guard.permit(Operation.GENERATE_KEY, Facts(serial, slot=key)))
    for slot in (data, key):
        irreversible.lock_slot(element, slot, guard.permit(Operation.LOCK_SLOT, facts(element, config, slot)))
    assert element.lock_state().slots == {data, key}
    before = element.public_key(key)
    permit = guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=data))
    with pytest.raises(ElementError, match="0x0F"):
        irreversible.write_slot(element, data, bytes(32), permit)
    permit = guard.permit(Operation.GENERATE_KEY, Facts(serial, slot=key))
    with pytest.raises(ElementError, match="0x0F"):
        irreversible.generate_key(element, key, permit)
    permit = guard.permit(Operation.WRITE_PRIVATE_KEY, Facts(serial, slot=key))
    with pytest.raises(ElementError, match="0x0F"):
        irreversible.write_private_key(element, key, bytes(31) + b"\x01", permit)
    again = Command(Opcode.LOCK, 0x02 | data << 2)
    permit = guard.permit(Operation.LOCK_SLOT, facts(element, config, data))
    assert obeyed(element, permit, again) is None, "a slot was locked twice"
    assert element.public_key(key) == before
    neighbour = next(n for n in range(16) if n != data and not config.slots[n].key.private)
    permit = guard.permit(Operation.WRITE_SLOT, Facts(serial, slot=neighbour))
    irreversible.write_slot(element, neighbour, bytes(32), permit)


# -- for ever -------------------------------------------------------------------------------------


@pytest.mark.req("HIL-LOCK-019")
@pytest.mark.needs("power", element="provisioned")
@pytest.mark.irreversible("lock-slot", "write-config")
def test_locks_persist_over_sleep_idle_watchdog_and_power_cycles(rig: Rig, element: Element) -> None:
    config = element.config
    assert config.config_locked, "the configuration was locked and is open after a power cycle"
    assert config.data_locked, "the data zone was locked and is open after a power cycle"
    slot = lockable_slot(config, private=False)
    irreversible.lock_slot(element, slot, rig.guard.permit(Operation.LOCK_SLOT, facts(element, config, slot)))
    before, locks = element.read_config(), element.lock_state()
    assert slot in locks.slots

    def idle() -> None:
        element.wake()
        element.idle()

    def watchdog() -> None:
        element.wake()
        rig.clock.sleep(WATCHDOG_US)

    def sleep() -> None:
        element.wake()
        element.sleep()

    def power() -> None:
        for _ in range(2):
            rig.power_cycle()
        rig.need_start()

    for rest in (sleep, idle, watchdog, power):
        rest()
        assert rig.element.lock_state() == locks, f"a lock is gone after {rest.__name__}"
        assert rig.element.read_config() == before, f"the configuration changed over {rest.__name__}"
    write = Command(Opcode.WRITE, 0x00, 0x0005, before[20:24])
    permit = rig.guard.permit(Operation.WRITE_CONFIG, facts(rig.element, config))
    assert obeyed(rig.element, permit, write) is None, "the configuration can be written again"
