"""Buses with a script, for tests of the element driver: bytes in, bytes out, no chip model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.clock import World
from hil.errors import I2CNack
from hil.i2c.recorded import RecordedBus
from hil.i2c.trace import Transaction
from hil.wire.atecc import WAKE_RESPONSE, Command, decode_command, encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ADDRESS = 0x60
SERIAL = bytes.fromhex("0123f3acfd2a826bee")


class Script:
    """Builds what must cross the wire, transaction by transaction."""

    def __init__(self, address: int = ADDRESS) -> None:
        self.transactions: list[Transaction] = []
        self._address = address

    def wake(self, answer: bytes = WAKE_RESPONSE) -> Script:
        self.transactions.append(Transaction(0, 180, "wake", 0))
        return self.read(answer)

    def read(self, data: bytes, length: int | None = None) -> Script:
        length = len(data) if length is None else length
        data = data + b"\xff" * (length - len(data))
        return self._add("read", data, length)

    def busy(self, length: int, times: int = 1) -> Script:
        for _ in range(times):
            self._add("read", b"", length, nack=-1)
        return self

    def send(self, command: Command, *, nack: int | None = None) -> Script:
        return self._add("write", b"\x03" + command.encode(), 0, nack=nack)

    def answer(self, payload: bytes, size: int | None = None) -> Script:
        """The answer, read with as many bytes as the driver expects (``size`` payload bytes)."""
        return self.read(encode_response(payload), (len(payload) if size is None else size) + 3)

    def state(self, word: int, *, nack: int | None = None) -> Script:
        return self._add("write", bytes((word,)), 0, nack=nack)

    def sleep(self) -> Script:
        return self.state(1)

    def idle(self) -> Script:
        return self.state(2)

    def rewind(self) -> Script:
        return self.state(0)

    def _add(self, op: str, data: bytes, length: int, nack: int | None = None) -> Script:
        assert op in ("read", "write")
        item = Transaction(0, 100, op, self._address, data, length, nack)  # type: ignore[arg-type]
        self.transactions.append(item)
        return self

    def bus(self) -> RecordedBus:
        return RecordedBus(self.transactions, World(), "script")


class AnsweringBus:
    """Wakes, idles, sleeps, and answers commands by a function (None: never); the log holds every command."""

    physical = False
    name = "answering bus"

    def __init__(self, answer: Callable[[Command], bytes | None]) -> None:
        self.clock = World()
        self.log: list[Command] = []
        self.states: list[str] = []
        self._answer = answer
        self._buffer: bytes | None = b""
        self._awake = False

    def wake_pulse(self) -> None:
        if not self._awake:
            self._awake = True
            self._buffer = WAKE_RESPONSE
            self.states.append("wake")

    def write(self, address: int, data: bytes) -> None:
        if address != ADDRESS or not self._awake:
            raise I2CNack(address)
        if data[0] in (1, 2):
            self._awake = False
            self.states.append({1: "sleep", 2: "idle"}[data[0]])
        elif data[0] == 3:
            command = decode_command(data[1:])
            self.log.append(command)
            payload = self._answer(command)
            self._buffer = None if payload is None else encode_response(payload)

    def read(self, address: int, length: int) -> bytes:
        if address != ADDRESS or not self._awake or self._buffer is None:
            raise I2CNack(address)
        return self._buffer + b"\xff" * (length - len(self._buffer))


def in_order(expected: Sequence[tuple[Command, bytes]]) -> Callable[[Command], bytes]:
    """Answers that must be asked for in exactly this order."""
    rest = list(expected)

    def answer(command: Command) -> bytes:
        assert rest, f"one command too many: {command}"
        wanted, payload = rest.pop(0)
        assert command == wanted
        return payload

    return answer
