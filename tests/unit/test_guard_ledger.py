"""The ledger: intents before acts, one file an element, torn and damaged lines, two processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar
from hil.errors import ConfigError, GuardRefusal
from hil.guard.ledger import Ledger

from .guard_bench import CONFIG, OTHER_SERIAL, SERIAL

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledgers", Calendar(1_700_000_000.0))


def test_an_intent_is_open_until_its_result(ledger: Ledger) -> None:
    intent = ledger.intend(SERIAL, "lock-config", None, ("Lock mode 00",), rig="bench", config=CONFIG)
    (entry,) = ledger.open_intents(SERIAL)
    assert entry.fields["packets"] == ["Lock mode 00"]
    assert entry.fields["config"] == CONFIG.hex()
    assert entry.fields["process"] == os.getpid()
    assert entry.at == 1_700_000_000.0
    ledger.close(intent, "done", CONFIG)
    assert ledger.open_intents(SERIAL) == []
    assert ledger.entries(SERIAL)[1].fields["read_back"] == CONFIG.hex()


def test_elements_and_rigs_are_told_apart(ledger: Ledger) -> None:
    ledger.intend(SERIAL, "counter", None, (), rig="bench-1")
    ledger.close(ledger.intend(OTHER_SERIAL, "counter", None, (), rig="bench-1"), "done")
    ledger.intend(OTHER_SERIAL, "counter", None, (), rig="bench-2")
    assert list(ledger.serials()) == [SERIAL, OTHER_SERIAL]
    assert [(serial, e.intent) for serial, e in ledger.needs_inspection("bench-1")] == [(SERIAL, 1)]
    assert [(serial, e.intent) for serial, e in ledger.needs_inspection("bench-2")] == [(OTHER_SERIAL, 2)]


def test_a_resolution_closes_an_open_intent_only(ledger: Ledger) -> None:
    ledger.intend(SERIAL, "counter", None, ())
    ledger.resolve(SERIAL, 1, found="counter 0 is 1", by="test")
    assert ledger.open_intents(SERIAL) == []
    with pytest.raises(ConfigError, match="not open"):
        ledger.resolve(SERIAL, 1, found="again", by="test")


def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next(ledger: Ledger) -> None:
    """Power lost while writing: the line was never synced, so its act never began."""
    ledger.close(ledger.intend(SERIAL, "counter", None, ("x",)), "done")
    path = ledger.path(SERIAL)
    whole = path.read_bytes()
    for end in range(1, len(whole.split(b"\n")[0])):
        path.write_bytes(whole + whole[:end])
        assert len(ledger.entries(SERIAL)) == 2
    ledger.intend(SERIAL, "counter", None, ("y",))
    assert [e.kind for e in ledger.entries(SERIAL)] == ["intent", "result", "intent"]


def test_a_result_that_was_torn_leaves_its_intent_open(ledger: Ledger) -> None:
    ledger.close(ledger.intend(SERIAL, "counter", None, ("x",)), "done")
    path = ledger.path(SERIAL)
    path.write_bytes(path.read_bytes()[:-3])
    assert [e.intent for e in ledger.open_intents(SERIAL)] == [1]


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[]\n", b'{"kind":"intent"}\n', b'{"kind":"x","intent":"a","at":1}\n']
)
def test_a_damaged_line_in_the_middle_is_an_error(ledger: Ledger, line: bytes) -> None:
    ledger.intend(SERIAL, "counter", None, ())
    path = ledger.path(SERIAL)
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(ConfigError, match="damaged ledger line"):
        ledger.entries(SERIAL)


@pytest.mark.parametrize("serial", ["../../etc/passwd", "", SERIAL.upper(), SERIAL + "00", SERIAL[:-1] + "g"])
def test_a_serial_number_cannot_name_another_file(ledger: Ledger, serial: str) -> None:
    with pytest.raises(ConfigError, match="no element serial number"):
        ledger.path(serial)


def test_only_the_user_can_read_it(ledger: Ledger) -> None:
    ledger.intend(SERIAL, "counter", None, ())
    path = ledger.path(SERIAL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_its_ledger_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / "ledgers").write_text("a file where the folder should be")
    ledger = Ledger(tmp_path / "ledgers", Calendar(0.0))
    with pytest.raises(GuardRefusal, match="cannot be written"):
        ledger.intend(SERIAL, "counter", None, ())


def test_file_and_folder_are_synced_before_the_act(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ledger.intend(SERIAL, "counter", None, ())
    assert synced == [str(ledger.path(SERIAL)), str(ledger.path(SERIAL).parent)]


def test_a_full_disk_is_a_refusal(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(GuardRefusal, match="No space left"):
        ledger.intend(SERIAL, "counter", None, ())


def test_a_short_write_is_continued(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    ledger.intend(SERIAL, "counter", None, ())
    monkeypatch.undo()
    assert len(ledger.open_intents(SERIAL)) == 1


HOLDER = """
import sys
from pathlib import Path
from hil.clock import Calendar
from hil.guard.ledger import Ledger
with Ledger(Path(sys.argv[1]), Calendar()).hold(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_work_on_one_element(tmp_path: Path) -> None:
    """Whatever their rigs are called; and the lock dies with its holder."""
    folder = tmp_path / "ledgers"
    ledger = Ledger(folder, Calendar())
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), SERIAL],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(GuardRefusal, match="another process"), ledger.hold(SERIAL):
            pytest.fail("must not be held")
        with ledger.hold(OTHER_SERIAL):
            pass
        holder.kill()
        holder.wait()
    with ledger.hold(SERIAL), ledger.hold(SERIAL):
        pass


def test_a_ledger_of_parts_that_end_with_the_process_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path, Calendar(0.0), durable=False)
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("synced"))
    ledger.close(ledger.intend(SERIAL, "counter", None, ()), "done")
    assert [json.loads(line)["format"] for line in ledger.path(SERIAL).read_text().splitlines()] == [1, 1]
