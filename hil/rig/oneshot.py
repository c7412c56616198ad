"""One rig outside a pytest session: for commands that read an element, and for the shell.

The way to the hardware is the same as in a session: the rig's lock, the guard, the trace. The journal of a
command that only reads is thrown away with it; that of the shell is kept.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.cloud import awsguard
from hil.errors import DeviceError, UsageError
from hil.marks import reason_of
from hil.records.header import new_run
from hil.rig.opening import open_rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.rig.rig import Rig

__all__ = ["PREPARED", "element_facts", "need", "one_rig"]

PREPARED = ("config-locked", "provisioned")
"""States that an emulated part can be brought to."""


@contextmanager
def one_rig(
    name: str,
    *,
    runs: Path | None = None,
    faults: Sequence[str] = (),
    allow_irreversible: frozenset[str] = frozenset(),
    allow_aws: str | None = None,
    prepare: str | None = None,
) -> Iterator[Rig]:
    """Open a rig, power it, and leave it in its safe state.

    Args:
        name: a rig's name or file.
        runs: where its journal is kept; None throws it away.
        faults: named faults of an emulated rig.
        allow_irreversible: serial numbers of elements that may be changed for good.
        allow_aws: the real account that may be used.
        prepare: a state of :data:`PREPARED` for an emulated part, which else is as it was delivered.

    Raises:
        UsageError: a physical part is to be prepared, or faults do not fit.
        RigError: it cannot be opened.
        DeviceError: the board does not start, or the element does not answer.
    """
    file = rigfile.load_rig(name)
    if prepare is not None and (not file.emulated or file.element.config is None):
        raise UsageError(
            f"{file.rig}: only an emulated element with a `config:` can be prepared on the way",
            hint="a physical one is provisioned by the suites or by hand",
        )
    awsguard.install()
    calendar = Calendar()
    with tempfile.TemporaryDirectory(prefix="hil-") as scratch:
        journal = new_run(
            runs or Path(scratch), calendar, rigs=[file.rig], faults=list(faults), purpose="by hand"
        )
        with journal:
            rig = open_rig(
                file,
                faults=faults,
                allow_irreversible=allow_irreversible,
                journal=journal,
                calendar=calendar,
                allow_aws=allow_aws,
            )
            try:
                if prepare is not None:
                    rig.element_in(prepare)
                yield rig
            except pytest.skip.Exception as skipped:  # how a rig says that a test could not be judged
                raise DeviceError(reason_of(str(skipped))) from skipped
            finally:
                rig.close()
                journal.end(0)  # by hand nothing is judged; without an end the run would count as aborted


def need(rig: Rig, capability: str) -> None:
    """Refuse what the rig cannot do.

    Raises:
        UsageError: says what it lacks.
    """
    reason = rigfile.missing(rig.file, {capability})
    if reason is not None:
        raise UsageError(reason, hint=f"hil rigs check {rig.name} says what it can do")


def element_facts(rig: Rig) -> dict[str, object]:
    """Who the element is and what is locked, by whichever way the rig reads it."""
    element = rig.file.element
    facts: dict[str, object] = {"rig": rig.name, "emulated": rig.file.emulated, "address": element.address}
    if rigfile.missing(rig.file, {"i2c"}) is None or rig.file.bus.kind != "board":
        rig.need_start()
        chip = rig.element
        locks = chip.lock_state()
        facts |= {
            "part": chip.identify(),
            "serial": chip.serial_number().hex(),
            "revision": chip.info_revision().hex(),
            "config_locked": locks.config,
            "data_locked": locks.data,
            "locked_slots": sorted(locks.slots),
        }
    else:
        info = rig.esp_idf_board().chip_info()
        facts |= {
            "part": element.part,
            "serial": info.serial.hex(),
            "revision": None if info.revision is None else info.revision.hex(),
        }
    return facts
