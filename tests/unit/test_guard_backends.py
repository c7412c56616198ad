"""Every backend that a rig opens is behind the filter; what it refuses is not on the wire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar
from hil.errors import GuardRefusal
from hil.records.header import new_run
from hil.rig.opening import unopened_rig
from hil.rigfile import load_rig

from .guard_bench import COUNT, INFO, LOCK, Wire, framed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hil.rig.rig import Rig

BUSES = {
    "linux": ("hil.i2c.linux.LinuxI2C", "{kind: linux, number: 1}"),
    "kit": ("hil.i2c.kit.KitBus", "{kind: kit, port: /dev/ttyTEST}"),
}
RIG = """
rig: bench
bus: {bus}
power: {{kind: none}}
element: {{part: atecc508a, address: 96, serial: 0123f3acfd2a826bee, state: blank, expendable: true}}
"""


class Backend(Wire):
    """A recording bus that the rig closes."""

    def close(self) -> None:
        self.sent.append((-1, b"closed"))


@contextmanager
def opened(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rig, Wire]]:
    """The rig's own way of opening its bus, down to the backend, which only records."""
    wire = Backend()
    where, bus = BUSES[kind]
    monkeypatch.setenv("HIL_HOME", str(folder / "home"))
    monkeypatch.setattr(where, lambda *args, **keywords: wire)
    monkeypatch.setattr("hil.rig.ports.open_port", lambda *args, **keywords: wire)
    path = folder / "bench.yaml"
    path.write_text(RIG.format(bus=bus))
    calendar = Calendar(0.0)
    with new_run(folder / "runs", calendar, rigs=["bench"], faults=[], purpose="test") as journal:
        rigs = unopened_rig(
            load_rig(str(path)),
            faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar,
        )  # fmt: skip
        with rigs as rig:
            rig.open_bus()
            yield rig, wire
        journal.end(0)


@pytest.mark.parametrize("kind", BUSES)
def test_a_raw_write_is_decoded_before_it_reaches_the_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole = framed(LOCK)
    refused = [
        whole,
        framed(COUNT),
        whole[:-1] + b"\0",
        whole + b"\0",
        *(b"\x03" + whole[n : n + 1] for n in range(1, 8)),
    ]
    with opened(tmp_path, kind, monkeypatch) as (rig, wire):
        for data in refused:
            with pytest.raises(GuardRefusal):
                rig.bus.write(0x60, data)
        assert wire.sent == []
        rig.bus.write(0x60, framed(INFO))
        assert wire.sent == [(0x60, framed(INFO))]


@pytest.mark.parametrize("kind", BUSES)
def test_these_parts_are_physical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with opened(tmp_path, kind, monkeypatch) as (rig, _):
        assert rig.guard.physical
