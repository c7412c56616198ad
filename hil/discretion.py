"""Secrets stay out of tracebacks.

pytest shows the arguments of the frames that an error went through, and with ``--showlocals`` every
variable; the run journal keeps what pytest shows. So a private key has a ``repr`` that tells nothing,
and an error that leaves a function which knows a secret takes no variables of that function, nor of
those it called, along.
"""

from __future__ import annotations

import traceback
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SecretBytes", "discreet", "forget_variables"]

P = ParamSpec("P")
R = TypeVar("R")


class SecretBytes(bytes):
    """Bytes that do not print themselves. What is made of them (a slice, a sum) are plain bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} secret bytes>"

    __str__ = __repr__


def discreet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that takes or makes a secret: its errors carry no variables.

    Gone are the variables of the function and of everything it called, in the traceback of the error
    and in those of its causes; their source lines stay.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_variables(error)
            raise

    return wrapper


def forget_variables(error: BaseException) -> None:
    """Clear the variables of all finished frames in the tracebacks of an error and of its causes.

    Frames that still run, i.e. the caller's own and those around it, keep theirs.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
