"""A relay that some program switches: uhubctl, snmpset, usbrelay, a script, pdudaemon through curl.

The program is started without a shell. Its exit status must be 0.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from hil.errors import ConfigError, RelayError
from hil.power.relay import State

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandRelay"]

TIMEOUT_S = 30.0


class CommandRelay:
    """Runs a program for each switch.

    Args:
        on: program and arguments that switch on.
        off: the same for off.
        state: program that prints the state, or empty if there is none.
        on_pattern: regular expression; the output is on where ``state`` prints it.
        timeout_s: after this many seconds the program is killed.

    Raises:
        ConfigError: a command is missing or the pattern is none.
    """

    def __init__(
        self,
        *,
        on: Sequence[str],
        off: Sequence[str],
        state: Sequence[str] = (),
        on_pattern: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not on or not off:
            raise ConfigError("a command relay needs a command for on and one for off")
        if bool(state) is not bool(on_pattern):
            raise ConfigError("a state command needs a pattern that means on, and the pattern a command")
        try:
            self._on_pattern = re.compile(on_pattern)
        except re.error as error:
            raise ConfigError(f"{on_pattern!r} is no regular expression: {error}") from error
        self._on = tuple(on)
        self._off = tuple(off)
        self._state = tuple(state)
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """The program."""
        return f"relay command {self._on[0]}"

    def on(self) -> None:
        """See :meth:`hil.power.relay.Relay.on`."""
        self._run(self._on)

    def off(self) -> None:
        """See :meth:`hil.power.relay.Relay.off`."""
        self._run(self._off)

    def readback(self) -> State:
        """What the state command prints; unknown without one."""
        if not self._state:
            return State.UNKNOWN
        return State.of(self._on_pattern.search(self._run(self._state)) is not None)

    def close(self) -> None:
        """Nothing is held open."""

    def _run(self, command: tuple[str, ...]) -> str:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RelayError(f"{command[0]} did not end within {self._timeout_s:g} s") from error
        except OSError as error:
            raise RelayError(
                f"cannot run {command[0]}: {error}", hint="is it installed and on PATH?"
            ) from error
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-200:]
            raise RelayError(f"{command[0]} ended with status {done.returncode}: {words}")
        return done.stdout
