"""A relay that another package brings: whatever it raises is the relay's error, never the product's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.errors import HilError, RelayError
from hil.extensions import RelayKind, load, opened
from hil.power.relay import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.clock import Clock
    from hil.power.registry import RelaySettings
    from hil.power.relay import Relay

__all__ = ["OwnRelay", "open_own"]

_MEMBERS = ("name", "on", "off", "readback", "close")


def open_own(settings: RelaySettings, clock: Clock) -> Relay:
    """Open a relay by the entry point that brings its kind.

    Raises:
        ConfigError: no package brings it, or what it brings is none.
        RigError: it cannot be opened.
    """
    kind = load(RelayKind, settings.kind)
    relay = opened(
        f"the relay {settings.kind!r}", lambda: kind.open(settings, settings.options, clock), _MEMBERS
    )
    return OwnRelay(relay, settings.kind)


class OwnRelay:
    """A :class:`hil.power.relay.Relay` around a foreign one.

    Args:
        relay: does the switching.
        kind: the name of its entry point.
    """

    def __init__(self, relay: Relay, kind: str) -> None:
        self._relay = relay
        self._kind = kind

    @property
    def name(self) -> str:
        """The relay's name."""
        return self._relay.name

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        with self._its_errors("switch on"):
            self._relay.on()

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        with self._its_errors("switch off"):
            self._relay.off()

    def readback(self) -> State:
        """See :meth:`hil.power.relay.Relay.readback`.

        Raises:
            RelayError: it failed, or says something that is no state.
        """
        with self._its_errors("tell its state"):
            said = self._relay.readback()
        if not isinstance(said, State):
            raise RelayError(f"the relay {self._kind!r} says {said!r}, which is no hil.power.relay.State")
        return said

    def close(self) -> None:
        """See :meth:`hil.power.relay.Relay.close`."""
        with self._its_errors("close"):
            self._relay.close()

    @contextmanager
    def _its_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except HilError:
            raise
        except Exception as error:  # whatever a foreign package does
            raise RelayError(f"the relay {self._kind!r} did not {what}: {error!r}") from error
