"""Every forbidden write in every state of the zones, as a technician would try it.

What must be refused follows from the configuration alone; the table here is written from the data
sheet and knows nothing of the emulated part's own policy. Probes are irreversible commands: they go
through permits, and on a healthy element none of them changes anything.

Source: ATECC508A data sheet DS20005927A (DS508) sections 2.2 to 2.4, 9.7, 9.10, 9.14, 9.21 and
tables 2-8 to 2-11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hil.element.configwords import diff
from hil.element.zones import SLOTS, config_address, data_address
from hil.errors import ElementError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.wire.atecc import Command, Opcode, crc16

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.element.configzone import ConfigZone
    from hil.element.device import Element
    from hil.guard.guard import Guard

__all__ = ["Probe", "Stage", "accepted", "forbidden", "try_one"]

Stage = Literal["blank", "config-locked", "provisioned"]

_LONG, _ENCRYPTED = 0x80, 0x40
_DATA = 2
_CONSUMPTION = 0x55
"""OTPmode in which bits of the OTP zone may still be cleared (DS508 section 2.3)."""
_NEVER_WRITTEN = (0, 4, 8, 12, 84)
"""Words of the configuration with identity, extras and lock bytes: Write never touches them."""
_CHIP_MODE, _SELECTOR = 19, 85
_EXTRAS = (84, _SELECTOR)
"""What UpdateExtra writes, by its mode."""


class Probe(msgspec.Struct, frozen=True):
    """One forbidden command.

    Attributes:
        name: what is tried, for people.
        operation: what a permit for it is called.
        command: the packet.
        slot: the slot concerned.
        config: for configuration writes and locks, what the permit is about.
        data: for data locks, what the checksum covers.
    """

    name: str
    operation: Operation
    command: Command
    slot: int | None = None
    config: bytes | None = None
    data: bytes | None = None


def forbidden(config: ConfigZone, stage: Stage, reviewed: ConfigZone) -> list[Probe]:
    """What an element with this configuration must refuse at this stage.

    Args:
        config: what the element holds.
        stage: how far it is locked.
        reviewed: the configuration that permits for locks are about.
    """
    probes = list(_config_writes(config, stage))
    probes += _locks(config, stage, reviewed.onto(config).to_bytes())
    if stage == "blank":
        probes += _everything_else_while_blank()
    elif stage == "config-locked":
        probes += _data_writes_between(config)
    else:
        probes += _data_writes_by_rules(config)
    return probes


def try_one(element: Element, guard: Guard, probe: Probe, serial: str) -> int:
    """Send a probe under a permit; returns the element's status, 0 if it was obeyed."""
    facts = Facts(serial, slot=probe.slot, config=probe.config, data=probe.data)
    permit = guard.permit(probe.operation, facts)
    try:
        with permit.armed([probe.command]):
            element.execute(probe.command)
    except ElementError as error:
        return error.status
    return 0


def accepted(element: Element, guard: Guard, stage: Stage, reviewed: ConfigZone) -> list[str]:
    """Every forbidden command that the element obeyed; and whether the configuration changed."""
    config = element.config
    serial = config.serial.hex()
    wrong = [
        f"{probe.name} was obeyed"
        for probe in forbidden(config, stage, reviewed)
        if try_one(element, guard, probe, serial) == 0
    ]
    changed = diff(config, element.config)
    return wrong + [f"changed: {difference}" for difference in changed]


def _config_writes(config: ConfigZone, stage: Stage) -> Iterator[Probe]:
    """Once locked no word; before, not those that hold identity, extras and lock bytes.

    What is written is what is there already: if the element obeys, nothing is spoilt.
    """
    zone = config.to_bytes()
    words = _NEVER_WRITTEN if stage == "blank" else range(0, 128, 4)
    for at in words:
        yield Probe(
            f"writing configuration bytes {at} to {at + 3}",
            Operation.WRITE_CONFIG,
            Command(Opcode.WRITE, 0x00, config_address(at), zone[at : at + 4]),
            config=zone,
        )
    for at in (0, 64) if stage == "blank" else range(0, 128, 32):
        yield Probe(
            f"writing configuration bytes {at} to {at + 31} at once",
            Operation.WRITE_CONFIG,
            Command(Opcode.WRITE, _LONG, config_address(at), zone[at : at + 32]),
            config=zone,
        )
    for mode, at in enumerate(_EXTRAS):
        if stage != "blank" and zone[at]:
            name = f"changing byte {at}, which is set already"
            command = Command(Opcode.UPDATEEXTRA, mode, zone[at] ^ 0xFF)
            if at == _SELECTOR and not zone[_CHIP_MODE] & 0x01:
                continue  # DS508 section 9.19: it may be changed again and again
            yield Probe(name, Operation.UPDATE_EXTRA, command)


def _locks(config: ConfigZone, stage: Stage, reviewed: bytes) -> Iterator[Probe]:
    reviewed = reviewed[:86] + b"\x55\x55" + reviewed[88:]
    if stage != "blank":
        command = Command(Opcode.LOCK, 0x00, int.from_bytes(crc16(reviewed), "little"))
        yield Probe("locking the configuration again", Operation.LOCK_CONFIG, command, config=reviewed)
    if stage != "config-locked":
        content = bytes(64)
        command = Command(Opcode.LOCK, 0x01, int.from_bytes(crc16(content), "little"))
        name = "locking the data zone " + ("before the configuration" if stage == "blank" else "again")
        yield Probe(name, Operation.LOCK_DATA, command, config=reviewed, data=content)
    for slot in range(SLOTS):
        lockable = config.slots[slot].key.lockable and config.slot_unlocked(slot)
        if stage == "blank" or not lockable:
            command = Command(Opcode.LOCK, 0x02 | slot << 2)
            yield Probe(f"locking slot {slot}", Operation.LOCK_SLOT, command, slot, config=reviewed)


def _everything_else_while_blank() -> Iterator[Probe]:
    """Before the configuration is locked nothing goes into the other zones."""
    for slot in range(SLOTS):
        yield _write_slot(f"writing slot {slot}", slot)
    yield _write_slot("writing slot 8 encrypted", 8, encrypted=True)
    yield _write_word(10)
    yield _write_otp("writing the OTP zone")
    yield _write_otp("writing a word of the OTP zone", size=4)
    for slot in (0, 15):
        yield _priv_write(f"writing a private key into slot {slot} in clear", slot, 0x00)
        yield _priv_write(f"writing a private key into slot {slot} encrypted", slot, _ENCRYPTED)
        yield _gen_key(slot)
        yield _derive(slot)


def _data_writes_between(config: ConfigZone) -> Iterator[Probe]:
    """Between the locks: only whole blocks, never into private slots, no keys where none belong."""
    for slot in range(SLOTS):
        if config.slots[slot].key.private:
            yield _write_slot(f"writing private slot {slot} like data", slot)
        else:
            yield _write_word(slot)
            yield _gen_key(slot)
            yield _priv_write(f"writing a private key into data slot {slot}", slot, 0x00)
    yield _write_otp("writing a word of the OTP zone", size=4)


def _data_writes_by_rules(config: ConfigZone) -> Iterator[Probe]:
    """Behind both locks: what WriteConfig does not allow (DS508 tables 2-8 to 2-11)."""
    for slot, entry in enumerate(config.slots):
        nibble = entry.config.write_config
        if entry.key.private:
            yield _write_slot(f"writing private slot {slot} like data", slot)
            yield _priv_write(f"writing a private key into slot {slot} in clear", slot, 0x00)
            if not nibble & 0x4:
                yield _priv_write(f"writing a private key into slot {slot} encrypted", slot, _ENCRYPTED)
            if not nibble & 0x2:
                yield _gen_key(slot)
        else:
            yield _gen_key(slot)
            if nibble > 1:
                yield _write_slot(f"writing slot {slot} in clear", slot)
            if nibble > 1 or entry.config.is_secret:
                yield _write_word(slot)
            if nibble > 1:  # where it is allowed, without the key and with a wrong MAC
                yield _write_slot(f"writing slot {slot} encrypted", slot, encrypted=True)
            yield _priv_write(f"writing a private key into data slot {slot}", slot, _ENCRYPTED)
        if not nibble & 0x2 or entry.key.private:
            yield _derive(slot)
    if config.otp_mode != _CONSUMPTION:
        yield _write_otp("writing the OTP zone")
        yield _write_otp("writing a word of the OTP zone", size=4)


def _write_slot(name: str, slot: int, *, encrypted: bool = False) -> Probe:
    mode = _LONG | _DATA | (_ENCRYPTED if encrypted else 0)
    command = Command(Opcode.WRITE, mode, data_address(slot, 0), bytes(64 if encrypted else 32))
    return Probe(name, Operation.WRITE_SLOT, command, slot)


def _write_word(slot: int) -> Probe:
    command = Command(Opcode.WRITE, _DATA, data_address(slot, 0), bytes(4))
    return Probe(f"writing a word of slot {slot}", Operation.WRITE_SLOT, command, slot)


def _write_otp(name: str, size: int = 32) -> Probe:
    mode = 0x01 | (_LONG if size == 32 else 0)
    return Probe(name, Operation.WRITE_OTP, Command(Opcode.WRITE, mode, 0, bytes(size)))


def _derive(slot: int) -> Probe:
    command = Command(Opcode.DERIVEKEY, 0x00, slot)
    return Probe(f"deriving a key into slot {slot}", Operation.DERIVE_KEY, command, slot)


def _priv_write(name: str, slot: int, mode: int) -> Probe:
    scalar = bytes(4) + bytes(31) + b"\x01"
    command = Command(Opcode.PRIVWRITE, mode, slot, scalar + bytes(32))
    return Probe(name, Operation.WRITE_PRIVATE_KEY, command, slot)


def _gen_key(slot: int) -> Probe:
    command = Command(Opcode.GENKEY, 0x04, slot)
    return Probe(f"making a key in slot {slot}", Operation.GENERATE_KEY, command, slot)
