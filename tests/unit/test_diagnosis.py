"""What a technician is told, from what was seen and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from hil.board.bootlog import Boot, Reset, ResetKind
from hil.bringup.diagnosis import diagnose_restarts, diagnose_silence, diagnose_speed, diagnose_wiring
from hil.power.relay import State
from hil.rigfile import load_rig

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.board.mongoose import MongooseBoard

RIG = load_rig("emulated-esp8266-atecc508a")
EVERYBODY = list(range(1, 120))


class ScriptedBoard:
    """Answers scans by what its bus is configured to."""

    def __init__(self, scan: Callable[[dict[str, Any]], list[int]]) -> None:
        self.i2c: dict[str, Any] = {"sda_gpio": 12, "scl_gpio": 14, "freq": 100_000}
        self.restarts = 0
        self._scan = scan

    def config_get(self, key: str) -> object:
        return self.i2c[key.removeprefix("i2c.")]

    def config_set(self, config: dict[str, dict[str, Any]], *, reboot: bool) -> None:
        assert reboot
        self.restarts += 1
        self.i2c |= config["i2c"]

    def i2c_scan(self) -> list[int]:
        return self._scan(self.i2c)


def wiring(scan: Callable[[dict[str, Any]], list[int]]) -> tuple[str, ScriptedBoard]:
    board = ScriptedBoard(scan)
    said = diagnose_wiring(cast("MongooseBoard", board), RIG, board.i2c_scan())
    assert board.i2c == {"sda_gpio": 12, "scl_gpio": 14, "freq": 100_000}, "the settings are put back"
    return said, board


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        (lambda i2c: [], "no power at the element or a broken line"),
        (lambda i2c: [96] if i2c["sda_gpio"] == 14 else [], "SDA and SCL are swapped"),
        (lambda i2c: [53], "found 53 (0x35), not 96 (0x60)"),
        (lambda i2c: [80, 96], "somebody answers at 80 (0x50)"),
        (lambda i2c: EVERYBODY, "at 10 kHz too: something holds it down"),
        (lambda i2c: [96] if i2c["freq"] == 10_000 else EVERYBODY, "though not at 10 kHz"),
    ],
)
def test_each_picture_of_the_bus_has_its_explanation(
    scan: Callable[[dict[str, Any]], list[int]], words: str
) -> None:
    said, _ = wiring(scan)
    assert words in said


def test_settings_are_put_back_when_the_scan_fails() -> None:
    board = ScriptedBoard(lambda i2c: [])

    def broken(i2c: dict[str, Any]) -> list[int]:
        raise RuntimeError("test")

    board._scan = broken
    with pytest.raises(RuntimeError, match="test"):
        diagnose_wiring(cast("MongooseBoard", board), RIG, [])
    assert board.i2c["sda_gpio"] == 12


@pytest.mark.parametrize(
    ("found", "words"), [(EVERYBODY, "pull-up resistors"), ([], "use a lower `hz`"), ([96], "a lower `hz`")]
)
def test_a_speed_that_does_not_work(found: list[int], words: str) -> None:
    said = diagnose_speed(cast("MongooseBoard", ScriptedBoard(lambda i2c: found)), RIG, 400_000)
    assert "400 kHz" in said
    assert words in said


LOG = b"".join(b"mgos_init.c:%d          a line of the boot log\n" % number for number in range(10))


def garbled(data: bytes, every: int) -> bytes:
    return bytes(b ^ 0xD5 if at % every == 0 else b for at, b in enumerate(data))


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (b"", "no power reaches it"),
        (bytes(0x80 | b for b in LOG), "the baud rate is not 115200"),
        (garbled(LOG, 16), "noise on the serial line"),
        (LOG, "it may run other firmware"),
        (b"\xfe\xf8" * 20 + LOG, "it may run other firmware"),
    ],
    ids=["silence", "mojibake", "noise", "other firmware", "ROM lines at another speed"],
)
def test_what_was_heard_instead_of_a_boot_log(heard: bytes, words: str) -> None:
    assert words in diagnose_silence(RIG, heard, 10_000)


def test_a_board_that_answers_never_lost_its_power() -> None:
    assert "never lost its power" in diagnose_silence(RIG, b"", 10_000, answers=True)


def test_a_relay_that_says_that_it_is_on_points_at_its_contact() -> None:
    said = diagnose_silence(RIG, b"", 10_000, relay=State.ON)
    assert "measure across the contact" in said
    assert "click" not in said


@pytest.mark.parametrize("kind", ResetKind)
def test_every_cause_of_a_restart_has_something_to_check(kind: ResetKind) -> None:
    said = diagnose_restarts([Boot(0), Boot(1, Reset(kind, "as it was logged"))])
    assert said.startswith("the board restarted 2 times by itself: ")
    assert "as it was logged" in said
    assert len(said.partition("). ")[2]) > 20
