"""Where things are written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hil import homes
from hil.errors import ConfigError


def test_hil_home_holds_everything(tmp_path: Path) -> None:
    found = homes.find_homes(environment={"HIL_HOME": str(tmp_path)})
    folders = msgspec.structs.asdict(found).values()
    assert len(set(folders)) == 6
    assert all(folder.parent == tmp_path for folder in folders)


def test_evidence_stays_in_the_project_and_ledgers_with_the_user(tmp_path: Path) -> None:
    found = homes.find_homes(tmp_path, environment={})
    assert (found.runs, found.baselines) == (tmp_path / "runs", tmp_path / "baselines")
    for folder in (found.ledgers, found.counters, found.history, found.locks):
        assert tmp_path not in folder.parents
    assert found.ledgers != found.locks


def test_finding_homes_makes_nothing(tmp_path: Path) -> None:
    homes.find_homes(tmp_path, environment={"HIL_HOME": str(tmp_path / "home")})
    assert list(tmp_path.iterdir()) == []


def test_a_made_folder_is_private(tmp_path: Path) -> None:
    folder = homes.made(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert homes.made(folder) == folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file cannot be made.*"):
        homes.made(tmp_path / "file")


def test_a_chosen_folder_for_runs_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path))
    assert homes.runs_folder("elsewhere") == Path("elsewhere")
    assert homes.runs_folder() == tmp_path / "runs"
