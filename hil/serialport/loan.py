"""Lending a port to another program, esptool for one.

A physical port is simply opened by the borrower. A line that this process emulates is put behind a
pseudo terminal meanwhile, and its world moves with what the borrower does: whenever nothing moves for
a moment of wall time, a longer one passes in the world. Its clock says nothing about the borrower's
speed.
"""

from __future__ import annotations

import os
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hil.errors import PortError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.serialport.emulated import EmulatedLine

__all__ = ["Loan", "lend_emulated", "lend_physical"]

CHUNK = 4096
IDLE_S = 0.001
IDLE_US = 10_000
QUIET_US = 5_000


class Loan(Protocol):
    """A port that another program may open.

    Attributes:
        name: the port's name here, for messages.
        path: what it opens.
        resets: whether it can reset the board through DTR and RTS by itself.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def resets(self) -> bool: ...  # noqa: D102

    def wait(self, descriptor: int, timeout_s: float) -> bool:
        """Carry bytes until ``descriptor`` is readable; False after ``timeout_s`` of wall time."""
        ...


class _Direct:
    """The borrower opens the port itself."""

    def __init__(self, path: str) -> None:
        self.name = self.path = path
        self.resets = not path.startswith("socket://")

    def wait(self, descriptor: int, timeout_s: float) -> bool:
        """See :meth:`Loan.wait`."""
        return bool(select.select([descriptor], [], [], timeout_s)[0])


class _Terminal:
    """An emulated line behind a pseudo terminal."""

    resets = False

    def __init__(self, line: EmulatedLine, master: int, *, path: str, name: str) -> None:
        self.name = name
        self.path = path
        self._line = line
        self._master = master

    def wait(self, descriptor: int, timeout_s: float) -> bool:
        """See :meth:`Loan.wait`."""
        for _ in range(round(timeout_s / IDLE_S)):
            self._to_borrower()
            ready = select.select([descriptor, self._master], [], [], IDLE_S)[0]
            if self._master in ready:
                self._from_borrower()
            elif not ready:
                self._line.world.run_for(IDLE_US)
            if descriptor in ready:
                return True
        return False

    def _from_borrower(self) -> None:
        from hil.serialport.terminal import terminal_baud

        line = self._line
        data = os.read(self._master, CHUNK)
        line.host_baud = terminal_baud(self._master) or line.host_baud
        line.host_write(data)
        world, received = line.world, line.received
        world.run_for(len(data) * 10_000_000 // line.host_baud)
        seen = -1
        while len(received) != seen:
            seen = len(received)
            world.run_until(lambda: len(received) != seen, world.now + QUIET_US)  # noqa: B023  (used at once)

    def _to_borrower(self) -> None:
        received = self._line.received
        if received:
            try:
                sent = os.write(self._master, bytes(received[:CHUNK]))
            except BlockingIOError:  # it has not read the last piece yet
                return
            del received[:sent]


@contextmanager
def lend_physical(path: str) -> Iterator[Loan]:
    """A loan of a port that was closed here."""
    yield _Direct(path)


@contextmanager
def lend_emulated(line: EmulatedLine, name: str) -> Iterator[Loan]:
    """A loan of an emulated line.

    Raises:
        PortError: this system has no pseudo terminals.
    """
    try:
        import pty
        import tty
    except ImportError as error:
        raise PortError("an emulated line can be lent where there are pseudo terminals only") from error
    master, slave = pty.openpty()  # our slave keeps reads from failing before the borrower comes
    baud = line.host_baud
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        yield _Terminal(line, master, path=os.ttyname(slave), name=name)
    finally:
        line.host_baud = baud
        os.close(master)
        os.close(slave)
