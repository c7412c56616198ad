"""Runs esptool as a program of its own; it is GPL, so nothing of it is imported."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from hil.clock import wall_us
from hil.errors import DeviceError, GuardRefusal, PortError, UsageError
from hil.guard.programs import program_action

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.serialport.loan import Loan

__all__ = ["Esptool", "installed", "is_installed", "refuse"]

_PERCENT = re.compile(r"^(Writing|Reading|Erasing)\b.*?(\d+(?:\.\d+)?) ?%")
_FAILURE = re.compile(r"fatal error occurred: (.*)")
_WRONG_CONTENT = re.compile(r"MD5 of file does not match|Verification failed")
LIMIT_S = 900.0
"""Longer than writing and reading 16 MB at 115200 baud would not take a single run."""


def is_installed() -> bool:
    """Whether this Python has esptool; it comes with the extra ``flash``."""
    return importlib.util.find_spec("esptool") is not None


def installed() -> list[str]:
    """The command line of the installed esptool.

    Raises:
        UsageError: there is none.
    """
    if not is_installed():
        raise UsageError("esptool is not installed", hint="pip install 'atecc-hil[flash]'")
    return [sys.executable, "-m", "esptool"]


def refuse(argv: Sequence[str]) -> None:
    """What stands before every run until a guard takes its place: nothing that burns passes.

    Raises:
        GuardRefusal: the command line can change the board for good, or cannot be understood.
    """
    action = program_action(argv)
    if action is not None:
        raise GuardRefusal(
            f"refused before it was run: `{action.method}` can change the board for good",
            hint="it goes through hil.board.flash_irreversible with a Permit",
        )


class Esptool:
    """One way to run it.

    Args:
        program: how it is called, without arguments.

    Attributes:
        before_run: the guard's hook; called with program and command of each run.
    """

    def __init__(self, program: Sequence[str] | None = None) -> None:
        self.program = list(program) if program is not None else installed()
        self.before_run: Callable[[Sequence[str]], None] = refuse

    def admit(self, arguments: Sequence[str]) -> None:
        """Ask the guard.

        Raises:
            GuardRefusal: the command can change the board for good and is not armed.
        """
        self.before_run([*self.program, *arguments])

    def run(
        self,
        loan: Loan,
        arguments: Sequence[str],
        *,
        baud: int,
        stay: bool,
        progress: Callable[[str, float], None] = lambda what, done: None,
        chip: str = "auto",
        admitted: bool = False,
    ) -> str:
        """Run one command on a lent port; returns what it printed.

        Args:
            loan: the port.
            arguments: the command and what follows it.
            baud: rate of the transfer.
            stay: leave the chip in the loader.
            progress: told how far it is.
            chip: the kind, where it is known already.
            admitted: the guard was asked already, by :meth:`admit`.

        Raises:
            GuardRefusal: the run can change the board for good and is not armed.
            DeviceError: the flash does not hold what was written.
            PortError: it failed otherwise or does not end; with the reason that it gave.
        """
        if not admitted:
            self.admit(arguments)
        before = "default-reset" if loan.resets else "no-reset"
        after = "hard-reset" if loan.resets and not stay else "no-reset"
        command = [
            *self.program,
            *("--chip", chip, "--port", loan.path, "--baud", str(baud), "--before", before, "--after", after),
            *arguments,
        ]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process:
            try:
                said = _listen(process, loan, progress)
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            reason = f"esptool {arguments[0]} on {loan.name}: {_reason(said)}"
            if _WRONG_CONTENT.search(said):
                raise DeviceError(
                    reason, hint="write again at a lower baud rate; if it stays, the flash is worn"
                )
            raise PortError(reason, hint=_HINT)
        return said


_HINT = (
    "is the port the board's, are IO0 and EN wired to its DTR and RTS, and does nothing else hold the port? "
    "With a button only: hold BOOT (FLASH), press EN (RST), release"
)


def _listen(process: subprocess.Popen[bytes], loan: Loan, progress: Callable[[str, float], None]) -> str:
    assert process.stdout is not None, "a pipe was asked for"
    descriptor = process.stdout.fileno()
    said, line = bytearray(), bytearray()
    deadline = wall_us() + round(LIMIT_S * 1e6)
    while True:
        left = (deadline - wall_us()) / 1e6
        if left <= 0 or not loan.wait(descriptor, left):
            raise PortError(f"esptool on {loan.name} did not end within {LIMIT_S:.0f} s")
        chunk = os.read(descriptor, 4096)
        if not chunk:
            process.wait()
            return said.decode("utf-8", "replace")
        said += chunk
        line += chunk.replace(b"\r", b"\n")
        *complete, rest = line.split(b"\n")
        line = bytearray(rest)
        for text in complete:
            match = _PERCENT.match(text.decode("utf-8", "replace").strip())
            if match is not None:
                progress(match[1], float(match[2]) / 100)


def _reason(said: str) -> str:
    found = _FAILURE.findall(said)
    if found:
        return str(found[-1]).strip().rstrip(".")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
