"""The likely cause of a failure, as far as the wire speaks for one."""

from __future__ import annotations

import pytest

from hil.bringup.likelycause import likely_cause
from hil.errors import ConfigError, DeviceTimeout, ElementError, I2CNack, WakeError
from hil.i2c.trace import Transaction

WAKE = Transaction(0, 60, "wake", 0)
ANSWER = Transaction(1, 60, "read", 0x60, bytes.fromhex("04113343"), 4)
NOTHING = Transaction(2, 60, "write", 0x60, b"\x03\x07\x30", nack=-1)
POLL = Transaction(3, 60, "read", 0x60, b"", 4, nack=-1)


def caused(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def test_an_error_that_says_what_to_do_is_taken_at_its_word() -> None:
    hinted = ConfigError("no", hint="name the board")
    assert likely_cause(hinted, (), ()) == "name the board"
    assert likely_cause(caused(AssertionError("x"), hinted), (), ()) == "name the board"


def test_what_the_reason_says_is_not_said_twice() -> None:
    assert likely_cause(ConfigError("no", hint="name the board"), (), (), reason="no: name the board") == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "Guru Meditation Error: Core  0 panic'ed (LoadProhibited)",
            "Guru Meditation Error: Core  0 panic'ed",
        ),
        ("Exception 28 @ 0x40201234", "Exception 28"),
        ("abort() was called at PC 0x400d", "abort() was called"),
        (" ets Jan  8 2013,rst cause:4, wdt reset", "wdt reset"),
    ],
)
def test_a_crash_on_the_console_comes_before_what_follows_from_it(line: str, words: str) -> None:
    found = likely_cause(DeviceTimeout("silent"), (WAKE, NOTHING, POLL, POLL, POLL), ("booting", line))
    assert found.startswith("the firmware broke off, its console says: ")
    assert words in found


def test_a_status_of_the_element_is_told_in_words() -> None:
    found = likely_cause(ElementError("Sign", 0x0F, "execution error"), (ANSWER,), ())
    assert found.startswith("Sign was answered with 0x0F: the slot's configuration or the lock state forbids")


def test_silence_from_the_beginning_and_silence_from_then_on_are_told_apart() -> None:
    silent = (WAKE, NOTHING, POLL, POLL)
    assert likely_cause(WakeError("no answer"), silent, ()).startswith(
        "nobody acknowledged the element's address"
    )
    later = likely_cause(I2CNack(0x60), (WAKE, ANSWER, *silent), ())
    assert later.startswith("the element answered at first and then no more")


@pytest.mark.parametrize(
    ("error", "transactions"),
    [
        (AssertionError("assert 1 == 2"), (WAKE, NOTHING, POLL, POLL)),
        (WakeError("no"), (WAKE, NOTHING)),
        (WakeError("no"), (NOTHING, POLL, POLL, POLL, ANSWER)),
        (None, ()),
    ],
)
def test_where_nothing_speaks_for_a_cause_none_is_named(
    error: Exception | None, transactions: tuple[Transaction, ...]
) -> None:
    assert likely_cause(error, transactions, ("Mongoose OS 2.20",)) == ""
