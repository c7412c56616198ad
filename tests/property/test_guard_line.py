"""No call reaches a board's firmware by hand, however its bytes are cut, filled, escaped or restarted.

The firmware is modelled here a second time, more leniently than any real one, from what its reader is
known to take: keys without quotes, escapes, white space, flow control taken out, a restart that forgets
what came before (cesanta/frozen frozen.c; mongoose-os-libs rpc-uart; esp_console_split_argv).
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.clock import Calendar, WallClock
from hil.errors import GuardRefusal
from hil.guard.guard import Guard
from hil.guard.ledger import Ledger
from hil.guard.line import GuardedLine
from hil.guard.requirements import Policy

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hil.guard.line import Speech

RESTART = None
COMMANDS = ("init", "generate-keys", "program-dev-cert", "program-signer-cert")
CALLS = ("atca.lockzone", "atca.genkey", "atca.setkey", "i2c.write", "ota.update")
MAX_FRAME = 4096


class Firmware:
    """The port behind the guarded line, and what the firmware behind it makes of the bytes."""

    name, physical = "a board", True

    def __init__(self) -> None:
        self.clock = WallClock()
        self.since_start = ""

    def write(self, data: bytes) -> None:
        self.since_start += data.decode("latin-1")

    def read(self, deadline: int) -> bytes:
        return b""

    def close(self) -> None: ...

    def restart(self) -> None:
        self.since_start = ""

    def commands(self) -> list[str]:
        """First words of all complete lines; a start may have taken ``version`` in front."""
        found = []
        for line in re.split(r"[\r\n\0]", self.since_start)[:-1]:
            plain = re.sub(r"^(?:version)*", "", re.sub(r"[\"'\\]", "", line))
            found += plain.split()[:1]
        return found

    def calls(self) -> list[str]:
        """Values of every ``method`` in what came since the start, delimiters ignored."""
        text = re.sub("[\x11\x13]", "", self.since_start)
        tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[A-Za-z][A-Za-z0-9_]*|[:{},]', text)
        plain = [re.sub(r"\\u00(..)", lambda m: chr(int(m[1], 16)), t) for t in tokens]
        return [
            plain[at + 2].strip('"').lower()
            for at in range(len(plain) - 2)
            if plain[at].strip('"') == "method" and plain[at + 1] == ":"
        ]


def line(folder: Path, speech: Speech) -> tuple[Firmware, GuardedLine]:
    guard = Guard(Policy(), Ledger(folder, Calendar(0.0)), owns_rig=lambda: True)
    firmware = Firmware()
    return firmware, GuardedLine(firmware, guard, speech)


def escaped(text: str) -> str:
    return "".join(f"\\u00{ord(c):02x}" for c in text)


WORDS = [
    *COMMANDS, "init\r", "generate-keys 0\r", "help ", "help", "print-chip-info", "provide-cert-def",
    "version", "lock-slot", "in", "it", "x", "0", "1 123", " ", "  ", '"', "'", "\\", "\r", "\n", "\0",
    "\r", "\r",
]  # fmt: skip
PIECES = [
    '{"method":', "{method:", '"method"', "method", ":", " ", "\t", " " * 300, "\n", '"""', '"', "{", "}",
    ",", '"ATCA.LockZone"', '"ATCA.GenKey","params":{"slot":0}}', '"I2C.Write"', '"Sys.GetInfo"', '"atca.gen',
    'Key"', '"id":1', f'"{escaped("method")}"', f'"{escaped("A")}TCA.GenKey"', "\x11", "\x13", "\x04",
    '"filename":"a.txt"', '"OTA.Update"', '{"method"' + " " * 600 + ':"ATCA.GenKey"}',
]  # fmt: skip


def cut(texts: list[str | None], at: int) -> list[bytes | None]:
    """Each text in writes of at most ``at`` bytes; None is a restart of the board."""
    writes: list[bytes | None] = []
    for text in texts:
        if text is None:
            writes.append(None)
        else:
            raw = text.encode("latin-1")
            writes += [raw[n : n + at] for n in range(0, len(raw), at)]
    return writes


def play(firmware: Firmware, guarded: GuardedLine, writes: list[bytes | None]) -> None:
    for data in writes:
        if data is None:
            firmware.restart()
            continue
        with suppress(GuardRefusal):
            guarded.write(data)


@given(texts=st.lists(st.sampled_from([*WORDS, *[RESTART] * 5]), max_size=12), at=st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_no_command_of_a_provisioning_console(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], at: int
) -> None:
    firmware, guarded = line(tmp_path_factory.getbasetemp(), "console")
    for number, data in enumerate(writes := cut(texts, at)):
        play(firmware, guarded, [data])
        done = [word for word in firmware.commands() if word in COMMANDS]
        assert done == [], writes[: number + 1]


@given(texts=st.lists(st.sampled_from([*PIECES, RESTART]), max_size=14), at=st.integers(1, 400))
@settings(max_examples=300, deadline=None)
def test_no_call_of_the_firmware(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], at: int
) -> None:
    firmware, guarded = line(tmp_path_factory.getbasetemp(), "rpc")
    for number, data in enumerate(writes := cut(texts, at)):
        play(firmware, guarded, [data])
        done = [call for call in firmware.calls() if call in CALLS]
        assert done == [], writes[: number + 1]


def test_the_model_of_the_firmware_understands_what_would_be_sent() -> None:
    """Without the guard the same words are calls and commands: the tests above could fail."""
    bare = Firmware()
    bare.write(b'version"init" 21 22\rhelp\r')
    assert bare.commands() == ["init", "help"]
    bare.restart()
    bare.write(b'{method :"ATCA.Gen\x11Key"}{"\\u006dethod":"\\u0041TCA.LockZone"}')
    assert bare.calls() == ["atca.genkey", "atca.lockzone"]
