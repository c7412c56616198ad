"""``init`` of the provisioning console: a copied rig file must not lock a blank part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hil.errors import BoardIdentityError, ConfigError, GuardRefusal
from hil.guard.consoles import console_init, known_consoles

from .guard_bench import EMULATED_SERIAL, OTHER_SERIAL, SERIAL, Part, make_guard

if TYPE_CHECKING:
    from pathlib import Path

    from hil.guard.guard import Guard

BY_ID = "/dev/serial/by-id/usb-Silicon_Labs_CP2104_USB_to_UART_Bridge_Controller_01ABCDEF-if00-port0"
UNSTABLE = "/dev/ttyUSB0"


def bench(tmp_path: Path, **changes: Any) -> Guard:
    """A rig with a Trust part: not expendable, nothing named on the command line."""
    settings: dict[str, Any] = {"expendable": False, "allowed_serials": frozenset()} | changes
    return make_guard(tmp_path, **settings)


def init(guard: Guard, port: str, answers: str = SERIAL) -> int:
    """How often ``init`` was written to the console."""
    sent = 0
    with console_init(guard, port, lambda: answers):
        guard.take_spoken("init")
        sent += 1
    return sent


def test_a_rig_file_that_says_trust_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(GuardRefusal, match="init refused"):
        init(bench(tmp_path), BY_ID)
    with pytest.raises(GuardRefusal, match="names no element"):
        init(bench(tmp_path, serial=None), BY_ID)


def test_a_console_is_introduced_once_by_naming_its_element(tmp_path: Path) -> None:
    named = bench(tmp_path, allowed_serials=frozenset({SERIAL}))
    assert init(named, BY_ID) == 1
    assert known_consoles(named.ledger) == {BY_ID: SERIAL}
    assert init(bench(tmp_path), BY_ID) == 1, "known from now on"


def test_a_copied_rig_file_does_not_know_the_other_board(tmp_path: Path) -> None:
    init(bench(tmp_path, allowed_serials=frozenset({SERIAL})), BY_ID)
    with pytest.raises(GuardRefusal):
        init(bench(tmp_path), BY_ID.replace("01ABCDEF", "01ABCDEE"))
    with pytest.raises(GuardRefusal):
        init(bench(tmp_path, serial=OTHER_SERIAL), BY_ID)


def test_a_port_that_may_be_any_board_is_never_remembered(tmp_path: Path) -> None:
    init(bench(tmp_path, allowed_serials=frozenset({SERIAL})), UNSTABLE)
    with pytest.raises(GuardRefusal):
        init(bench(tmp_path), UNSTABLE)


def test_another_element_than_the_named_one_is_an_error_and_not_remembered(tmp_path: Path) -> None:
    guard = bench(tmp_path, allowed_serials=frozenset({SERIAL}))
    with pytest.raises(BoardIdentityError, match=OTHER_SERIAL):
        init(guard, BY_ID, answers=OTHER_SERIAL)
    assert known_consoles(guard.ledger) == {}


def test_the_first_init_is_in_the_ledger(tmp_path: Path) -> None:
    guard = bench(tmp_path, allowed_serials=frozenset({SERIAL}))
    init(guard, BY_ID)
    intent, result = guard.ledger.entries(SERIAL)
    assert intent.fields["packets"] == ["init"]
    assert SERIAL in result.fields["outcome"]
    with (
        pytest.raises(ZeroDivisionError),
        console_init(bench(tmp_path / "2", allowed_serials=frozenset({SERIAL})), BY_ID, lambda: SERIAL),
    ):
        _ = 1 / 0
    ledger = make_guard(tmp_path / "2").ledger
    assert [entry.fields["operation"] for _, entry in ledger.needs_inspection("a-bench")] == [
        "firmware-defined"
    ]


def test_an_emulated_console_needs_no_introduction(tmp_path: Path) -> None:
    part = Part(EMULATED_SERIAL, physical=False)
    assert (
        init(bench(tmp_path, witness=part, serial=EMULATED_SERIAL), "emu://rig/board", EMULATED_SERIAL) == 1
    )


def test_a_damaged_list_of_consoles_is_an_error(tmp_path: Path) -> None:
    guard = bench(tmp_path, allowed_serials=frozenset({SERIAL}))
    init(guard, BY_ID)
    (guard.ledger.folder / "consoles.json").write_text("[]")
    with pytest.raises(ConfigError, match="damaged"):
        init(guard, BY_ID)
