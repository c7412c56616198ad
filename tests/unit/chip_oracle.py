"""What may be said of any part, whatever was sent to it: a small oracle, independent of its tables.

It knows the sizes of answers, when TempKey must be gone, and what never happens: a lock that opens, a
counter that goes back, a private key in an answer. Sources: DS20005927A sections 2.5.1, 9.1 and 9.3,
DS40002138A section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.chip import Power
from hil.wire.atecc import crc16

if TYPE_CHECKING:
    from hil.emulator.chip import Chip, Executed
    from hil.wire.atecc import Command

STATUS = {0x00, 0x01, 0x03, 0x05, 0x07, 0x08, 0x0F, 0xEE, 0xFF}
ANSWERS = {
    0x01: {0}, 0x02: {4, 32}, 0x08: {32}, 0x11: {32}, 0x16: {32}, 0x1B: {32}, 0x24: {4}, 0x30: {4},
    0x40: {64}, 0x41: {64}, 0x43: {32, 64}, 0x45: {32}, 0x47: {32, *range(36, 100)}, 0x51: {16},
    0x56: {32, 64, 96, 128}, 0x80: {32},
}  # fmt: skip
"""Sizes of answers that are data; every opcode may answer a status."""
OPCODES = [*ANSWERS, 0x12, 0x15, 0x17, 0x1C, 0x20, 0x28, 0x46, 0x77]

OK, ECC_FAULT, NOT_HEARD = 0x00, 0x05, 0xFF
NONCE, GENDIG, GENKEY, SHA, CHECKMAC, INFO = 0x16, 0x15, 0x40, 0x47, 0x28, 0x30
MAC, SIGN, VERIFY, DERIVE_KEY = 0x08, 0x41, 0x45, 0x1C


def allowed(line: Executed) -> bool:
    """Whether this is an answer that the sheets allow for the opcode."""
    response = line.response
    if not response:
        return line.command is not None and line.command.opcode == 0x01
    payload = response[1:-2]
    if response[0] != len(response) or crc16(response[:-2]) != response[-2:]:
        return False
    if line.command is None:
        return payload == b"\xff"
    if len(payload) == 1:
        return payload[0] in STATUS or (line.command.opcode == 0x77 and payload[0] & ~0x3D == 0)
    return len(payload) in ANSWERS.get(line.command.opcode, set())


def fragments(key: bytes) -> list[bytes]:
    """Pieces of a key that no answer may contain."""
    return [key[at : at + 8] for at in range(0, 25) if len(set(key[at : at + 8])) > 5]


def ends_temp_key(family: int, command: Command, status: int) -> bool:
    """Whether TempKey must not be valid behind this command."""
    if status in (ECC_FAULT, NOT_HEARD):
        return False
    if family == 508:
        if command.opcode in (NONCE, GENDIG, GENKEY):
            return status != OK
        if command.opcode == CHECKMAC:
            return command.p1 not in (1, 5) or status != OK
        if command.opcode == SHA:
            return command.p1 not in (2, 5) or status != OK
        return command.opcode != INFO
    if status != OK:
        return False  # "may or may not be cleared"
    uses = {
        SIGN: not command.p1 & 0x20 or not command.p1 & 0x80,
        VERIFY: not command.p1 & 0x20,
        MAC: bool(command.p1 & 3),
        CHECKMAC: bool(command.p1 & 3) and command.p1 not in (1, 5),  # those may load it anew
        DERIVE_KEY: True,
    }
    return uses.get(command.opcode, False)


class Oracle:
    """Watches one part; :meth:`check` after whatever was done to it.

    Args:
        chip: the part.
        keys: private keys that are in it, 32 bytes each; later ones are found by looking.
    """

    def __init__(self, chip: Chip, *keys: bytes) -> None:
        self._chip = chip
        self._pieces: set[bytes] = {piece for key in keys for piece in fragments(key)}
        self._seen = len(chip.log)
        self._locks = self._read_locks()
        self._counters = self._read_counters()

    def _read_locks(self) -> tuple[bool, ...]:
        memory = self._chip.memory
        return (memory.config_locked, memory.data_locked, *(not memory.slot_open(n) for n in range(16)))

    def _read_counters(self) -> tuple[int, int]:
        memory = self._chip.memory
        return memory.counter(0), memory.counter(1)

    def check(self) -> None:
        """Raises ``AssertionError`` if something happened that cannot."""
        self._learn_keys()
        family = self._chip.profile.family
        lines = self._chip.log[self._seen :]
        self._seen += len(lines)
        for line in lines:
            assert allowed(line), line
            assert not any(piece in line.response for piece in self._pieces), f"a private key in {line}"
        last = lines[-1] if lines else None
        if last is not None and last.command is not None and last.response:
            status = last.response[1] if len(last.response) == 4 else OK
            ended = ends_temp_key(family, last.command, status)
            assert not (ended and self._chip.session.temp_key.valid), f"TempKey is valid behind {last}"
        if self._chip.power in (Power.ASLEEP, Power.OFF):
            session = self._chip.session
            assert not session.temp_key.valid
            left = (session.sha, session.auth_key, session.msg_dig_buf, session.alt_key_buf)
            assert left == (None,) * 4
        self._check_locks()

    def _learn_keys(self) -> None:
        memory, temp = self._chip.memory, self._chip.session.temp_key
        keys = [memory.slot(slot)[4:36] for slot in range(16) if memory.key_valid[slot]]
        if temp.valid and temp.secret:
            keys.append(temp.value)
        self._pieces |= {piece for key in keys for piece in fragments(key)}

    def _check_locks(self) -> None:
        before, now = self._locks, self._read_locks()
        # While the configuration is open its bits may be written, slot locks among them.
        sticky = slice(None) if before[0] else slice(2)
        assert all(n or not b for b, n in zip(before[sticky], now[sticky], strict=True)), "a lock opened"
        counters = self._read_counters()
        if before[0]:
            assert all(n >= b for b, n in zip(self._counters, counters, strict=True)), "a counter went back"
        self._locks, self._counters = now, counters
