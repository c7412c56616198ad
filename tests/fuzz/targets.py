"""What is fuzzed: the packet codec, the chip at packet level, the chip on its bus.

A target takes any bytes and raises only if something happened that cannot. The same functions serve
the coverage-guided fuzzer (``python -m tests.fuzz.run``, environment ``long``) and the replay of the
corpus in the normal run.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hil.errors import FrameError
from hil.i2c.trace import Decoder, Transaction, dump_trace, listing, load_trace
from hil.wire.atecc import Command, decode_command, decode_response, encode_response
from tests.unit.chip_bench import ECC_PUBLIC, TEST_POINT, TEST_SCALAR, Part, summary
from tests.unit.chip_oracle import OPCODES, Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.chip import Executed
    from hil.emulator.chip.chip import Snapshot

__all__ = ["TARGETS", "executed"]

LENGTHS = (0, 0, 0, 0, 3, 4, 16, 20, 32, 32, 35, 36, 64, 64, 68, 77, 83, 96, 127, 128)
"""Numbers of data bytes that some command takes."""
EXHAUSTED = 0


class Script:
    """Bytes read one after the other; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        value = self._data[self._at] if self.left else EXHAUSTED
        self._at += 1
        return value

    def word(self) -> int:
        return self.byte() | self.byte() << 8

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken.ljust(length, b"\0")

    def command(self) -> Command:
        """A whole command; opcodes and lengths that exist are likelier than others."""
        opcode, length = self.byte(), self.byte()
        if opcode < 240:
            opcode = OPCODES[opcode % len(OPCODES)]
        mode, p2 = self.byte(), self.word()
        size = LENGTHS[length % len(LENGTHS)] if length < 240 else length - 240
        return Command(opcode, mode, p2, self.take(size))


# -- the packet codec ----------------------------------------------------------------------------


def packets(data: bytes) -> None:
    """Codecs and trace decoder: an error of ours or a value that encodes to the same bytes."""
    try:
        command = decode_command(data)
    except FrameError:
        pass
    else:
        assert command.encode() == data
    try:
        payload = decode_response(data)
    except FrameError:
        pass
    else:
        assert encode_response(payload) == data
    script = Script(data)
    if len(data) >= 5:
        command = script.command()
        assert decode_command(command.encode()) == command
    transactions = list(_transactions(Script(data)))
    decoder = Decoder()
    for item in transactions:
        assert decoder.feed(item)
    listing(transactions)
    assert load_trace(dump_trace(transactions, bus="fuzz", clock="virtual")) == transactions


def _transactions(script: Script) -> list[Transaction]:
    made: list[Transaction] = []
    while script.left:
        kind, size = script.byte(), script.byte() % 40
        if kind % 4 == 0:
            made.append(Transaction(len(made), 1, "wake", 0))
        elif kind % 4 == 1:
            nack = size if kind & 16 else None
            made.append(Transaction(len(made), 1, "write", 0x60, script.take(size), nack=nack))
        else:  # a read has at least one byte: behind the address the element sends
            made.append(Transaction(len(made), 1, "read", 0x60, script.take(size + 1), size + 1))
    return made


# -- the chip ------------------------------------------------------------------------------------

PARTS = (
    ("atecc508a", "mongoose-os", 0), ("atecc508a", "mongoose-os", 1), ("atecc508a", "mongoose-os", 2),
    ("atecc608b", "mongoose-os", 0), ("atecc608b", "mongoose-os", 1), ("atecc608b", "mongoose-os", 2),
    ("atecc508a", None, 1), ("atecc608a", None, 1), ("atecc608a", "rich", 2), ("atecc508a", "rich", 2),
)  # fmt: skip
"""Profile, configuration, and how many zones are locked; ``rich`` lets every command do something."""


@cache
def _start(which: int) -> tuple[Part, Snapshot]:
    name, configuration, locks = PARTS[which]
    part = Part(name) if configuration in (None, "rich") else Part(name, configuration=configuration)
    if configuration == "rich":
        _enrich(part)
    part.memory.set_private_key(0, TEST_SCALAR)
    part.memory.set_slot(4, bytes(range(32)))
    if locks:
        part.locked(data=locks == 2)
    part.start()
    return part, part.chip.snapshot()


def _enrich(part: Part) -> None:
    """Slots for ECDH to the next slot, encrypted reads, DeriveKey, AES, validated keys, authorisation."""
    part.slot(0, 0x2087, 0x0033).slot(2, 0x208F, 0x0033).slot(3, 0x0F0F, 0x003C).slot(4, 0x0F8F, 0x003C)
    part.slot(5, 0x24C4, 0x003C).slot(6, 0x0F8F, 0x003C).slot(7, 0x24A4, 0x04BC).slot(8, 0x0F0F, 0x003C)
    part.slot(9, 0x0F8F, 0x0018).slot(14, 0x1F0D, 0x0012).slot(13, 0x0F0F, ECC_PUBLIC).slot(
        15, 0x0F0F, ECC_PUBLIC
    )
    if part.profile.family == 608:
        part.memory.set_config(69, bytes.fromhex("84 0E F8 00 69 76"))
        part.memory.set_config(90, bytes.fromhex("0E 60"))
    part.memory.set_private_key(2, bytes(31) + b"\x05")
    for slot in (13, 14, 15):
        part.memory.set_public_key(slot, TEST_POINT, validity=5 if slot == 14 else 0)


def _fresh(script: Script) -> Part:
    part, snapshot = _start(script.byte() % len(PARTS))
    part.time = 0
    part.chip.log.clear()
    part.chip.restore(snapshot)
    return part


def chip_packets(data: bytes) -> None:
    """Any commands, with a right CRC, on any part."""
    script = Script(data)
    part = _fresh(script)
    oracle = Oracle(part.chip, TEST_SCALAR)
    while script.left:
        part.chip.execute(_made_sensible(part, script.command()).encode())
        oracle.check()


def chip_bus(data: bytes) -> None:
    """Any traffic: whole and broken commands, reads, pauses, wakes, power."""
    script = Script(data)
    part = _fresh(script)
    oracle = Oracle(part.chip, TEST_SCALAR)
    while script.left:
        what = script.byte()
        STEPS[what % len(STEPS)](part, script)
        oracle.check()


def _made_sensible(part: Part, command: Command) -> Command:
    """Lock with the summary CRC that it asks for, which no fuzzer guesses; all else as it is."""
    if command.opcode == 0x17 and command.p1 in (0, 1) and command.p2 & 1:
        return Command(0x17, command.p1, summary(part.chip.memory, data=bool(command.p1)))
    return command


def _send(part: Part, script: Script) -> None:
    part.write(b"\x03" + _made_sensible(part, script.command()).encode())


def _send_and_wait(part: Part, script: Script) -> None:
    _send(part, script)
    part.time = max(part.time, part.chip.busy_until)


def _write(part: Part, script: Script) -> None:
    part.write(script.take(script.byte() % 160))


def _read(part: Part, script: Script) -> None:
    length = script.byte()
    answer = part.read(length)
    assert answer is None or len(answer) == length


def _wait(part: Part, script: Script) -> None:
    part.time += script.word() * 20


def _low(part: Part, script: Script) -> None:
    part.chip.sda_low(script.byte())


def _word_address(part: Part, script: Script) -> None:
    part.write(bytes((script.byte() % 5,)))


def _power(part: Part, script: Script) -> None:
    kind = script.byte() % 4
    if kind == 0:
        part.chip.brown_out()
    elif kind == 1:
        part.chip.power_off()
    elif kind == 2:
        part.chip.power_on()
    else:
        part.chip.power_off()
        part.chip.power_on()
        part.start()


STEPS: tuple[Callable[[Part, Script], None], ...] = (
    _send_and_wait, _send_and_wait, _send_and_wait, _send, _write, _read, _wait, _low, _word_address, _power,
)  # fmt: skip

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "packets": packets,
    "chip-packets": chip_packets,
    "chip-bus": chip_bus,
}
"""By name; the folder of the corpus has the same."""


def executed() -> list[tuple[str, Executed]]:
    """What the parts of the last runs have in their logs: profile name and line."""
    found = []
    for which in range(len(PARTS)):
        part, _ = _start(which)
        found += [(part.profile.name, line) for line in part.chip.log]
    return found
