from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil.board.bootlog import ResetKind
from hil.bringup.diagnosis import diagnose_restarts
from hil.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.element.device import Element
    from hil.power.control import Power
    from hil.rig.rig import Rig

pytestmark = pytest.mark.needs("power", "boot-log")

SILENCE_MS = 200
STAYS_UP_S = 10


@contextmanager
def firmware_without_element(rig: Rig) -> Iterator[None]:
    """The firmware leaves the element alone at its start, or it would wipe what the element keeps."""
    if rig.mongoose_board is None:
        yield
        return
    rig.configure({"sys": {"atca": {"enable": False}}})
    try:
        yield
    finally:
        rig.configure({"sys": {"atca": {"enable": True}}})


def element_answers(rig: Rig) -> bool:
    if rig.bus_or_none is None:
        return False
    try:
        rig.element.info_revision()
    except DeviceError:
        return False
    return True


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
    with firmware_without_element(rig), element.session():
        element.nonce_load(bytes(range(32)))
        assert element.info_state().valid, "TempKey is not valid right after Nonce"
        element.idle()
        rig.power_cycle()
        after = element.info_state()
    assert not after.valid, (
        "TempKey survived the power cycle: the element is still fed, through the I2C pull-ups or the UART. "
        "Switch the pull-ups' supply together with the board's, and put a resistor into the UART's TX"
    )


@pytest.mark.req("HIL-PWR-004")
def test_the_board_boots_every_time(rig: Rig) -> None:
    rig.need_start()
    for cycle in range(1, rig.file.power.test_cycles + 1):
        rig.power_cycle()
        assert rig.boot is not None, f"cycle {cycle}: {rig.diagnose_silence()}"


@pytest.mark.req("HIL-PWR-005")
def test_the_board_stays_up(rig: Rig) -> None:
    """A weak supply shows itself within seconds: watchdog, brown-out, panic."""
    rig.need_start()
    before = len(rig.unexpected_boots)
    rig.listen(STAYS_UP_S * 1_000_000)
    restarts = rig.unexpected_boots[before:]
    assert not restarts, diagnose_restarts(restarts)


@pytest.mark.req("HIL-PWR-006")
@pytest.mark.parametrize("ms", [0, 5, 30, 300])
def test_a_short_interruption_leaves_nothing_hanging(rig: Rig, ms: int) -> None:
    """A dip of the supply: ridden through, or a clean restart; board and element answer afterwards.

    The relay's contact adds some milliseconds of its own.
    """
    rig.need_start()
    answered = element_answers(rig)
    rig.interrupt_power(ms * 1000)
    assert rig.boot is not None, (
        f"the board hangs after {ms} ms without power: {rig.diagnose_silence()}. The supply falls too slowly "
        "for its reset circuit"
    )
    assert rig.boot.reset.kind is not ResetKind.PANIC, f"the firmware crashed: {rig.boot.reset}"
    assert element_answers(rig) or not answered, f"the element hangs after {ms} ms without power"
