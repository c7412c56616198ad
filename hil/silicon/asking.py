"""Asking an element, one packet at a time, and putting its answer into words that can be compared.

An *asker* is whatever carries the packets: the element of a rig behind its guard, or a chip model in
memory. What is asked is the same for both, so that the answers can be laid side by side.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hil.element.repeat import Repeat
from hil.errors import DeviceTimeout, ElementError, FrameError, I2CNack, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from hil.element.device import Element
    from hil.wire.atecc import Command

__all__ = ["NO_ANSWER", "Asker", "ElementAsker", "in_words", "status_words"]

NO_ANSWER = "no answer"
NOT_HEARD = "not acknowledged"
DAMAGED = "damaged answer"
WATCHDOG_US = 2_000_000
"""Longer than the watchdog of any part that has the short period (data sheet DS20005927A table 8-3)."""


class Asker(Protocol):
    """Carries packets to one element."""

    @property
    def switches(self) -> bool:
        """Whether the power can be switched."""
        ...

    def scene(self) -> AbstractContextManager[None]:
        """Some commands that belong together: nothing volatile is left from before, asleep afterwards."""
        ...

    def ask(self, command: Command) -> bytes | str:
        """The payload of the answer, or in words why there is none."""
        ...

    def idle(self) -> None:
        """Idle; the next command wakes the element."""
        ...

    def sleep(self) -> None:
        """Sleep; the next command wakes the element."""
        ...

    def outlast_watchdog(self) -> None:
        """Stay awake until the watchdog has put the element to sleep."""
        ...

    def power_cycle(self) -> None:
        """Power off and on.

        Raises:
            UsageError: nobody can switch it; see ``switches``.
        """
        ...


def status_words(status: int) -> str:
    """``status 0f``; how statuses are put down everywhere."""
    return "ok" if status == 0 else f"status {status:02x}"


def in_words(answer: bytes | str, *, exact: bool = False) -> str:
    """An answer as it is compared.

    Args:
        answer: payload, or the reason why there is none.
        exact: keep the bytes; only where they do not depend on the die, its keys or chance.
    """
    if isinstance(answer, str):
        return answer
    if len(answer) == 1:
        return status_words(answer[0])
    return answer.hex() if exact else f"{len(answer)} bytes"


class ElementAsker:
    """Asks the element of a rig, through the driver and the guard.

    Args:
        element: the element.
        cycle_power: switches its power off and on and has it usable again; None if nobody can.
        watchdog_us: longer than its watchdog period.
    """

    def __init__(
        self,
        element: Element,
        cycle_power: Callable[[], None] | None = None,
        *,
        watchdog_us: int = WATCHDOG_US,
    ) -> None:
        self.element = element
        self._cycle_power = cycle_power
        self._watchdog_us = watchdog_us
        self._doubtful = False

    @property
    def switches(self) -> bool:
        """Whether the power can be switched."""
        return self._cycle_power is not None

    @contextmanager
    def scene(self) -> Iterator[None]:
        """See :meth:`Asker.scene`; an element that went idle by itself is made to forget too."""
        if self._doubtful:
            self.element.wake()
            self.element.sleep()
            self._doubtful = False
        with self.element.exchange():
            yield

    def ask(self, command: Command) -> bytes | str:
        """See :meth:`Asker.ask`; nothing is sent twice, so that every status is seen."""
        try:
            return self.element.execute(command, None, repeat=Repeat.NEVER)
        except ElementError as error:
            return bytes((error.status,))
        except DeviceTimeout:
            self._doubtful = True
            return NO_ANSWER
        except I2CNack:
            self._doubtful = True
            return NOT_HEARD
        except FrameError:
            return DAMAGED

    def idle(self) -> None:
        """See :meth:`Asker.idle`."""
        self.element.idle()

    def sleep(self) -> None:
        """See :meth:`Asker.sleep`."""
        self.element.sleep()

    def outlast_watchdog(self) -> None:
        """See :meth:`Asker.outlast_watchdog`."""
        self.element.clock.sleep(self._watchdog_us)

    def power_cycle(self) -> None:
        """See :meth:`Asker.power_cycle`."""
        if self._cycle_power is None:
            raise UsageError("the power of this rig cannot be switched")
        self._cycle_power()
