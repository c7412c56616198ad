"""I2C traces: every transaction with its time, bytes and outcome; as JSONL and as a listing.

A trace can be replayed by :class:`hil.i2c.recorded.RecordedBus`. Bytes that are secret on the bus
(private keys and slot contents written in clear, agreed keys) are hidden unless asked for: they are
stored as ``??`` and a replay does not compare what is written there; to replay a session in which
such a key was *read*, record it with ``secrets=True``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from hil.errors import ConfigError, FrameError, I2CError, I2CNack
from hil.wire.atecc import (
    STATUS_MEANING,
    WAKE_RESPONSE,
    Command,
    Opcode,
    WordAddress,
    decode_command,
    decode_response,
    status_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hil.clock import Clock
    from hil.i2c.bus import I2CBus

__all__ = ["Decoder", "SecretWatch", "TracedBus", "Transaction", "dump_trace", "listing", "load_trace"]

Operation: TypeAlias = Literal["write", "read", "wake"]
_VERSION = 1
_ACKNOWLEDGED = None


class Transaction(msgspec.Struct, frozen=True):
    """One START … STOP on the bus.

    Attributes:
        at: clock time of the START in microseconds.
        us: how long it took.
        op: what it was; a wake pulse counts as one.
        address: 7-bit address, 0 for a wake pulse.
        data: bytes written, or bytes read.
        length: how many bytes a read asked for.
        nack: index of the byte that was not acknowledged, -1 for the address; None: all were.
        error: any other failure of the bus, in words.
        hidden: index of the first secret byte; from there on ``data`` holds zeros.
    """

    at: int
    us: int
    op: Operation
    address: int
    data: bytes = b""
    length: int = 0
    nack: int | None = None
    error: str | None = None
    hidden: int | None = None

    @property
    def shown(self) -> str:
        """The bytes in hex, hidden ones as ``??``."""
        clear = len(self.data) if self.hidden is None else self.hidden
        return " ".join([*(f"{byte:02x}" for byte in self.data[:clear]), *["??"] * (len(self.data) - clear)])


@dataclass
class TracedBus:
    """Another bus, watched; an ``I2CBus``.

    Args:
        bus: the bus that does the work.
        sink: called with each transaction when it is over, failed ones included.
        secrets: also record what is secret.
    """

    bus: I2CBus
    sink: Callable[[Transaction], None]
    secrets: bool = False
    _watch: SecretWatch = field(default_factory=lambda: SecretWatch(), init=False)

    @property
    def clock(self) -> Clock:
        """Clock of the bus."""
        return self.bus.clock

    @property
    def name(self) -> str:
        """Name of the bus."""
        return self.bus.name

    @property
    def physical(self) -> bool:
        """Whether the bus is a physical one."""
        return self.bus.physical

    def write(self, address: int, data: bytes) -> None:
        """One write transaction; see :meth:`hil.i2c.bus.I2CBus.write`."""
        hidden = None if self.secrets else self._watch.written(data)
        start = self.clock.now
        try:
            self.bus.write(address, data)
        except I2CError as error:
            self._record(start, "write", address, data, 0, hidden, error)
            raise
        self._record(start, "write", address, data, 0, hidden)

    def read(self, address: int, length: int) -> bytes:
        """One read transaction; see :meth:`hil.i2c.bus.I2CBus.read`."""
        start = self.clock.now
        try:
            data = self.bus.read(address, length)
        except I2CError as error:
            self._record(start, "read", address, b"", length, None, error)
            raise
        hidden = None if self.secrets else self._watch.read(data)
        self._record(start, "read", address, data, length, hidden)
        return data

    def wake_pulse(self) -> None:
        """See :meth:`hil.i2c.bus.I2CBus.wake_pulse`."""
        start = self.clock.now
        try:
            self.bus.wake_pulse()
        except I2CError as error:
            self._record(start, "wake", 0, b"", 0, None, error)
            raise
        self._record(start, "wake", 0, b"", 0, None)

    def _record(
        self,
        start: int,
        op: Operation,
        address: int,
        data: bytes,
        length: int,
        hidden: int | None,
        error: I2CError | None = None,
    ) -> None:
        if hidden is not None:
            data = data[:hidden] + bytes(len(data) - hidden)
        self.sink(
            Transaction(
                at=start,
                us=self.clock.now - start,
                op=op,
                address=address,
                data=data,
                length=length,
                nack=error.at if isinstance(error, I2CNack) else None,
                error=None if error is None or isinstance(error, I2CNack) else error.message,
                hidden=hidden,
            )
        )


class SecretWatch:
    """Finds out which bytes of a transaction are secret, also when a group crosses in pieces."""

    def __init__(self) -> None:
        self._group = b""
        self._hide_answer = False
        self._read = 0
        self._answer_head = b""

    def written(self, data: bytes) -> int | None:
        """Index of the first secret byte of this write, or None."""
        if not data:
            return None
        self._read, self._answer_head = 0, b""
        if data[0] != WordAddress.COMMAND:
            self._group = b""
            return None
        if self._group and len(self._group) >= self._group[0]:
            self._group = b""
        before = len(self._group)
        self._group += data[1:]
        opcode, mode = self._group[1:2], self._group[2:3]
        self._hide_answer = opcode in _SECRET_ANSWERS
        if not mode or not _carries_secret(opcode[0], mode[0]):
            return None
        first = 1 + max(0, _DATA_AT - before)
        return first if first < len(data) else None

    def read(self, data: bytes) -> int | None:
        """Index of the first secret byte of this read, or None; a whole status is never secret.

        The count byte alone proves nothing: damaged, it makes a key look like a status.
        """
        if not self._hide_answer or (not self._read and not data.strip(b"\xff")):
            return None
        self._answer_head += data[: len(WAKE_RESPONSE) - len(self._answer_head)]
        status = _is_status(self._answer_head)
        first = max(0, (len(WAKE_RESPONSE) if status else 1) - self._read)
        self._read += len(data)
        rest = data[first:].strip(b"\xff") if status else data[first:]
        return first if rest else None


_DATA_AT = 5
"""Where the data of a command group begin: behind count, opcode, p1 and p2."""
_SECRET_ANSWERS = (bytes((Opcode.ECDH,)), bytes((Opcode.KDF,)))


def _is_status(group: bytes) -> bool:
    return len(group) == len(WAKE_RESPONSE) and group == status_response(group[1])


def _carries_secret(opcode: int, mode: int) -> bool:
    """Commands whose data are keys in clear: unencrypted key and data writes, the alternate key."""
    if opcode == Opcode.PRIVWRITE:
        return not mode & 0x40
    if opcode == Opcode.WRITE:
        return mode & 0x03 == 2 and not mode & 0x40
    return opcode == Opcode.NONCE and mode & 0xC0 == 0x80


# JSONL


def dump_trace(transactions: Iterable[Transaction], *, bus: str, clock: str) -> str:
    """A trace as JSONL: one header line, then one line a transaction with its meaning."""
    decoder = Decoder()
    lines: list[dict[str, Any]] = [{"trace": "i2c", "version": _VERSION, "bus": bus, "clock": clock}]
    for item in transactions:
        line: dict[str, Any] = {
            "at": item.at,
            "us": item.us,
            "op": item.op,
            "address": f"0x{item.address:02x}",
        }
        if item.data:
            line["data"] = item.shown
        if item.op == "read":
            line["length"] = item.length
        if item.nack is not None:
            line["nack"] = item.nack
        if item.error is not None:
            line["error"] = item.error
        line["means"] = decoder.feed(item)
        lines.append(line)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def load_trace(text: str, source: str = "trace") -> list[Transaction]:
    """Transactions of a JSONL trace.

    Raises:
        ConfigError: it is no such trace; the message names the line.
    """
    transactions: list[Transaction] = []
    for number, row in enumerate(text.splitlines(), start=1):
        try:
            line = json.loads(row)
            if number == 1:
                if (line["trace"], line["version"]) != ("i2c", _VERSION):
                    raise ConfigError(f"{source}:1: not an I2C trace of version {_VERSION}")
                continue
            transactions.append(_transaction(line))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{source}:{number}: no line of an I2C trace: {error}") from error
    if not text:
        raise ConfigError(f"{source} is empty")
    return transactions


def _transaction(line: dict[str, Any]) -> Transaction:
    shown = line.get("data", "").split()
    hidden = shown.index("??") if "??" in shown else None
    if line["op"] not in ("write", "read", "wake"):
        raise ValueError(f"unknown op {line['op']!r}")
    return Transaction(
        at=int(line["at"]),
        us=int(line["us"]),
        op=line["op"],
        address=int(line["address"], 16),
        data=bytes(0 if byte == "??" else int(byte, 16) for byte in shown),
        length=int(line.get("length", 0)),
        nack=line.get("nack"),
        error=line.get("error"),
        hidden=hidden,
    )


# Words


def listing(transactions: Iterable[Transaction], *, bytes_shown: int = 16) -> str:
    """A trace for people: time, direction, bytes, meaning; polls of a busy element in one line."""
    decoder = Decoder()
    rows: list[str] = []
    polls = 0
    for item in transactions:
        meaning = decoder.feed(item)
        if meaning == _BUSY:
            polls += 1
            continue
        if polls:
            rows.append(
                f"{'':12} {'':14} busy, {polls} polls" if polls > 1 else f"{'':12} {'':14} busy, 1 poll"
            )
            polls = 0
        shown = item.shown.split()
        octets = " ".join(shown[:bytes_shown]) + (
            f" … {len(shown)} bytes" if len(shown) > bytes_shown else ""
        )
        who = "wake" if item.op == "wake" else f"{item.op:5} 0x{item.address:02x}"
        rows.append(f"{item.at / 1000:9.3f} ms {who:14} {meaning}{f'  [{octets}]' if octets else ''}")
    if polls:
        rows.append(f"{'':12} {'':14} busy, {polls} polls")
    return "\n".join(rows)


_BUSY = "busy"


class Decoder:
    """Says what each transaction means; it remembers the command that an answer belongs to."""

    def __init__(self) -> None:
        self._last: str = ""
        self._group = b""
        self._awake = False

    def feed(self, item: Transaction) -> str:
        """Meaning of the next transaction."""
        if item.error is not None:
            return f"bus error: {item.error}"
        if item.op == "wake":
            self._last, self._awake = "wake", True
            self._group = b""
            return "wake pulse"
        if item.nack is not None:
            if item.nack >= 0:
                return f"byte {item.nack} not acknowledged"
            return _BUSY if item.op == "read" else "not acknowledged: asleep, idle, busy or absent"
        return self._write(item) if item.op == "write" else self._read(item)

    def _write(self, item: Transaction) -> str:
        data = item.data
        if not data:
            return "probe"
        try:
            word = WordAddress(data[0])
        except ValueError:
            return f"word address 0x{data[0]:02x}, which is reserved"
        if word is not WordAddress.COMMAND:
            self._group = b""
            return {WordAddress.RESET: "read again", WordAddress.SLEEP: "sleep", WordAddress.IDLE: "idle"}[
                word
            ]
        if item.hidden is not None and len(data) > 5:
            self._last = Command(data[2]).label
            return f"{self._last} mode 0x{data[3]:02x} p2 0x{data[4] | data[5] << 8:04x}, data hidden"
        try:
            command = decode_command(data[1:])
        except FrameError as error:
            self._last = "damaged command"
            return f"no whole command: {error.message}"
        self._last, self._group = command.label, b""
        size = f", {len(command.data)} bytes" if command.data else ""
        return f"{command.label} mode 0x{command.p1:02x} p2 0x{command.p2:04x}{size}"

    def _read(self, item: Transaction) -> str:
        self._group += item.data
        if item.hidden is not None:
            self._group = b""
            return f"{self._last} answers, data hidden"
        if not self._group:
            return "a read of no bytes"
        if self._group[:1] == b"\xff":
            self._group = b""
            return "nothing there (FF)"
        if len(self._group) < self._group[0]:
            return f"{self._last} begins to answer"
        group, self._group = self._group[: self._group[0]], b""
        if self._last == "wake" and group == WAKE_RESPONSE:
            return "awake"
        try:
            payload = decode_response(group)
        except FrameError as error:
            return f"{self._last} answers damaged: {error.message}"
        if len(payload) == 1:
            return f"{self._last}: {STATUS_MEANING.get(payload[0], 'unknown status')}"
        return f"{self._last} answers {len(payload)} bytes"
