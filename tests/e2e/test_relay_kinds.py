"""Every relay that can be emulated powers the emulated board, through its driver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.emulator.relaykinds import EMULATED_RELAYS
from hil.records.header import new_run
from hil.rig.opening import open_rig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", EMULATED_RELAYS)
def test_the_relay_powers_the_board_and_cuts_it(tmp_path: Path, kind: str) -> None:
    file = rigfile.load_rig("emulated-esp8266-atecc508a")
    file = replace(file, power=replace(file.power, kind=cast(Any, kind), channel=2, channels=2))
    calendar = Calendar()
    with new_run(tmp_path, calendar) as journal:
        rig = open_rig(file, faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar)
        try:
            assert rig.boot is not None, rig.diagnose_silence()
            assert rig.booted_board().i2c_scan() == [96]
            rig.power.off()
            assert rig.listen(200_000) == b""
        finally:
            rig.close()
