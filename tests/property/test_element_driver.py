"""Whatever the bus does, the driver returns right-sized values or a device error, and never counts twice."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.clock import World
from hil.element import irreversible_state
from hil.element.device import Element
from hil.errors import DeviceError, I2CError, I2CNack
from hil.guard.operations import Operation, classify
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.atecc import WAKE_RESPONSE, Command, decode_command, encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SERIAL = bytes.fromhex("0123e07e00112233ee")
DIGEST = bytes(range(32))


class HostileBus:
    """Wakes up properly most of the time; everything else is up to the list of reactions."""

    physical = False
    name = "hostile bus"

    def __init__(self, reactions: Sequence[bytes | str]) -> None:
        self.clock = World()
        self.sent: list[Command] = []
        self._reactions = list(reactions)
        self._woken = False

    def _react(self, default: bytes | str) -> bytes | str:
        reaction = self._reactions.pop(0) if self._reactions else default
        if reaction == "nack":
            raise I2CNack(0x60)
        if reaction == "nack-byte":
            raise I2CNack(0x60, 3)
        if reaction == "error":
            raise I2CError("arbitration was lost")
        return reaction

    def wake_pulse(self) -> None:
        self._woken = True

    def write(self, address: int, data: bytes) -> None:
        if data[:1] == b"\3":
            self.sent.append(decode_command(data[1:]))
        self._react(b"")

    def read(self, address: int, length: int) -> bytes:
        if self._woken:
            self._woken = False
            return WAKE_RESPONSE
        reaction = self._react("nack" if len(self._reactions) % 2 else b"\xff")
        assert isinstance(reaction, bytes)
        return reaction[:length].ljust(length, b"\xff")


reactions = st.lists(
    st.one_of(
        st.sampled_from(["nack", "nack-byte", "error"]),
        st.binary(max_size=40),
        st.integers(0, 255).map(lambda status: encode_response(bytes((status,)))),
        st.binary(min_size=1, max_size=70).map(encode_response),
        st.sampled_from([4, 32, 64]).map(lambda n: encode_response(bytes(range(n)))),
    ),
    max_size=40,
)

CALLS: dict[str, tuple[Callable[[Element], object], int]] = {
    "random": (lambda e: e.random(), 32),
    "revision": (lambda e: e.info_revision(), 4),
    "sign": (lambda e: e.sign_digest(0, DIGEST), 64),
    "read": (lambda e: e.read_config(), 128),
    "ecdh": (lambda e: e.ecdh(0, bytes(64)), 32),
    "sha": (lambda e: e.sha256(bytes(100)), 32),
    "key": (lambda e: e.public_key(0), 64),
}


@settings(max_examples=300)
@given(st.sampled_from(sorted(CALLS)), reactions, st.sampled_from(["atecc508a", "atecc608b", None]))
def test_a_value_has_its_size_or_there_is_a_device_error(
    name: str, played: list[bytes | str], part: str | None
) -> None:
    call, size = CALLS[name]
    bus = HostileBus(played)
    try:
        value = call(Element(bus, 0x60, part))
    except DeviceError:
        pass
    else:
        assert isinstance(value, bytes)
        assert len(value) == size
    bus.clock.close()


@settings(max_examples=200)
@given(reactions)
def test_verify_says_yes_only_to_a_status_00(played: list[bytes | str]) -> None:
    bus = HostileBus(played)
    try:
        good = Element(bus, 0x60, "atecc608b").verify_external(bytes(64), DIGEST, bytes(64))
    except DeviceError:
        pass
    else:
        assert encode_response(b"\0" if good else b"\1") in played
    bus.clock.close()


class OnceEach:
    """Arms commands; the bus below must not see more of them than were armed."""

    def __init__(self) -> None:
        self.armed: list[Command | RpcCall] = []

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        self.armed += actions
        yield


@settings(max_examples=300)
@given(reactions)
def test_what_changes_the_element_for_good_is_sent_once_for_each_arming(played: list[bytes | str]) -> None:
    who = encode_response(SERIAL[:4] + bytes(4) + SERIAL[4:] + bytes(19))
    count = encode_response(bytes((7, 0, 0, 0)))
    bus = HostileBus([b"", who, b"", b"", count, b"", *played])
    guard = OnceEach()
    permit = issue(guard, Operation.COUNTER, SERIAL.hex(), None)
    with suppress(DeviceError):
        irreversible_state.increment_counter(Element(bus, 0x60, "atecc508a"), 1, permit)
    sent = [command for command in bus.sent if classify(command) is not None]
    assert sent == guard.armed[: len(sent)]
    assert len(sent) <= 3
    bus.clock.close()
