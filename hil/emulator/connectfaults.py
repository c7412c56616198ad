"""What can be wrong with a board's way into the cloud: element, TLS library, server, network, clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from hil.clock import Calendar
from hil.emulator.lockflaws import Throughout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.builder import EmulatedRig

__all__ = ["CONNECT_FAULTS", "ConnectFault"]

FALLEN_BACK = "ATCA is not available (-20096), using sw ECDH"
"""What the library prints: forum.mongoose-os.com discussion 220, community.mongoose-os.com t/1633."""


class ConnectFault(NamedTuple):
    """A row of :data:`CONNECT_FAULTS`; the suite ``connect`` owns all of them.

    Attributes:
        meaning: as in :class:`hil.emulator.faults.Fault`.
        change: makes the fault in the finished rig.
    """

    meaning: str
    change: Callable[[EmulatedRig], None]


def _slow_down(rig: EmulatedRig) -> None:
    rig.element.add_flaw(Throughout("sign-slow"))


def _fall_back(rig: EmulatedRig) -> None:
    rig.firmware.build = replace(rig.firmware.build, ecdh=False, complaint=FALLEN_BACK)


def _sign_twice(rig: EmulatedRig) -> None:
    rig.firmware.build = replace(rig.firmware.build, signatures=2)


def _leave_nagle_on(rig: EmulatedRig) -> None:
    firmware = rig.firmware
    firmware.network.no_delay = False
    firmware.manners = replace(firmware.manners, whole_packets=False)


def _show_rsa(rig: EmulatedRig) -> None:
    rig.endpoint_shows_rsa = True


def _lose_the_time(rig: EmulatedRig) -> None:
    rig.firmware.calendar = Calendar(0.0)


CONNECT_FAULTS: Mapping[str, ConnectFault] = {
    "slow-element": ConnectFault("the element signs three times slower than its data sheet", _slow_down),
    "software-fallback": ConnectFault(
        "the TLS library does not find the element for ECDH and falls back to software", _fall_back
    ),
    "extra-sign": ConnectFault("the TLS library has the element sign twice in a handshake", _sign_twice),
    "nagle-delay": ConnectFault(
        "the firmware writes packets in two pieces and leaves Nagle's algorithm on", _leave_nagle_on
    ),
    "rsa-chain": ConnectFault("the server shows an RSA chain, which no element verifies", _show_rsa),
    "time-not-set": ConnectFault("the board's clock is never set", _lose_the_time),
}
"""Name → fault."""
