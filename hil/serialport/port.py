"""A serial port as the drivers above see it, and how one is opened.

Every byte goes through pyserial, whatever the URL: ``/dev/ttyUSB0``, ``COM5``,
``rfc2217://host:port``, ``socket://host:port``, ``emu://<rig>/<line>``.
"""

from __future__ import annotations

import errno
import os
import warnings
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import serial
from serial.tools import list_ports

from hil.errors import PortError
from hil.serialport import emulated, protocol_emu
from hil.serialport.loan import lend_emulated, lend_physical
from hil.serialport.reader import SLICE_S, BackgroundReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.clock import Clock
    from hil.serialport.loan import Loan

__all__ = ["Port", "SerialPort", "Stamped", "existing_ports", "open_port"]

WRITE_S = 5.0
"""A device that takes no byte for so long is taken for dead (a pty without a reader)."""

BY_ID = Path("/dev/serial/by-id")


class Port(Protocol):
    """A serial line with a clock.

    Attributes:
        name: what errors and traces call it.
        clock: the time its bytes live in.
        physical: False only for lines that this process emulates.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def physical(self) -> bool: ...  # noqa: D102

    def write(self, data: bytes) -> None:
        """Send ``data``.

        Raises:
            PortError: the port went away.
        """
        ...

    def read(self, deadline: int) -> bytes:
        """At least one byte as soon as there are any, ``b""`` at ``deadline``.

        Args:
            deadline: absolute, in microseconds of :attr:`clock`; a past one only looks.

        Raises:
            PortError: the port went away.
        """
        ...

    def close(self) -> None:
        """Let go of the port; harmless when closed."""
        ...


@runtime_checkable
class Stamped(Protocol):
    """A port that knows when bytes arrived, however late they are read."""

    @property
    def arrived_at(self) -> int:
        """When the bytes of the last ``read`` had arrived, in clock us."""
        ...


class _Source(Protocol):
    """Where received bytes come from, with the time of their arrival."""

    def take(self, deadline: int) -> tuple[int, bytes]: ...
    def close(self) -> None: ...


class _InWorld:
    """An emulated line: whoever waits runs the world."""

    def __init__(self, handle: protocol_emu.Serial) -> None:
        self._handle = handle

    def take(self, deadline: int) -> tuple[int, bytes]:
        """What has arrived first, and when."""
        return self._handle.read_by(deadline)

    def close(self) -> None:
        """Nothing to end."""


class SerialPort:
    """A :class:`Port` on an open pyserial port.

    Args:
        handle: opened by :func:`open_port`.
        name: the URL.
        clock: the world of an emulated line, else the wall clock.

    Attributes:
        physical: False only for ``emu://``.
        arrived_at: when the bytes that :meth:`read` returned last had arrived, in clock us.
    """

    def __init__(self, handle: serial.Serial | protocol_emu.Serial, *, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.physical = not isinstance(handle, protocol_emu.Serial)
        self.arrived_at = clock.now
        self._handle = handle
        self._source: _Source = (
            _InWorld(handle)
            if isinstance(handle, protocol_emu.Serial)
            else BackgroundReader(handle, clock, name)
        )

    @property
    def baud(self) -> int:
        """Bits a second; may be changed while the port is open."""
        return int(self._handle.baudrate)

    @baud.setter
    def baud(self, rate: int) -> None:
        try:
            self._handle.baudrate = rate
        except (OSError, ValueError) as error:
            raise PortError(f"{self.name} cannot run at {rate} baud: {error}") from error

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        """Set both modem lines, DTR first; True is asserted.

        Raises:
            PortError: the port has none (a pty, for one) or went away.
        """
        try:
            self._handle.dtr = dtr
            self._handle.rts = rts
        except OSError as error:
            raise PortError(
                f"{self.name} cannot set DTR and RTS: {error}", hint="a pty has no modem lines"
            ) from error

    def write(self, data: bytes) -> None:
        """See :meth:`Port.write`."""
        try:
            self._handle.write(data)
        except serial.SerialTimeoutException as error:
            raise PortError(f"{self.name} takes no bytes: {error}", hint="is its other end alive?") from error
        except OSError as error:
            raise self._gone(error) from error

    def read(self, deadline: int) -> bytes:
        """See :meth:`Port.read`."""
        try:
            self.arrived_at, data = self._source.take(deadline)
        except OSError as error:
            raise self._gone(error) from error
        return data

    @contextmanager
    def lend(self) -> Iterator[Loan]:
        """Let another program have the port; here it is closed meanwhile and opened again at the end.

        What arrives meanwhile is the borrower's.

        Raises:
            PortError: it cannot be opened again.
        """
        if isinstance(self._handle, protocol_emu.Serial):
            with lend_emulated(self._handle.line, self.name) as loan:
                yield loan
            return
        self._source.close()
        _close(self._handle)
        try:
            with lend_physical(self.name) as loan:
                yield loan
        finally:
            try:
                _open(self._handle)
            except OSError as error:
                raise _not_opened(self.name, error) from error
            self._source = BackgroundReader(self._handle, self.clock, self.name)

    def close(self) -> None:
        """See :meth:`Port.close`."""
        self._source.close()
        _close(self._handle)

    def _gone(self, error: OSError) -> PortError:
        return PortError(
            f"{self.name} went away: {error}", hint="check the cable and the USB hub, then run again"
        )


def open_port(url: str, *, clock: Clock, baud: int = 115_200) -> SerialPort:
    """Open a port exclusively and without resetting the board (DTR and RTS are off beforehand).

    Args:
        url: a device path or a pyserial URL.
        clock: the rig's clock; for ``emu://`` the line's own world.
        baud: bits a second, 8N1.

    Raises:
        PortError: absent, busy or not permitted; says what exists and what to do.
    """
    if url.startswith("emu://"):
        emulated.find(url)
    local = "://" not in url
    try:
        handle = serial.serial_for_url(
            url,
            do_not_open=True,
            baudrate=baud,
            timeout=SLICE_S,
            write_timeout=WRITE_S if local else None,
            exclusive=True if local else None,
        )
        _open(handle)
    except (OSError, ValueError) as error:
        raise _not_opened(url, error) from error
    return SerialPort(handle, name=url, clock=clock)


def _open(handle: serial.Serial) -> None:
    """Open without resetting the board: DTR and RTS are off beforehand."""
    handle.dtr = handle.rts = False
    with warnings.catch_warnings():
        # pyserial's rfc2217 client makes its thread in an old way.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"serial\.rfc2217")
        handle.open()


def _close(handle: serial.Serial | protocol_emu.Serial) -> None:
    connection = getattr(handle, "_socket", None)
    handle.close()
    if connection is not None:  # pyserial leaves it open when the other end was gone already
        connection.close()


def existing_ports() -> list[str]:
    """Serial ports of this computer: stable names by id first, then devices."""
    by_id = sorted(str(path) for path in BY_ID.iterdir()) if BY_ID.is_dir() else []
    return by_id + sorted(info.device for info in list_ports.comports())


def _not_opened(url: str, error: Exception) -> PortError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM):
        return PortError(f"no permission to open {url}", hint=_permission_hint(url))
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return PortError(
            f"{url} is in use by another process", hint=f"close it there; `fuser -v {url}` names the process"
        )
    if isinstance(error, ValueError) or number not in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return PortError(f"cannot open {url}: {error}")
    ports = existing_ports()
    close = get_close_matches(url, ports, n=1)
    if close:
        hint = f"did you mean {close[0]}?"
    elif ports:
        hint = f"ports here: {', '.join(ports)}"
    else:
        hint = "this computer has no serial port; is the adapter plugged in?"
    return PortError(f"there is no port {url}", hint=hint)


def _permission_hint(path: str) -> str:
    """Which group opens the device (``dialout`` on Debian)."""
    try:
        import grp  # POSIX only

        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (ImportError, KeyError, OSError):
        group = "dialout"
    return f"join the group {group} (`sudo usermod -aG {group} $USER`, then log in again)"
