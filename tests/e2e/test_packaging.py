"""The wheel and the editable install run the suites in an empty folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("hil", "fixtures", "suites", "rigs", "pyproject.toml", "README.md", "LICENSE")
PACKAGES = {"hil": "hil", "fixtures": "hil/fixtures", "suites": "hil/suites", "rigs": "hil/rigs"}

RIG = "emulated-edukit-trustgo"
ALONE = ("--no-index", "--no-deps", "--ignore-installed")
"""The dependencies are seen where the tests run; that the project is there too must not count."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that nothing is left behind in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for part in PARTS:
        origin = ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, copy / part)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", "out", "."], source)
    (built,) = (source / "out").glob("*.whl")
    return built


def run(command: list[str], cwd: Path) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HIL_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """A new environment that sees the installed dependencies; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # Python 3.11 brings an old setuptools along; the installed one is to be used.
    run([str(python), "-m", "pip", "uninstall", "-q", "-y", "setuptools"], folder)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def suites_run_in_an_empty_folder(python: Path, folder: Path) -> None:
    folder.mkdir()
    where = run([str(python), "-c", "import hil, hil.suites; print(hil.__file__)"], folder)
    out = run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "hil.suites",
         "--rig", RIG],
        folder,
    )  # fmt: skip
    assert "verdict: pass" in out, where
    assert list((folder / "runs").glob("*/report.html"))


def test_the_wheel_holds_every_module_and_data_file(wheel: Path, source: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in PACKAGES.items():
        for path in (source / folder).rglob("*"):
            if path.is_file() and "egg-info" not in str(path):
                assert f"{package}/{path.relative_to(source / folder).as_posix()}" in packed


def test_the_wheel_runs_the_suites(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment")
    run([str(python), "-m", "pip", "install", "-q", *ALONE, str(wheel)], tmp_path)
    suites_run_in_an_empty_folder(python, tmp_path / "empty")


def test_an_editable_install_runs_the_suites(source: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment")
    run(
        [str(python), "-m", "pip", "install", "-q", *ALONE, "--no-build-isolation", "-e", str(source)],
        tmp_path,
    )  # fmt: skip
    suites_run_in_an_empty_folder(python, tmp_path / "empty")
