"""What must hold between the keys of a rig file; one small function per rule.

Each yields the place of the key to blame and a sentence. The loader turns them into
``file:line:column`` messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hil.extensions import BoardKind, BusKind, RelayKind, find
from hil.rigfile.binding import fields_of
from hil.rigfile.capabilities import CAPABILITIES, DIRECT_BUS
from hil.rigfile.model import Board, Bus, Power

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.extensions import Extension
    from hil.rigfile.model import RigFile

    Findings = Iterator[tuple[tuple[str, ...], str]]

__all__ = ["RULES", "ports"]

EMULATED = "emu://"

# The serial numbers of emulated elements: bytes 2 and 3 are E0 7E (see hil.wire.serials).
RESERVED_SERIAL = "e07e"

_WITHOUT_PORT = ("none", "command", "hid-dcttech", "hid-lcus")
"""Relay kinds that are reached by something else than a port."""


def ports(rig: RigFile) -> tuple[tuple[str, str], ...]:
    """Section name and port of every part that is reached through one."""
    named = (("board", rig.board.port), ("power", rig.power.port), ("bus", rig.bus.port))
    return tuple((section, port) for section, port in named if port)


def _file_is_named_after_the_rig(rig: RigFile) -> Findings:
    if rig.path.stem != rig.rig:
        yield ("rig",), f"rig is {rig.rig!r} but the file is called {rig.path.name!r}; name them the same"


def _each_kind_has_the_keys_it_needs(rig: RigFile) -> Findings:
    own = _own(rig)
    if not rig.board.port and rig.board.kind != "none":
        yield ("board",), f"board lacks the key 'port', which kind {rig.board.kind} needs"
    if rig.board.mcu is None and rig.board.kind != "none" and own["board"] is None:
        yield ("board",), f"board lacks the key 'mcu', which kind {rig.board.kind} needs"
    if not rig.power.port and _needs_port(own["power"], default=rig.power.kind not in _WITHOUT_PORT):
        yield ("power",), f"power lacks the key 'port', which kind {rig.power.kind} needs"
    if rig.power.kind == "command" and not (rig.power.on_command and rig.power.off_command):
        yield ("power",), "power lacks the keys 'on_command' and 'off_command', which kind command needs"
    if rig.bus.kind == "linux" and rig.bus.number is None:
        yield ("bus",), "bus lacks the key 'number', which kind linux needs"
    if not rig.bus.port and _needs_port(own["bus"], default=rig.bus.kind == "kit"):
        yield ("bus",), f"bus lacks the key 'port', which kind {rig.bus.kind} needs"


def _own(rig: RigFile) -> dict[str, Extension | None]:
    """The kinds that other packages bring, by section; None for what is built in."""
    sections: tuple[tuple[str, type, str], ...] = (
        ("board", Board, rig.board.kind),
        ("power", Power, rig.power.kind),
        ("bus", Bus, rig.bus.kind),
    )
    own: dict[str, Extension | None] = {}
    for section, model, kind in sections:
        key = fields_of(model)["kind"].key
        assert key.group is not None, "every kind may be one's own"
        own[section] = None if kind in key.choices else find(key.group, kind)
    return own


def _needs_port(extension: Extension | None, *, default: bool) -> bool:
    return extension.needs_port if isinstance(extension, RelayKind | BusKind) else default


def _own_boards_promise_what_there_is(rig: RigFile) -> Findings:
    kind = _own(rig)["board"]
    if not isinstance(kind, BoardKind):
        return
    unknown = sorted(kind.capabilities - CAPABILITIES.keys())
    if unknown:
        yield (
            ("board", "kind"),
            f"kind {rig.board.kind} promises {', '.join(unknown)}, which is no capability",
        )
    by_bus = sorted(kind.capabilities & DIRECT_BUS)
    if by_bus and kind.bus is None and "rpc" not in kind.capabilities:
        yield ("board", "kind"), f"kind {rig.board.kind} promises {', '.join(by_bus)}, but it has no bus"
    if rig.bus.kind == "board" and kind.bus is None and "rpc" not in kind.capabilities:
        yield ("bus",), f"nothing reaches the element: kind {rig.board.kind} has no bus; describe one"


def _no_kind_has_keys_that_it_ignores(rig: RigFile) -> Findings:
    if rig.board.kind == "none" and rig.board.port:
        yield ("board", "port"), "board has a port but kind none; say what runs on the board"
    if rig.power.kind == "none" and rig.power.port:
        yield ("power", "port"), "power has a port but kind none; say which relay it is"
    if rig.bus.kind != "linux" and rig.bus.number is not None:
        yield ("bus", "number"), f"number is for kind linux; kind {rig.bus.kind} ignores it"
    if rig.bus.kind in ("board", "linux") and rig.bus.port:
        yield ("bus", "port"), f"port is for kind kit; kind {rig.bus.kind} ignores it"
    if rig.cloud.mode != "moto-server" and rig.cloud.endpoint_url is not None:
        yield ("cloud", "endpoint_url"), f"endpoint_url is for moto-server; mode {rig.cloud.mode} ignores it"
    if rig.cloud.mode != "aws" and rig.cloud.credentials_profile is not None:
        yield (
            ("cloud", "credentials_profile"),
            f"credentials_profile is for mode aws; mode {rig.cloud.mode} ignores it",
        )


def _somebody_reaches_the_element(rig: RigFile) -> Findings:
    if rig.bus.kind == "board" and rig.board.kind == "none":
        yield ("bus",), "nothing reaches the element: describe a board, or a bus of kind linux or kit"


def _real_accounts_are_named(rig: RigFile) -> Findings:
    if rig.cloud.mode == "aws" and rig.cloud.account_id == "123456789012":
        yield ("cloud",), "mode aws needs the key 'account_id' of your account"
    if rig.cloud.mode == "moto-server" and rig.cloud.endpoint_url is None:
        yield ("cloud",), "cloud lacks the key 'endpoint_url', which mode moto-server needs"


def _the_board_finds_its_endpoint(rig: RigFile) -> Findings:
    if rig.emulated:
        for key in ("listen", "data_endpoint", "server_roots"):
            if getattr(rig.cloud, key) is not None:
                yield (
                    ("cloud", key),
                    f"{key} is for physical boards: an emulated one meets the endpoint in its world",
                )
    elif rig.cloud.mode == "aws" and rig.cloud.listen is not None:
        yield (
            ("cloud", "listen"),
            "listen is for moto and moto-server; in mode aws the board meets AWS itself",
        )


def _emulated_as_a_whole_or_not_at_all(rig: RigFile) -> Findings:
    emulated = [section for section, port in ports(rig) if port.startswith(EMULATED)]
    physical = [section for section, port in ports(rig) if not port.startswith(EMULATED)]
    if rig.bus.kind not in ("board", "kit"):
        physical.append("bus")
    if emulated and physical:
        yield (
            (physical[0],),
            f"{physical[0]} is physical but {emulated[0]} is emulated; a rig is one or the other",
        )
    elif emulated and rig.emulation is None:
        yield (emulated[0],), f"{emulated[0]} is on an emu:// port, so the file needs a section 'emulation'"
    elif rig.emulation is not None and not emulated:
        yield ("emulation",), "emulation is only for emu:// ports; whatever answers on another is physical"


def _emulated_ports_name_the_rig(rig: RigFile) -> Findings:
    seen: dict[str, str] = {}
    for section, port in ports(rig):
        if port in seen:
            yield (section, "port"), f"{section} and {seen[port]} are on the same port {port}"
        seen[port] = section
        if port.startswith(EMULATED):
            parts = urlsplit(port)
            if parts.netloc != rig.rig or not parts.path.strip("/"):
                yield (section, "port"), f"port must be emu://{rig.rig}/LINE, not {port!r}"


def _emulated_parts_have_reserved_serial_numbers(rig: RigFile) -> Findings:
    if rig.emulation is None:
        return
    if rig.element.serial is None:
        yield ("element",), "element lacks the key 'serial', which an emulated element is made with"
    elif rig.element.serial[4:8] != RESERVED_SERIAL:
        yield (
            ("element", "serial"),
            f"an emulated element has a serial number of the reserved range, 0123{RESERVED_SERIAL}…",
        )
    if rig.emulation.element.startswith("trust-") != (rig.element.state == "trust"):
        yield (
            ("emulation", "element"),
            f"an emulated {rig.emulation.element} element does not come in state {rig.element.state!r}",
        )


def _what_may_be_used_up_has_a_name(rig: RigFile) -> Findings:
    if rig.element.expendable and rig.element.serial is None:
        yield ("element", "expendable"), "an expendable element must be named by its 'serial'"
    if rig.element.expendable and rig.element.production:
        yield ("element", "expendable"), "an element is expendable or for production, not both"


def _limits_are_in_order(rig: RigFile) -> Findings:
    connect = rig.connect
    if connect.warn_ms is not None and connect.warn_ms >= connect.limit_ms:
        yield ("connect", "warn_ms"), f"warn_ms must be below limit_ms ({connect.limit_ms})"
    if connect.timeout_ms < connect.limit_ms:
        yield ("connect", "timeout_ms"), f"timeout_ms must not be below limit_ms ({connect.limit_ms})"
    if not connect.tls_versions:
        yield ("connect", "tls_versions"), "tls_versions names no version"


RULES: tuple[Callable[[RigFile], Findings], ...] = (
    _file_is_named_after_the_rig,
    _each_kind_has_the_keys_it_needs,
    _own_boards_promise_what_there_is,
    _no_kind_has_keys_that_it_ignores,
    _somebody_reaches_the_element,
    _real_accounts_are_named,
    _the_board_finds_its_endpoint,
    _emulated_as_a_whole_or_not_at_all,
    _emulated_ports_name_the_rig,
    _emulated_parts_have_reserved_serial_numbers,
    _what_may_be_used_up_has_a_name,
    _limits_are_in_order,
)
"""Every rule, in the order in which problems of one line are listed."""
