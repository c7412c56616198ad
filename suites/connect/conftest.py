"""What the tests of a board's behaviour in the cloud hold in their hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.rig.endpoint import NO_FAULT
from hil.wire.mqtt import Subscribe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.cloud.local.faults import Fault, SessionLog
    from hil.cloud.registration import Registration
    from hil.element.device import Element
    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig
    from hil.wire.mqtt import Packet

SECOND = 1_000_000


class Device:
    """A registered board and the endpoint that it meets.

    Attributes:
        registration: what it connects with; its key is in the element.
    """

    def __init__(self, rig: Rig, cloud: RigCloud, registration: Registration) -> None:
        self._rig = rig
        self._cloud = cloud
        self.registration = registration

    def start(self, *plan: Fault | None, then: Sequence[Fault] = (), **mqtt: object) -> None:
        """Restart the board; what goes wrong at its first connection, its second, …; and at all others.

        Args:
            plan: one fault, or none, for each of the first connections.
            then: for every further one.
            mqtt: settings of the firmware below ``mqtt.``.
        """
        settings = {"clean_session": True, "keep_alive": 60, "recv_mbuf_limit": 20_480, **mqtt}
        self._cloud.configure_board(self.registration, key="ATCA:0", mqtt=settings)
        endpoint = self._cloud.mqtt
        endpoint.disconnect()
        endpoint.forget_session(self.registration.thing)
        self._rig.power.off()
        endpoint.watch(
            *(NO_FAULT if fault is None else frozenset({fault}) for fault in plan), then=frozenset(then)
        )
        self._rig.power_on()

    @property
    def connections(self) -> Sequence[SessionLog]:
        """The board's connections since its start."""
        return self._cloud.mqtt.connections

    def wait(self, until: Callable[[], bool], seconds: int) -> bool:
        """Let the board go on until something holds; whether it did within the time."""
        return self._cloud.mqtt.wait(until, seconds * SECOND)

    def connection(self, number: int = 1, *, ended: bool = False, seconds: int = 120) -> SessionLog:
        """The n-th connection since the start; with ``ended`` when it is over."""

        def there() -> bool:
            logs = self.connections
            return len(logs) >= number and (not ended or logs[number - 1].closed_us is not None)

        what = "ended" if ended else "began"
        assert self.wait(there, seconds), f"connection {number} of the board never {what} in {seconds} s"
        return self.connections[number - 1]

    def packet(
        self, log: SessionLog, kind: type[Packet], which: Callable[[Packet], bool] = lambda p: True,
        *, count: int = 1, seconds: int = 120,
    ) -> Packet | None:  # fmt: skip
        """The ``count``-th packet of a kind on a connection; None if it does not come in time."""

        def found() -> list[Packet]:
            return [p for _, p in log.received if isinstance(p, kind) and which(p)]

        self.wait(lambda: len(found()) >= count or log.closed_us is not None, seconds)
        matching = found()
        return matching[count - 1] if len(matching) >= count else None

    def topic(self, log: SessionLog) -> str:
        """A topic that the board has subscribed to with QoS 1."""
        subscribed = self.packet(log, Subscribe)
        assert isinstance(subscribed, Subscribe), "the board does not subscribe to anything"
        names = [name for name, qos in subscribed.filters if qos == 1]
        assert names, "the board subscribes to nothing with QoS 1"
        return names[0].replace("+", "x").replace("#", "x")

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish to the board with QoS 1."""
        self._cloud.mqtt.publish(topic, payload, qos=1)

    def disconnect(self) -> None:
        """The service closes the connection."""
        self._cloud.mqtt.disconnect()

    def forget_session(self) -> None:
        """The service's persistent session expires."""
        self._cloud.mqtt.forget_session(self.registration.thing)


@pytest.fixture
def device_of(rig: Rig, cloud: RigCloud) -> Callable[[Registration], Device]:
    """The board with a registration, before an endpoint that can be told to fail."""
    if not cloud.serves:
        pytest.skip("not applicable: the board meets an endpoint that is not this program's")
    return lambda registration: Device(rig, cloud, registration)


@pytest.fixture
def device(device_of: Callable[[Registration], Device], cloud: RigCloud, element: Element) -> Device:
    """The board, registered with the key of its element."""
    return device_of(cloud.registered(element))
