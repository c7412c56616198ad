"""Journals of qualifications, for the tests of their judge, their views and their attestation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hil.clock import Calendar
from hil.records.journal import Journal
from hil.records.rebuild import load_run
from hil.records.views import write_views

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run

NOON = 1_750_000_000.0
"""15 June 2025, UTC."""
IMAGE = "ab" * 32
OTHER_IMAGE = "cd" * 32
BENCH, SECOND, EMULATED = "bench-1", "bench-2", "emulated-1"
COMBINATION = "nodemcu with atecc508a 00005000"

RELEASE: dict[str, Any] = {
    "release": "sensor-2.4.0",
    "description": "the sensor",
    "file": "release.yaml",
    "file_sha256": "ef" * 32,
    "boards": [
        {
            "name": "nodemcu", "kind": "mongoose-os", "mcu": "esp8266",
            "image": "sensor.bin", "sha256": IMAGE, "offset": 0,
        }
    ],
    "combinations": [{"board": "nodemcu", "part": "atecc508a", "revision": "00005000"}],
    "suites": ["power", "wiring"],
    "requirements": [
        {"id": "HIL-PWR-001", "text": "The relay cuts the power."},
        {"id": "HIL-WIRE-001", "text": "Only the element answers."},
    ],
    "limits": [],
    "waivers": [],
}  # fmt: skip


@dataclass
class Bench:
    """A rig of a sample, physical unless something says otherwise."""

    name: str = BENCH
    emulated: bool = False
    serial: str = "0123aabbccddeeffee"
    revision: str = "00005000"
    mac: str = "5c:cf:7f:00:00:01"
    loader_mac: str = ""
    mcu: str = "esp8266"
    board_port: str = "/dev/ttyUSB0"
    firmware: tuple[str, ...] = (IMAGE,)
    results: dict[str, str] = field(default_factory=lambda: {"HIL-PWR-001": "pass", "HIL-WIRE-001": "pass"})
    figures: tuple[float, ...] = ()
    samples: int = 1

    @property
    def parts(self) -> list[dict[str, Any]]:
        board = {"mcu": self.mcu, "mac": self.mac}
        element = {"serial": self.serial, "revision": self.revision}
        rows: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            ("board", "mongoose-os", self.board_port, board),
            ("element", "atecc508a", "", element),
            ("power", "lcus", "/dev/ttyUSB1", {"cycles": 7}),
            ("cloud", "moto", "", {}),
        )
        return [
            {"part": part, "kind": kind, "physical": not self.emulated, "port": port, "identity": identity}
            for part, kind, port, identity in rows
        ]

    @property
    def clock(self) -> str:
        return "virtual" if self.emulated else "wall"


def emulated(**changes: Any) -> Bench:
    """A rig that says what it is."""
    own = {"name": EMULATED, "emulated": True, "serial": "0123e07e00000508ee", "mac": "02:e0:7e:00:50:8a"}
    return Bench(**{**own, "board_port": f"emu://{EMULATED}/board", **changes})


def write(
    folder: Path,
    *benches: Bench,
    rehearsal: bool = False,
    end: bool = True,
    header: dict[str, Any] | None = None,
    **release: Any,
) -> Run:
    """The journal of a qualification on these benches, with its views."""  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder, Calendar(NOON)) as journal:
        extra: dict[str, Any] = {"rehearsal": True} if rehearsal else {}
        journal.event(
            "run-start", format=1, run=folder.name, command=["hil"], versions={}, plan="qualification",
            release={**RELEASE, **release}, **extra, **(header or {}),
        )  # fmt: skip
        for bench in benches or (Bench(),):
            _bench(journal, bench)
        if end:
            journal.end(0)
    write_views(folder)
    return load_run(folder)


def _bench(journal: Journal, bench: Bench) -> None:
    opened = {"rig": bench.name, "emulated": bench.emulated, "clock": bench.clock, "parts": bench.parts}
    journal.event("rig", phase="open", **opened)
    for image in bench.firmware:
        flashed = {"rig": bench.name, "sha256": image, "offset": 0, "size": 4, "emulated": bench.emulated}
        flashed["mac"] = bench.loader_mac or bench.mac
        journal.event("flash", phase="intent", **flashed)
        journal.event("flash", phase="done", read_back=image, **flashed)
    for requirement, verdict in bench.results.items():
        suite = "power" if "PWR" in requirement else "wiring"
        test = f"{requirement} test_it @ {bench.name}"
        shared = {"test": test, "rig": bench.name, "suite": suite, "requirements": [requirement]}
        if verdict.startswith("skipped"):
            reason = verdict.partition(": ")[2] or "not applicable"
            journal.event("skip", reason=reason, title="it", **shared)
            continue
        journal.event("test-start", title=f"it of {requirement}", **shared)
        for number, value in enumerate(bench.figures):
            journal.event(
                "measurement", test=test, name="connect time", value=value, unit="ms", limit={},
                clock=bench.clock, provenance="predicted" if bench.emulated else "measured", verdict="pass",
                rig=bench.name, key=number == 0, samples=bench.samples,
            )  # fmt: skip
        journal.event(
            "test-end", verdict=verdict, wall_us=5, reason="it broke" * (verdict == "fail"), **shared
        )
    journal.event("rig", phase="close", **opened)
