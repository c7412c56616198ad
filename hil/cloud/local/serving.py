"""The endpoint on a real port while the program does something else: for physical boards.

A paced world in a thread of its own serves it. Its sessions, logs and faults may be read from any
thread; whatever acts on connections is handed over (:meth:`ServedEndpoint.ask`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from hil.clock import World
from hil.cloud.local.front import Front
from hil.cloud.local.handover import Handover
from hil.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from hil.cloud.local.endpoint import Endpoint

__all__ = ["ServedEndpoint"]

T = TypeVar("T")

START_S = 30.0
"""How long the first start may take; an RSA key may have to be made."""


class ServedEndpoint:
    """An endpoint that listens; a context manager.

    Args:
        make: makes the endpoint; called in its thread.
        host: address to listen on.
        port: 0 picks a free one.

    Attributes:
        port: the port.
    """

    def __init__(self, make: Callable[[], Endpoint], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.port = port
        self._make = make
        self._host = host
        self._started = threading.Event()
        self._stopping = False
        self._world: World | None = None
        self._endpoint: Endpoint | None = None
        self._handover: Handover | None = None
        self._front: Front | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="MQTT endpoint", daemon=True)

    def _run(self) -> None:
        try:
            with World(paced=True) as world:
                self._serve(world)
        except BaseException as error:  # told to whoever starts, asks or stops
            self._error = error
        finally:
            self._started.set()

    def _serve(self, world: World) -> None:
        self._world, self._endpoint = world, self._make()
        front = Front(world, self._endpoint, host=self._host, port=self.port)
        self.port, self._front = front.port, front
        handover = Handover(world)
        self._handover = handover
        self._started.set()
        try:
            world.run_until(lambda: self._stopping, None)
        finally:
            handover.close()
            front.close()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        if self._endpoint is None:
            raise WorldError("the endpoint is not being served")
        return self._endpoint

    @property
    def now(self) -> int:
        """The time of its logs."""
        assert self._world is not None, "it was started"
        return self._world.now

    def ask(self, call: Callable[[], T]) -> T:
        """The answer of ``call``, made in the endpoint's thread.

        Raises:
            WorldError: the thread has ended.
        """
        if self._handover is None or not self._thread.is_alive():
            raise WorldError(f"the endpoint is no longer served: {self._error!r}") from self._error
        return self._handover.ask(call)

    def post(self, call: Callable[[], object]) -> None:
        """Have ``call`` made soon, in the endpoint's thread."""
        if self._handover is not None:
            self._handover.post(call)

    def stop_listening(self) -> None:
        """Close every connection, and refuse new ones."""
        self.ask(self._listening.close)

    def listen_again(self) -> None:
        """Take connections again, on the same port.

        Raises:
            PortError: another program took the port meanwhile.
        """
        self.ask(self._listening.open)

    @property
    def _listening(self) -> Front:
        assert self._front is not None, "it was started"
        return self._front

    def __enter__(self) -> ServedEndpoint:
        self._thread.start()
        self._started.wait(START_S)
        if self._error is not None:
            raise self._error
        if self._handover is None:
            raise WorldError(f"the endpoint did not start within {START_S:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.post(self._stop)
        self._thread.join(START_S)
        if self._thread.is_alive():
            raise WorldError(f"the endpoint's thread did not end within {START_S:g} s")
        if self._error is not None and error is None:
            raise WorldError(f"the endpoint broke while it was served: {self._error!r}") from self._error

    def _stop(self) -> None:
        self._stopping = True
