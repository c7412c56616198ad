from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.power.control import Power
    from hil.rig import Rig

pytestmark = pytest.mark.needs("power", "boot-log")

SILENCE_MS = 200


@pytest.mark.req("HIL-PWR-001")
def test_the_board_boots_when_the_relay_switches_on(rig: Rig) -> None:
    """Relay on → boot log with a power-on cause. Fails in the words of a technician."""
    rig.power_cycle()
    boot = rig.boot
    assert boot is not None, rig.diagnose_silence()
    assert boot.reset.may_be_power_on, f"the boot log names another cause than power-on: {boot.reset}"


@pytest.mark.req("HIL-PWR-002")
def test_off_means_that_the_console_is_silent(rig: Rig, power: Power) -> None:
    rig.need_start()
    power.off()
    heard = rig.listen(SILENCE_MS * 1000)
    assert heard == b"", f"{len(heard)} bytes came from a board without power: it is fed by another line"


@pytest.mark.req("HIL-PWR-003")
@pytest.mark.needs("i2c")
def test_a_power_cycle_wipes_what_the_element_keeps_in_ram(rig: Rig, element: Element) -> None:
    """TempKey survives idle and dies with the power: only then was the power really gone."""
    rig.need_element()
    with element.session():
        element.nonce_load(bytes(range(32)))
        assert element.info_state().valid, "TempKey is not valid right after Nonce"
        element.idle()
        rig.power_cycle()
        after = rig.element.info_state()
    assert not after.valid, (
        "TempKey survived the power cycle: the element is still fed, through the I2C pull-ups or the UART"
    )


@pytest.mark.req("HIL-PWR-004")
def test_the_board_boots_every_time(rig: Rig) -> None:
    rig.need_start()
    for cycle in range(1, 4):
        rig.power_cycle()
        assert rig.boot is not None, f"cycle {cycle}: {rig.diagnose_silence()}"
