"""What the record says of a flash, also of one that went wrong."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hil.board.flash import Chip, Flashed
from hil.errors import BoardIdentityError, ConfigError, HilError
from hil.records.rebuild import load_run
from hil.rig import flash as rigflash
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = b"an image of some board"
SHA256 = hashlib.sha256(IMAGE).hexdigest()


class Worker:
    """Stands for the flasher: what its write does is the test's."""

    def __init__(self, write: Callable[[], Flashed], check: Callable[[], None] = lambda: None) -> None:
        self._write, self._check = write, check

    def check(self, image: bytes, offset: int) -> None:
        self._check()

    def write(self, image: bytes, offset: int) -> Flashed:
        return self._write()


def failing(error: HilError) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def run(folder: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Flash once; returns the rig, the folder holds the journal."""
    started: list[object] = []
    monkeypatch.setattr(rigflash, "flasher", lambda rig, **options: worker)
    with samples.begin(folder) as journal:
        board = SimpleNamespace(mcu="esp32", mac="02:e0:7e:00:60:8b")
        rig: Any = SimpleNamespace(
            name="bench", emulated=None, journal=journal, file=SimpleNamespace(board=board),
            firmware_sha256="that of before", started=started, start_again=lambda: started.append(rig),
        )  # fmt: skip
        try:
            rigflash.flash(rig, IMAGE, 0x1000)
        except HilError as error:
            rig.error = error
    return rig


def test_a_write_that_was_read_back_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Flashed(Chip("esp32", "02:e0:7e:00:60:8b", None), 0x1000, len(IMAGE), SHA256, SHA256)
    rig = run(tmp_path, Worker(lambda: done), monkeypatch)
    (row,) = load_run(tmp_path).flashed
    assert (row.sha256, row.size, row.emulated, row.result) == (SHA256, len(IMAGE), False, "done")
    assert (rig.firmware_sha256, len(rig.started)) == (SHA256, 1)


def test_a_write_that_failed_says_why_and_the_firmware_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = BoardIdentityError("another board answers")
    rig = run(tmp_path, Worker(failing(error)), monkeypatch)
    (row,) = load_run(tmp_path).flashed
    assert (row.mac, row.result) == ("02:e0:7e:00:60:8b", "failed: another board answers")
    assert (rig.error, rig.firmware_sha256, len(rig.started)) == (error, None, 1)


def test_a_killed_write_is_an_intent_without_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> Flashed:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Worker(killed), monkeypatch)
    (row,) = load_run(tmp_path).flashed
    assert row.result.startswith("no result")


def test_what_is_refused_before_the_board_is_touched_is_no_flash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched() -> Flashed:
        raise AssertionError("the image was refused")

    rig = run(tmp_path, Worker(untouched, failing(ConfigError("no image"))), monkeypatch)
    assert load_run(tmp_path).flashed == []
    assert (rig.firmware_sha256, rig.started) == ("that of before", [])
