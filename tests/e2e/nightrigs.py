"""A folder with many emulated rigs, for runs of a plan."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hil.records.model import Run

ROOT = Path(__file__).parents[2]
MODELS = ("emulated-esp8266-atecc508a", "emulated-esp32-atecc608b")
SUITES = ("power", "wiring", "signing")


def rig_text(model: str, name: str, number: int) -> str:
    """A shipped rig under another name, with a serial number and a MAC address of its own."""
    text = (ROOT / "rigs" / f"{model}.yaml").read_text(encoding="utf-8").replace(model, name)
    text = re.sub(r"serial: 0123e07e\w+", f"serial: 0123e07e{0x4000 + number:08x}ee", text)
    text = re.sub(r"mac: 02:e0:7e:\S+", f"mac: 02:e0:7e:01:00:{number:02x}", text)
    return text


@dataclass
class Bench:
    """A project folder with ``count`` rigs, named night-01, night-02 …"""

    folder: Path
    count: int
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "rigs").mkdir(parents=True)
        (self.folder / "marks").mkdir()
        self.names = [f"night-{number:02}" for number in range(1, self.count + 1)]
        for number, name in enumerate(self.names):
            text = rig_text(MODELS[number % 2], name, number)
            (self.folder / "rigs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def environment(self, misfortunes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        # The bench is nobody's share: these tests may themselves run in a process of pytest-xdist.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        return {
            **inherited,
            "HIL_HOME": str(self.folder / "home"),
            "HIL_MISFORTUNES": json.dumps(misfortunes),
            "HIL_MISFORTUNE_MARKS": str(self.folder / "marks"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "e2e"), str(self.folder)]),
        }

    def run(
        self,
        *options: str,
        misfortunes: Mapping[str, Mapping[str, Any]] | None = None,
        suites: Sequence[str] = SUITES,
        rigs: str = "night-*",
    ) -> tuple[subprocess.CompletedProcess[str], Run]:
        """``pytest`` on the bench's rigs; the process and what its journal says."""
        before = set((self.folder / "runs").glob("*"))
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "misfortunes", "--rig", rigs,
            "--runs", "runs", *options, *(str(ROOT / "suites" / suite) for suite in suites),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(misfortunes or {}),
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        folders = set((self.folder / "runs").glob("*")) - before
        assert len(folders) == 1, done.stdout + done.stderr
        return done, load_run(folders.pop())
