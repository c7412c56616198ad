"""Sending what cannot be undone: once, under an armed permit, with proof of what happened.

A command is sent again only if it is proven that it did nothing: the element said so (status FF
not parsed, EE not attempted), or reading back shows it after the answer was lost. If nothing can
tell, the error says that, and the guard's ledger keeps the intent open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hil.element.repeat import NOT_EXECUTED
from hil.errors import DeviceError, DeviceTimeout, ElementError, FrameError, GuardRefusal, I2CError
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.element.device import Element
    from hil.guard.operations import Operation
    from hil.guard.permit import Permit
    from hil.wire.atecc import Command

__all__ = ["Happened", "change", "covers", "matched", "retried", "send_once"]

T = TypeVar("T")

if TYPE_CHECKING:
    Happened = Callable[[Command], bool | None]
    """Whether a command whose answer was lost took effect; None: it cannot be seen."""


def covers(element: Element, permit: Permit, operation: Operation, slot: int | None) -> None:
    """The permit is for this operation on this element; the element itself is asked who it is.

    Raises:
        GuardRefusal: it is not; nothing was sent.
    """
    if permit.operation is not operation or permit.slot != slot:
        wanted = operation.value if slot is None else f"{operation.value} slot {slot}"
        raise GuardRefusal(f"{permit!r} does not allow {wanted}; nothing was sent")
    serial = element.serial_number().hex()
    if permit.serial.lower() != serial:
        raise GuardRefusal(f"{permit!r} is for another element than {serial}; nothing was sent")


def change(
    element: Element, permit: Permit, commands: Sequence[Command], happened: Happened | None = None
) -> None:
    """Send commands in order, all armed at once; after a proven failure the rest is armed anew."""
    pending = list(commands)

    def run() -> None:
        with permit.armed(tuple(pending)), element.exchange():
            while pending:
                send_once(element, pending[0], happened)
                del pending[0]

    if pending:
        retried(element, run)


def retried(element: Element, run: Callable[[], T]) -> T:
    """Run, and run again as long as the error proves that nothing happened."""
    for _ in range(element.pace.attempts - 1):
        try:
            return run()
        except ElementError as error:
            if error.status not in NOT_EXECUTED and error.status != Status.AFTER_WAKE:
                raise
    return run()


def matched(element: Element, run: Callable[[], None]) -> bool:
    """Run as :func:`retried`; True, or False for the miscompare status, which changes nothing."""
    try:
        retried(element, run)
    except ElementError as error:
        if error.status != Status.MISCOMPARE:
            raise
        return False
    return True


def send_once(element: Element, command: Command, happened: Happened | None, size: int = 1) -> bytes:
    """Send an armed command.

    Returns:
        The answer, or b"" if it was lost but the change is proven.

    Raises:
        ElementError: the element refused; status 11 means that the answer was lost and the change
            is proven not to have happened.
        DeviceError: the answer was lost and nothing can tell what happened.
    """
    try:
        return element.execute(command, size)
    except ElementError as error:
        if error.status not in (Status.AFTER_WAKE, Status.ECC_FAULT):
            raise  # the element says that it did nothing
        lost: DeviceError = error
    except (I2CError, FrameError, DeviceTimeout) as error:
        lost = error
    known = happened(command) if happened else None
    if known:
        return b""
    if known is False:
        meaning = f"the answer was lost ({lost.message}), and the element shows that nothing changed"
        raise ElementError(command.label, Status.AFTER_WAKE, meaning) from lost
    raise DeviceError(
        f"the answer to {command.label} was lost ({lost.message}); nothing can tell whether it took effect",
        hint="inspect the element before it is sent again",
    ) from lost
