"""Verified power: what the relay says is not what the board has.

Off is verified when the console is silent and nothing behind the relay gives a sign of life. On is
verified by a boot log with a power-on cause. A board that is fed through its UART or I2C lines
(ghost power) gives itself away: it says something, or only the element does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from hil.errors import DeviceTimeout, RelayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.board.bootlog import Boot
    from hil.board.console import Console
    from hil.power.control import Power

__all__ = ["PowerFinding", "PowerVerdict", "StartingBoard", "verify_off", "verify_on"]

SILENCE_US = 500_000
"""How long a board has to be silent. Firmware that prints less often needs a sign of life."""


class PowerVerdict(StrEnum):
    """What a check found."""

    VERIFIED = "verified"
    STILL_RUNNING = "still running"
    GHOST_POWER = "ghost power"
    NO_POWER = "no power"
    NOT_A_POWER_ON = "not a power-on"


@dataclass(frozen=True)
class PowerFinding:
    """The result of a check.

    Attributes:
        verdict: in one word.
        text: what was seen and what to check, for people.
        boot: the start that was seen, if any.
    """

    verdict: PowerVerdict
    text: str
    boot: Boot | None = None

    @property
    def ok(self) -> bool:
        """Whether power was verified to be as commanded."""
        return self.verdict is PowerVerdict.VERIFIED


class StartingBoard(Protocol):
    """A board whose start can be waited for."""

    @property
    def console(self) -> Console: ...  # noqa: D102
    def expect_boot(self) -> None: ...  # noqa: D102
    def wait_for_boot(self, *, timeout_us: int) -> Boot: ...  # noqa: D102


def verify_off(
    power: Power,
    console: Console,
    *,
    signs: Mapping[str, Callable[[], bool]],
    running: str = "",
    silence_us: int = SILENCE_US,
) -> PowerFinding:
    """Switch off and look for life.

    Args:
        power: the relay.
        console: the board's console.
        signs: name → asks a part for a sign of life, e.g. whether the element acknowledges on a
            bus that keeps its power, or whether the firmware answers.
        running: the name in ``signs`` that only a running firmware can give.
        silence_us: how long to listen, in microseconds.

    Returns:
        Verified; still running (the firmware answers); or ghost power.
    """
    power.off()
    heard = console.listen(silence_us)
    alive = [name for name, sign in signs.items() if sign()]
    if not heard and not alive:
        return PowerFinding(PowerVerdict.VERIFIED, f"silent for {silence_us / 1e6:g} s, no sign of life")
    seen = [f"{heard} bytes on the console"] * bool(heard) + [f"{name} answers" for name in alive]
    observed = f"{power.name} is off, and yet: {', '.join(seen)}"
    if running in alive:
        return PowerFinding(
            PowerVerdict.STILL_RUNNING,
            f"{observed}. The firmware runs: the contact is welded, the board hangs on the normally-closed "
            "contact, or it has another supply (its own USB)",
        )
    return PowerFinding(
        PowerVerdict.GHOST_POWER,
        f"{observed}. The part is fed through its signal lines: UART TX, DTR or the I2C pull-ups; cut them "
        "together with the supply, or power the pull-ups from the switched side",
    )


def verify_on(power: Power, board: StartingBoard, *, timeout_us: int) -> PowerFinding:
    """Switch on and wait for a start with a power-on cause.

    Args:
        power: the relay.
        board: the board behind it.
        timeout_us: for the start, in microseconds.

    Returns:
        Verified; no power (nothing comes, or the relay refuses); or a start with another cause.
    """
    board.expect_boot()
    try:
        power.on()
        boot = board.wait_for_boot(timeout_us=timeout_us)
    except RelayError as error:
        return PowerFinding(PowerVerdict.NO_POWER, str(error))
    except DeviceTimeout as error:
        return PowerFinding(
            PowerVerdict.NO_POWER,
            f"{power.name} is on, and no start came: {error.message}. Check the contact, the supply and "
            "the console wires",
        )
    if not boot.reset.may_be_power_on:
        return PowerFinding(
            PowerVerdict.NOT_A_POWER_ON,
            f"{power.name} was switched on, but the board names another cause: {boot.reset}. Either it had "
            "never lost its power, or it restarted again at once (weak supply)",
            boot,
        )
    return PowerFinding(PowerVerdict.VERIFIED, f"started by {boot.reset}", boot)
