"""Parts of one's own: boards, relays, buses and suites that other packages bring.

A package names them by entry points, and rig files then use them like built-in ones::

    [project.entry-points."hil.relays"]
    acme-pdu = "acme_bench:PDU"

``acme_bench.PDU`` is a :class:`RelayKind`. Entry points are looked at only when a rig file (or a
test) names something that is not built in. ``docs/howto`` shows one of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from hil.errors import ConfigError, HilError, RigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

    from hil.board.bootlog import Boot
    from hil.board.console import Console
    from hil.clock import Clock
    from hil.guard.permit import RpcCall
    from hil.i2c.bus import I2CBus
    from hil.power.registry import RelaySettings
    from hil.power.relay import Relay
    from hil.rigfile import Board, Bus
    from hil.serialport.port import Port

__all__ = [
    "BoardKind",
    "BoardOpening",
    "BusKind",
    "Extension",
    "Group",
    "OwnBoard",
    "RelayKind",
    "SuiteKind",
    "find",
    "load",
    "names",
    "opened",
]

Group = Literal["hil.boards", "hil.relays", "hil.buses", "hil.suites"]
_WORDS = {"hil.boards": "board", "hil.relays": "relay", "hil.buses": "bus", "hil.suites": "suite"}


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What an entry point names.

    Attributes:
        options: frozen dataclass of its own settings, annotated as the sections of the rig file are
            (``Annotated[int, Key("…")]``); a ``ValueError`` of its ``__post_init__`` is told with the
            place in the file. None if it has none.
    """

    options: type | None = None


class OwnBoard(Protocol):
    """What a rig needs of a board, whatever runs on it; :class:`hil.board.plain.PlainBoard` has it all."""

    @property
    def console(self) -> Console:
        """Reads the port; nobody else does."""
        ...

    @property
    def boots(self) -> tuple[Boot, ...]:
        """Every start that the console has seen, oldest first."""
        ...

    @property
    def unexpected_boots(self) -> tuple[Boot, ...]:
        """Starts that nobody had announced."""
        ...

    def expect_boot(self) -> None:
        """Announce a start."""
        ...

    def wait_for_boot(self, *, timeout_us: int) -> Boot:
        """Wait until an announced start is complete, or raise :class:`hil.errors.DeviceTimeout`."""
        ...

    def answers(self) -> bool:
        """Whether the firmware runs although no start of it was seen; False if it cannot be asked."""
        ...

    def close(self) -> None:
        """Close the port."""
        ...


@dataclass(frozen=True)
class BoardOpening:
    """What a board is opened with.

    Attributes:
        port: its serial port; behind the guard where :attr:`BoardKind.speech` is set.
        settings: the section ``board`` of the rig file.
        options: ``board.options``, an instance of :attr:`Extension.options`.
        check_rpc: the guard's look at a firmware call; to be called before it is sent.
        check_call: its look at an irreversible console command.
    """

    port: Port
    settings: Board
    options: object
    check_rpc: Callable[[str, Mapping[str, object]], None]
    check_call: Callable[[RpcCall], None]


@dataclass(frozen=True, kw_only=True)
class BoardKind(Extension):
    """A board of one's own; it always has a port.

    A board that is a :class:`hil.board.mongoose.MongooseBoard` is used like the built-in one: its bus
    and its guard come with it, and ``speech`` has to be ``"rpc"``.

    Attributes:
        open: makes it.
        capabilities: what tests may need of it (:data:`hil.rigfile.CAPABILITIES`; ``hil rigs check``
            lists them). What the element's bus gives is added where there is one.
        speech: how its console is spoken to, so that the guard can look at every byte; None for a
            protocol that the guard does not know: such a board must not change the element.
        bus: the element's bus behind it, or None. The guard looks at every transaction.
    """

    open: Callable[[BoardOpening], OwnBoard]
    capabilities: frozenset[str] = frozenset({"console", "boot-log"})
    speech: Literal["rpc", "console"] | None = None
    bus: Callable[[OwnBoard], I2CBus] | None = None


@dataclass(frozen=True, kw_only=True)
class RelayKind(Extension):
    """A relay of one's own.

    Attributes:
        open: takes the section ``power``, its options and the rig's clock; does not switch.
        needs_port: the section has to name a port.
    """

    open: Callable[[RelaySettings, object, Clock], Relay]
    needs_port: bool = False


@dataclass(frozen=True, kw_only=True)
class BusKind(Extension):
    """A bus of one's own; for the guard it is physical, whatever it says of itself.

    Attributes:
        open: takes the section ``bus``, its options and the rig's clock.
        needs_port: the section has to name a port.
    """

    open: Callable[[Bus, object, Clock], I2CBus]
    needs_port: bool = False


@dataclass(frozen=True, kw_only=True)
class SuiteKind(Extension):
    """A suite of one's own; the entry point's name is that of the folder with its tests.

    Attributes:
        asks: what it asks of a rig, in a few words.
        after: suites that must not have failed; else it is blocked.
    """

    asks: str
    after: tuple[str, ...] = field(default=())


Kind = TypeVar("Kind", bound=Extension)
Made = TypeVar("Made")
_WANTED: dict[Group, type[Extension]] = {
    "hil.boards": BoardKind,
    "hil.relays": RelayKind,
    "hil.buses": BusKind,
    "hil.suites": SuiteKind,
}


@cache
def _entries(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    from importlib.metadata import entry_points  # not free, and rigs of built-in parts do without

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=group):
        if entry not in found.get(entry.name, ()):
            found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def names(group: Group) -> tuple[str, ...]:
    """What other packages bring, sorted; nothing of theirs is imported."""
    return tuple(sorted(_entries(group)))


def find(group: Group, name: str) -> Extension | None:
    """One extension, or None if no package brings it.

    Raises:
        ConfigError: its package cannot be imported or names something else, or two packages bring it.
    """
    entries = _entries(group).get(name, ())
    if not entries:
        return None
    what, wanted = f"the {_WORDS[group]} {name!r}", _WANTED[group]
    if len(entries) > 1:
        values = ", ".join(entry.value for entry in entries)
        raise ConfigError(f"{what} is brought by several packages: {values}", hint="uninstall all but one")
    (entry,) = entries
    try:
        found = entry.load()
    except Exception as error:  # whatever a foreign package does while it is imported
        raise ConfigError(
            f"{what} cannot be loaded from {entry.value}: {error!r}",
            hint="is its package installed as it should be?",
        ) from error
    if not isinstance(found, wanted):
        raise ConfigError(f"{what}: {entry.value} is no {wanted.__name__} but {type(found).__name__}")
    options: object = found.options
    if options is not None and not (isinstance(options, type) and is_dataclass(options)):
        raise ConfigError(f"{what}: its options are no dataclass but {options!r}")
    return found


def load(kind: type[Kind], name: str) -> Kind:
    """One extension that is known to be there.

    Raises:
        ConfigError: it is not, or cannot be loaded.
    """
    group = next(group for group, one in _WANTED.items() if one is kind)
    found = find(group, name)
    if not isinstance(found, kind):
        known = ", ".join(names(group)) or "none"
        raise ConfigError(
            f"there is no {_WORDS[group]} {name!r}", hint=f"installed ones of your own: {known}"
        )
    return found


def opened(what: str, make: Callable[[], Made], members: tuple[str, ...]) -> Made:
    """What a foreign package makes, checked for what is needed of it.

    Args:
        what: for messages, e.g. ``"the relay 'acme-pdu'"``.
        make: calls the package.
        members: methods and attributes that it must have.

    Raises:
        RigError: the package raised something that is no error of ours.
        ConfigError: what it made lacks something.
    """
    try:
        made = make()
    except HilError:
        raise
    except Exception as error:  # whatever a foreign package does
        raise RigError(f"{what} cannot be opened: {error!r}") from error
    lacking = [name for name in members if not hasattr(made, name)]
    if lacking:
        raise ConfigError(f"{what} is a {type(made).__name__}, which lacks {', '.join(lacking)}")
    return made
