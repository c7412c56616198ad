"""A board with Mongoose OS on a serial port: its calls, its console, its starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.board.bootlog import BootWatch, ResetKind
from hil.board.calls import MongooseCalls
from hil.board.console import Console
from hil.board.rpc import RpcClient
from hil.board.rpcserial import DEFAULT_PACING, SerialChannel
from hil.errors import DeviceError, DeviceTimeout, UnexpectedReboot
from hil.wire.mgrpc import ClientReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.board.bootlog import Boot
    from hil.board.rpc import Credentials
    from hil.board.rpcserial import Pacing
    from hil.serialport.port import Port

__all__ = ["MongooseBoard"]

STILL_US = 2_000_000
REBOOT_US = 15_000_000
CAUSE_US = 2_000_000
"""How long after a banner the firmware may take to name the reset cause."""


class MongooseBoard(MongooseCalls):
    """A board that runs Mongoose OS, reached over its console UART.

    Args:
        port: the serial port; the board owns and closes it.
        pacing: how long requests are split.
        credentials: for firmware that asks for them.

    Attributes:
        console: reads the port; nobody else does.
        rpc: the calls; ``rpc.before_send`` is the guard's hook.
    """

    def __init__(
        self, port: Port, *, pacing: Pacing = DEFAULT_PACING, credentials: Credentials | None = None
    ) -> None:
        receiver = ClientReceiver()
        self.console = Console(port, decoder=receiver)
        self._channel = SerialChannel(self.console, receiver, pacing=pacing)
        super().__init__(RpcClient(self._channel, credentials=credentials))
        self._watch = BootWatch(self._on_boot)
        self._expecting_boot = False
        self.console.on_line.append(self._watch.feed)
        self._unexpected: list[Boot] = []

    def close(self) -> None:
        """Close the port."""
        self.console.close()

    # -- starts -----------------------------------------------------------------------------

    @property
    def boots(self) -> tuple[Boot, ...]:
        """Every start that the console has seen, oldest first."""
        return tuple(self._watch.boots)

    @property
    def unexpected_boots(self) -> tuple[Boot, ...]:
        """Starts that nobody had announced; a test during which one happens has failed."""
        return tuple(self._unexpected)

    def expect_boot(self) -> None:
        """Announce a start: power is about to be switched on, or the firmware to restart."""
        self.console.drain()
        self._expecting_boot = True
        self._channel.out_of_step()

    def wait_for_boot(self, *, timeout_us: int = REBOOT_US) -> Boot:
        """Wait until a start announced by :meth:`expect_boot` is complete.

        Raises:
            DeviceTimeout: no start, or one that stopped half way; says how far it came.
        """
        deadline = self.console.clock.now + timeout_us
        mark = self.console.transcript.mark()
        while True:
            boot = self._watch.boots[-1] if self._watch.boots and not self._expecting_boot else None
            if boot is not None and boot.done:
                return boot
            if not self.console.pump(deadline):
                break
        arrived = len(self.console.transcript.lines_since(mark))
        if boot is None:
            what = "no boot log" if arrived else "the console stayed silent"
            hint = "check power at the board, the baud rate and the console wires"
        else:
            what = f"the start ({boot.reset}) stopped after {list(boot.events) or 'the ROM'}"
            hint = "the last lines of the console say where the firmware hangs"
        raise DeviceTimeout(
            f"{what} within {timeout_us / 1e6:.3f} s on {self.console.name}; "
            f"{arrived} lines arrived, the last bytes: {self.console.last_bytes()!r}",
            hint=hint,
        )

    def answers(self) -> bool:
        """Whether the firmware runs although no start of it was seen."""
        try:
            self.rpc.call("RPC.Ping", timeout_us=STILL_US)
        except DeviceError:
            return False
        return True

    def reboot(self, *, timeout_us: int = REBOOT_US) -> Boot:
        """``Sys.Reboot``, then wait for the start."""
        self.expect_boot()
        self.rpc.call("Sys.Reboot")
        return self.wait_for_boot(timeout_us=timeout_us)

    def _on_boot(self, boot: Boot) -> None:
        if self._expecting_boot:
            self._expecting_boot = False
            return
        self._unexpected.append(boot)
        self._channel.out_of_step()
        self._channel.interruption = lambda: self._restarted(boot)

    def _restarted(self, boot: Boot) -> UnexpectedReboot:
        """The error of a restart; waits a little for the line that names the cause."""
        deadline = self.console.clock.now + CAUSE_US
        while boot.reset.kind is ResetKind.UNKNOWN and not boot.done and self.console.pump(deadline):
            pass
        return UnexpectedReboot(
            f"the board on {self.console.name} restarted: {boot.reset}",
            hint="the console log before the restart tells more",
        )

    def config_set(self, config: Mapping[str, object], *, reboot: bool = False) -> None:
        """Change and save the configuration; with ``reboot``, also wait for the start."""
        if reboot:
            self.expect_boot()
        super().config_set(config, reboot=reboot)
        if reboot:
            self.wait_for_boot()
