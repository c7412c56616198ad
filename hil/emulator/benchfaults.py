"""What can be wrong with a bench: relay, supply, wires, cable, and the board that was plugged in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.builder import EmulatedRig

__all__ = ["BENCH_FAULTS", "BenchFault", "ForeignDevice"]

EEPROM: Final = 0x50
OTHER_ADDRESS: Final = 0x6A
OTHER_MAC: Final = "02:e0:7e:ff:ff:ff"
WRONG_CRYSTAL: Final = 26 / 40
"""A board for a 40 MHz crystal that carries one of 26 MHz: 115200 becomes 74880."""
GARBLED_EVERY: Final = 8
WEAK_RISE_US: Final = 2.0
"""22 kilo-ohm at 100 pF: enough for 100 kHz, not for 400 kHz."""
NEVER: Final = 1 << 62
UP_US: Final = 5_000_000
DIP_US: Final = 3_000


class ForeignDevice:
    """Something else on the bus that acknowledges its address, an EEPROM for one."""

    def __init__(self, address: int) -> None:
        self._address = address

    def sda_low(self, us: int) -> None:
        """See :class:`hil.emulator.bus.I2CDevice`."""

    def acknowledges(self, address: int, read: bool) -> bool:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return address == self._address

    def deaf_until(self, address: int) -> int:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return 0 if address == self._address else NEVER

    def written(self, data: bytes) -> int:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return len(data)

    def read(self, length: int) -> bytes:
        """See :class:`hil.emulator.bus.I2CDevice`."""
        return b"\xff" * length


class BenchFault(NamedTuple):
    """A row of :data:`BENCH_FAULTS`; see :class:`hil.emulator.faults.Fault`.

    Attributes:
        meaning, owner, needs: as there.
        change: makes the fault.
        early: before the parts are made.
    """

    meaning: str
    owner: str
    needs: frozenset[str]
    change: Callable[[EmulatedRig], None]
    early: bool = False


def _weld(rig: EmulatedRig) -> None:
    rig.relay.contacts[rig.file.power.channel - 1].stuck_on = True


def _open_contact(rig: EmulatedRig) -> None:
    rig.relay.contacts[rig.file.power.channel - 1].contact_open = True


def _feed_by_signals(rig: EmulatedRig) -> None:
    rig.element.fed_by_signals = True


def _other_address(rig: EmulatedRig) -> None:
    """The configuration of the part says so; it was written before it came to the bench."""
    rig.element.chip.memory.set_config(16, bytes((OTHER_ADDRESS << 1,)))


def _hold_low(rig: EmulatedRig) -> None:
    rig.lines.held_low = True


def _add_eeprom(rig: EmulatedRig) -> None:
    rig.lines.devices.append(ForeignDevice(EEPROM))


def _weaken_pull_ups(rig: EmulatedRig) -> None:
    rig.lines.rise_us = WEAK_RISE_US


def _dip_again_and_again(rig: EmulatedRig) -> None:
    """The supply gives in for a moment, five seconds after each start."""
    contact = rig.relay.contacts[rig.file.power.channel - 1]
    switch = contact.on_switch
    starts = 0

    def switched(on: bool) -> None:
        nonlocal starts
        starts += 1
        switch(on)
        if on:
            wait_for_dip(starts)

    def wait_for_dip(start: int) -> None:
        def dip() -> None:
            if start == starts:
                switch(False)
                rig.world.after(DIP_US, lambda: recover(start), "supply recovers")

        rig.world.after(UP_US, dip, "supply dips")

    def recover(start: int) -> None:
        if start == starts:
            switch(True)
            wait_for_dip(start)

    contact.on_switch = switched


def _garble(rig: EmulatedRig) -> None:
    seen = 0

    def noise(data: bytes) -> bytes:
        nonlocal seen
        start, seen = seen, seen + len(data)
        return bytes(byte ^ 0xD5 if at % GARBLED_EVERY == 0 else byte for at, byte in enumerate(data, start))

    rig.board.uart.noise = noise


def _other_board(rig: EmulatedRig) -> None:
    rig.file = replace(rig.file, board=replace(rig.file.board, mac=OTHER_MAC))


def _wrong_crystal(rig: EmulatedRig) -> None:
    rig.board.uart.skew = WRONG_CRYSTAL


_POWER = frozenset({"power", "boot-log"})
_BUS = frozenset({"i2c", "rpc"})

BENCH_FAULTS: Mapping[str, BenchFault] = {
    "relay-stuck-on": BenchFault("the relay's contact is welded", "power", _POWER, _weld),
    "relay-contact-open": BenchFault("the relay's contact never conducts", "power", _POWER, _open_contact),
    "ghost-power": BenchFault(
        "the element is fed through its signal lines when the relay is off",
        "power",
        _POWER | {"i2c"},
        _feed_by_signals,
    ),
    "board-reboots": BenchFault(
        "the supply gives in after some seconds and the board restarts", "power", _POWER, _dip_again_and_again
    ),
    "serial-garbage": BenchFault("the serial cable garbles bytes", "power", _POWER, _garble),
    "wrong-baud": BenchFault("the console runs at another speed", "power", _POWER, _wrong_crystal),
    "wrong-board": BenchFault(
        "another board is plugged in than the rig file names",
        "rig",
        _POWER | {"rpc"},
        _other_board,
        early=True,
    ),
    "wrong-address": BenchFault(
        "the element answers at another address", "wiring", _BUS | {"provision"}, _other_address
    ),
    "bus-held-low": BenchFault("SDA is shorted to ground", "wiring", _BUS, _hold_low),
    "foreign-device": BenchFault("an EEPROM hangs on the element's bus", "wiring", _BUS, _add_eeprom),
    "weak-pull-ups": BenchFault("the bus has weak pull-up resistors", "wiring", _BUS, _weaken_pull_ups),
}
"""Name → fault. The owner ``rig`` is the health gate: such a run ends before any test says something."""
