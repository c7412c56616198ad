"""Bring-up step by step: from the host to the element, up to the first step that is broken.

Each step says what it saw. A broken one says what to check next; what lies behind it is not looked
at, because it could only mislead. Nothing is written to the element; a diagnosis that has to change the
firmware's pins or speed puts them back.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hil.board.features import lacking
from hil.board.powercheck import verify_off
from hil.bringup.diagnosis import diagnose_restarts, diagnose_wiring
from hil.errors import BoardIdentityError, DeviceError, HilError, RelayError, UsageError
from hil.power.relay import State
from hil.records.header import new_run
from hil.records.journal import utc
from hil.rig.endpoint import address_of
from hil.rig.network import station
from hil.rig.opening import unopened_rig
from hil.rigfile import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hil.clock import Calendar
    from hil.rig.rig import Rig
    from hil.rigfile import RigFile

__all__ = ["STEPS", "Finding", "Step", "Verdict", "examine", "patient"]

RELEASED = 1_735_689_600
"""2025-01-01: an earlier clock is wrong, and every certificate would be judged by it."""
PING_US = 1_000_000
WAKES = 3


class Verdict(StrEnum):
    """How a step ended."""

    GOOD = "good"
    BROKEN = "broken"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one step saw.

    Attributes:
        step: its name.
        verdict: how it ended.
        text: what was seen, or why it was skipped.
        hint: what to check next, for a broken step.
        exit_code: of the error that broke it; 0 otherwise.
    """

    step: str
    verdict: Verdict
    text: str
    hint: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: in a word or two.
        skip: why a rig does not have it; None if it has.
        look: does it; says what was seen, or raises.
    """

    name: str
    skip: Callable[[RigFile], str | None]
    look: Callable[[Rig], str]


@contextmanager
def patient(file: RigFile, calendar: Calendar, *, faults: Sequence[str] = ()) -> Iterator[Rig]:
    """A rig to examine: locked, nothing opened yet; left in its safe state.

    Raises:
        RigBusyError: another process owns it.
    """
    with tempfile.TemporaryDirectory(prefix="hil-") as scratch:
        journal = new_run(Path(scratch), calendar, rigs=[file.rig], faults=list(faults), purpose="by hand")
        with (
            journal,
            unopened_rig(
                file, faults=faults, allow_irreversible=frozenset(), journal=journal, calendar=calendar
            ) as rig,
        ):
            yield rig


def examine(rig: Rig) -> Iterator[Finding]:
    """Take step after step; the first broken one is the last."""
    for step in STEPS:
        reason = step.skip(rig.file)
        if reason is not None:
            yield Finding(step.name, Verdict.SKIPPED, reason)
            continue
        started, before = rig.boot is not None, len(rig.unexpected_boots)
        finding = _look(step, rig)
        restarts = rig.unexpected_boots[before:]
        if started and restarts:  # whatever the step saw, this is why
            finding = Finding(
                step.name, Verdict.BROKEN, diagnose_restarts(restarts), exit_code=DeviceError.exit_code
            )
        yield finding
        if finding.verdict is Verdict.BROKEN:
            return


def _look(step: Step, rig: Rig) -> Finding:
    try:
        return Finding(step.name, Verdict.GOOD, step.look(rig))
    except _Nothing as nothing:
        return Finding(step.name, Verdict.SKIPPED, str(nothing))
    except HilError as error:
        return Finding(step.name, Verdict.BROKEN, error.message, error.hint or "", error.exit_code)


class _Nothing(Exception):
    """A step finds that there is nothing for it to do; the message says why."""


# -- who has which step ---------------------------------------------------------------------------


def _always(file: RigFile) -> str | None:
    return None


def _relay(file: RigFile) -> str | None:
    return "the rig has no relay" if file.power.kind == "none" else None


def _board(file: RigFile) -> str | None:
    return "the rig has no board" if file.board.kind == "none" else None


def _relay_and_board(file: RigFile) -> str | None:
    return _relay(file) or _board(file)


def _relay_or_board(file: RigFile) -> str | None:
    return _relay(file) and _board(file)


def _mongoose(file: RigFile) -> str | None:
    return None if file.board.kind == "mongoose-os" else "only Mongoose OS firmware can be asked"


def _any_bus(file: RigFile) -> str | None:
    if missing(file, {"i2c"}) is not None:
        return "the firmware offers no bus; its console asks the element"
    return None


# -- host, relay, power ---------------------------------------------------------------------------


def _open_relay(rig: Rig) -> str:
    rig.open_power()
    said = rig.power.relay.readback()
    return f"{rig.power.name} " + ("has no readback" if said is State.UNKNOWN else f"says that it is {said}")


def _open_board(rig: Rig) -> str:
    rig.open_board()
    return f"{rig.file.board.port} is there and may be used, at {rig.file.board.baud} baud"


def _open_bus(rig: Rig) -> str:
    rig.open_bus()
    if rig.file.bus.kind == "board":
        return "the element is reached through the board"
    return f"{rig.bus.name} is there and may be used"


def _power_off(rig: Rig) -> str:
    finding = verify_off(
        rig.power, rig.console, signs={"the firmware": lambda: _pings(rig)}, running="the firmware"
    )
    if not finding.ok:
        raise RelayError(finding.text)
    return finding.text


def _pings(rig: Rig) -> bool:
    board = rig.mongoose_board
    if board is None:
        return False
    try:
        board.rpc.call("RPC.Ping", timeout_us=PING_US)
    except DeviceError:
        return False
    return True


def _power_on(rig: Rig) -> str:
    if rig.file.power.kind == "none":
        return _running_board(rig)
    rig.power_on()
    boot = rig.boot
    if rig.file.board.kind == "none":
        return f"{rig.power.name} is on; there is no board whose start could be seen"
    if boot is None:
        raise DeviceError(rig.diagnose_silence())
    if not boot.reset.may_be_power_on:
        raise RelayError(
            f"the boot log names another cause than power-on: {boot.reset}",
            hint="it never lost its power, or it restarted again at once: check the supply",
        )
    took = (rig.clock.now - boot.at) / 1e6
    return f"the board starts by {boot.reset}; the log was complete after {took:.2f} s"


def _running_board(rig: Rig) -> str:
    """Without a relay it is reset; a board that nothing resets may still be asked."""
    rig.start_again()
    if rig.boot is not None:
        return f"no relay: the board was reset and starts by {rig.boot.reset}"
    if not rig.running:
        raise DeviceError(rig.diagnose_silence())
    return "no relay, and nothing that resets the board: its firmware was found running"


# -- firmware and wires -----------------------------------------------------------------------------


def _identity(rig: Rig) -> str:
    board = rig.mongoose_board
    found = board.sys_get_info().mac_address if board is not None else rig.boot and rig.boot.mac
    wanted = rig.file.board.mac
    if found is None:
        raise _Nothing("the firmware does not tell its MAC address")
    if wanted is None:
        return f"MAC address {found}; put it under `board:` as `mac`, so that no other is taken for it"
    if found != wanted:
        raise BoardIdentityError(
            f"the board on {rig.file.board.port} has the MAC address {found}, the rig file names {wanted}",
            hint="another board is plugged in, or ports changed places; use a /dev/serial/by-id name",
        )
    return f"MAC address {found}, as the rig file says"


def _firmware(rig: Rig) -> str:
    board = rig.mongoose_board
    assert board is not None, "the step is Mongoose OS's"
    info = board.sys_get_info()
    lacks = lacking(board.rpc_list(), board.config_get())
    said = f"{info.app} {info.fw_version} on Mongoose OS {info.mg_version}, {info.arch}"
    if not lacks:
        return f"{said}; it has everything that the suites call"
    rows = "\n".join(f"  lacks {one.name} ({one.purpose}): {one.remedy}" for one in lacks)
    if any(one.vital for one in lacks):
        raise DeviceError(
            f"{said}\n{rows}",
            hint="rigs/firmware/mongoose-os has all of them: build it, then `hil flash RIG`",
        )
    return f"{said}\n{rows}"


def _pins(rig: Rig) -> str:
    board = rig.mongoose_board
    assert board is not None, "the step is Mongoose OS's"
    bus = board.config_get("i2c")
    assert isinstance(bus, dict), "the step before has seen that section"
    if not bus.get("enable"):
        _broken("the firmware's I2C bus is off", "mos config-set i2c.enable=true, or Config.Set by RPC")
    seen = f"SDA on GPIO{bus.get('sda_gpio')}, SCL on GPIO{bus.get('scl_gpio')}, {bus.get('freq')} Hz"
    wiring = rig.file.wiring
    if wiring is not None:
        for signal, wire in (("sda", wiring.sda), ("scl", wiring.scl)):
            if wire.gpio is not None and bus.get(f"{signal}_gpio") != wire.gpio:
                _broken(
                    f"{seen}; the wiring table has {signal.upper()} on GPIO{wire.gpio}",
                    f"set i2c.{signal}_gpio={wire.gpio}, or move the wire",
                )
    if isinstance(bus.get("freq"), int) and bus["freq"] > 133_000:
        _broken(
            f"{seen}: too fast to wake the element by a zero byte",
            "set i2c.freq=100000; the firmware's own driver slows down by itself, I2C.Write does not",
        )
    return seen + ("" if wiring is None else ", as the wiring table says")


def _broken(text: str, hint: str) -> NoReturn:
    raise DeviceError(text, hint=hint)


def _scan(rig: Rig) -> str:
    board = rig.mongoose_board
    assert board is not None, "the step is Mongoose OS's"
    found = board.i2c_scan()
    if found != [rig.file.element.address]:
        raise DeviceError(diagnose_wiring(board, rig.file, found))
    return f"only the element answers, at {found[0]} (0x{found[0]:02x})"


# -- element ------------------------------------------------------------------------------------------


def _wake(rig: Rig) -> str:
    element = rig.element
    for _ in range(WAKES):
        element.wake()
        element.sleep()
    return f"{WAKES} wake-ups, each answered 04 11 33 43"


def _element(rig: Rig) -> str:
    if rig.bus_or_none is None:
        info = rig.esp_idf_board().chip_info()
        serial, revision = info.serial.hex(), None if info.revision is None else info.revision.hex()
    else:
        serial, revision = rig.element.serial_number().hex(), rig.element.info_revision().hex()
    wanted = rig.file.element
    if wanted.serial not in (None, serial):
        raise BoardIdentityError(
            f"the element has the serial number {serial}, the rig file names {wanted.serial}",
            hint="another part is in the socket; if it shall stay, name it in the rig file",
        )
    if wanted.revision is not None and revision is not None and revision != wanted.revision:
        raise BoardIdentityError(f"the element has revision {revision}, the rig file names {wanted.revision}")
    named = "as the rig file says" if wanted.serial else "put the serial number under `element:`"
    return f"{wanted.part}, serial number {serial}, revision {revision or 'not told'}; {named}"


def _driver(rig: Rig) -> str:
    board = rig.mongoose_board
    assert board is not None, "the step is Mongoose OS's"
    if any(method.startswith("ATCA.") for method in board.rpc_list()):
        return "the firmware found the element at its start and offers ATCA.*"
    if "sys.atca." in {one.name for one in lacking(board.rpc_list(), board.config_get())}:
        raise _Nothing("the firmware has no ATCA library")
    if not board.config_get("sys.atca.enable"):
        raise _Nothing("sys.atca.enable is false: TLS would run in software")
    _broken(
        "the element answers on the bus, but the firmware did not find it at its start",
        f"compare sys.atca.i2c_addr with {rig.file.element.address}; it is looked for at the start only",
    )


# -- time, network, cloud -----------------------------------------------------------------------------


def _time(rig: Rig) -> str:
    now = rig.calendar.time()
    if now < RELEASED:
        raise UsageError(
            f"this computer thinks that it is {utc(now)}", hint="set its clock: certificates are judged by it"
        )
    return f"this computer says {utc(now)}"


def _network(rig: Rig) -> str:
    board = rig.mongoose_board
    assert board is not None, "the step is Mongoose OS's"
    wifi = board.sys_get_info().wifi
    if wifi is not None and wifi.sta_ip:
        return f"the board is in the network {wifi.ssid!r} as {wifi.sta_ip}"
    if rig.file.wifi is None and rig.emulated is None:
        raise _Nothing("the rig file has no section `wifi`")
    if "Wifi.SetupSTA" not in board.rpc_list():
        raise _Nothing("the firmware has no Wifi.SetupSTA; it joins when the suite connect configures it")
    board.rpc.call("Wifi.SetupSTA", {"sta": station(rig.file)})  # until the next start only
    return f"the board joined as {rig.net.address()}"


def _endpoint(rig: Rig) -> str:
    try:
        server = rig.cloud.server
    except UsageError as error:
        raise _Nothing(error.message) from error
    host, port = address_of(server)
    rig.net.dial(host, port).close()
    return f"{server} accepts connections"


STEPS: tuple[Step, ...] = (
    Step("relay", _relay, _open_relay),
    Step("board port", _board, _open_board),
    Step("bus port", _always, _open_bus),
    Step("power off", _relay_and_board, _power_off),
    Step("power on", _relay_or_board, _power_on),
    Step("board", _board, _identity),
    Step("firmware", _mongoose, _firmware),
    Step("bus", _mongoose, _pins),
    Step("scan", _mongoose, _scan),
    Step("wake", _any_bus, _wake),
    Step("element", _always, _element),
    Step("driver", _mongoose, _driver),
    Step("time", _always, _time),
    Step("network", _mongoose, _network),
    Step("endpoint", _mongoose, _endpoint),
)
"""From the host to the element and on to the cloud."""
