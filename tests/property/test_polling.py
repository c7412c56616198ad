"""Polls of a busy element that pass at once are the polls that a driver does one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from hil.clock import World
from hil.element.device import Element
from hil.element.timing import Pace
from hil.emulator.benchfaults import ForeignDevice
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.emulator.factory import mongoose_configured
from hil.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from hil.wire.atecc import Command

PROFILE = load_profile("atecc508a")
SERIAL = bytes.fromhex("0123e07e00112233ee")
DIGEST = bytes(range(32))
FACTORY = mongoose_configured(PROFILE, SERIAL, provisioned=True)

CALLS: dict[str, Callable[[Element], object]] = {
    "revision": lambda e: e.info_revision(),
    "random": lambda e: e.random(),
    "sign": lambda e: e.sign_digest(0, DIGEST),
    "public key": lambda e: e.public_key(0),
    "nonce": lambda e: e.nonce_load(DIGEST),
}


@dataclass(frozen=True)
class Seen:
    """Everything that can be seen of a run."""

    now: int
    account: dict[str, int]
    nbytes: int
    log: list[tuple[int, Command | None, int, int, str]]
    events: list[tuple[int, int]]
    outcomes: list[str]


def memory() -> Memory:
    return FACTORY.copy()


def play(
    calls: list[str],
    pace: Pace,
    hz: int,
    events: list[int],
    cut: int | None,
    *,
    leaps: bool,
    in_task: bool = True,
) -> Seen:
    """Somebody calls the element, while ``events`` look at the clock and power goes at ``cut``.

    Args:
        leaps: as it is; else each poll by itself, and each wait through the heap.
        in_task: the firmware calls, in a task of its own; else the host.
    """
    with World(fast_path=leaps) as world:
        chip = Chip(PROFILE, memory(), now=lambda: world.now, seed=1, draw="random")
        chip.power_on()
        lines = Lines(12, 14, [ForeignDevice(0x50), chip])
        master = I2CMaster(world, lines, sda=12, scl=14, hz=hz)
        element = Element(master, 0x60, part="atecc508a", pace=pace, entropy=bytes)
        if not leaps:
            element._knows_busy = None
        events_seen: list[tuple[int, int]] = []
        outcomes: list[str] = []

        def somebody() -> None:
            world.sleep(10_000)
            for call in calls:
                try:
                    CALLS[call](element)
                except DeviceError as error:
                    outcomes.append(type(error).__name__)
                else:
                    outcomes.append("ok")

        for at in events:
            world.at(at, lambda at=at: events_seen.append((at, world.now)), "look")  # type: ignore[misc]
        if cut is not None:
            world.at(cut, chip.power_off, "power off")
        if in_task:
            world.spawn(somebody, "firmware")
        else:
            somebody()
        world.run_until(lambda: False, 3_000_000)
        # Signatures differ from run to run: the length of an answer is compared.
        log = [(row.at_us, row.command, row.us, len(row.response), row.reason) for row in chip.log]
        return Seen(world.now, dict(world.account), master.bytes, log, events_seen, outcomes)


@given(
    calls=st.lists(st.sampled_from(sorted(CALLS)), min_size=1, max_size=4),
    pace=st.builds(
        Pace,
        first_poll_us=st.integers(0, 5_000),
        poll_us=st.sampled_from([0, 1, 50, 1_000, 2_000, 20_000]),
        margin=st.sampled_from([0.05, 1.0, 2.0]),
    ),
    hz=st.sampled_from([20_000, 100_000, 400_000]),
    events=st.lists(st.integers(10_000, 400_000), max_size=8),
    cut=st.none() | st.integers(12_000, 200_000),
    in_task=st.booleans(),
)
@example(calls=["sign"], pace=Pace(), hz=100_000, events=[], cut=None, in_task=True)
@example(calls=["sign"], pace=Pace(), hz=100_000, events=[], cut=None, in_task=False)
def test_polls_that_pass_at_once_change_nothing_that_can_be_seen(
    calls: list[str], pace: Pace, hz: int, events: list[int], cut: int | None, in_task: bool
) -> None:
    at_once, one_by_one = (
        play(calls, pace, hz, events, cut, leaps=leaps, in_task=in_task) for leaps in (True, False)
    )
    assert at_once == one_by_one


def test_a_busy_element_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    acknowledges = Chip.acknowledges

    def counted(self: Chip, address: int, read: bool) -> bool:
        asked.append(self._now())
        return acknowledges(self, address, read)

    monkeypatch.setattr(Chip, "acknowledges", counted)
    seen = play(["sign"], Pace(), 100_000, [], None, leaps=True)
    assert seen.outcomes == ["ok"]
    at_once = len(asked)
    asked.clear()
    play(["sign"], Pace(), 100_000, [], None, leaps=False)
    assert at_once < 12
    assert len(asked) > 4 * at_once
