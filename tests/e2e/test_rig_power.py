"""Power as a test switches it: what is on stays as it is, what was off starts."""

from __future__ import annotations

from hil.rig.oneshot import one_rig


def test_a_board_that_is_on_is_not_waited_for_once_more() -> None:
    with one_rig("emulated-esp8266-atecc508a") as rig:
        board = rig.booted_board()
        boot, cycles, now = rig.boot, rig.power.cycles, rig.clock.now
        rig.power_on()
        assert (rig.boot, rig.power.cycles, rig.clock.now) == (boot, cycles, now)
        assert board.config_get()
        rig.power.off()
        rig.power_on()
        assert rig.boot is not None
        assert rig.boot is not boot
