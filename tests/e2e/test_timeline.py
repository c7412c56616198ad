"""Virtual time: the same run twice is the same; an input that doubles moves the result by its cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from hil import rigfile
from hil.clock import Calendar
from hil.cloud.local import pki
from hil.cloud.local.faults import Fault
from hil.emulator import builder
from hil.emulator.bus import I2CDevice, I2CMaster
from hil.emulator.chip import Profile, load_profile
from hil.emulator.chip.profile import Time
from hil.records.header import new_run
from hil.rig.opening import open_rig

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from hil.measure.connect import Connection
    from hil.rig.rig import Rig

RIG = "emulated-esp8266-atecc508a"
BYTE_US = 90
"""Nine bit times at 100 kHz."""
POLL_US = 2_000
"""The firmware polls a busy element; a shift is seen in steps of about this size."""


@dataclass(frozen=True)
class Scenario:
    """One connection after a restart; the account covers the time from the end of the start on.

    Attributes:
        hashing_us: what the MCU needs to hash the server's chain once, by its cost model.
    """

    connection: Connection
    trace: tuple[tuple[int, str], ...]
    account: Counter[str]
    polls: int
    hashing_us: float


def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hz: int = 100_000, rtt_ms: float = 5.0,
         profile: Profile | None = None, filler_names: int | None = None) -> Scenario:  # fmt: skip
    file = rigfile.load_rig(RIG)
    assert file.emulation is not None
    file = replace(
        file,
        bus=replace(file.bus, hz=hz),
        emulation=replace(file.emulation, rtt_ms=rtt_ms, draw="typical"),
        connect=replace(file.connect, tls_versions=("1.2",)),
    )
    if profile is not None:
        monkeypatch.setattr(builder, "load_profile", lambda name, *folders: profile)
    shown = frozenset[Fault]()
    if filler_names is not None:
        monkeypatch.setattr(pki, "_FILLER_NAMES", filler_names)
        shown = frozenset({Fault.OVERSIZED_CERTIFICATE})
    polls: list[int] = []
    transfer = I2CMaster._transfer

    def counted(self: I2CMaster, address: int, read: bool, n: int, data: bytes = b"") -> I2CDevice | None:
        device = transfer(self, address, read, n, data)
        if device is None and read:
            polls.append(address)
        return device

    monkeypatch.setattr(I2CMaster, "_transfer", counted)
    monkeypatch.setattr(I2CMaster, "poll_in_vain", lambda self, *args: None)  # each poll by itself
    calendar = Calendar(1_750_000_000.0)
    with new_run(tmp_path / "runs", calendar) as journal:
        rig = open_rig(file, faults=(), allow_irreversible=frozenset(), journal=journal, calendar=calendar)
        try:
            return connect(rig, polls, shown)
        finally:
            rig.close()


def connect(rig: Rig, polls: list[int], shown: frozenset[Fault]) -> Scenario:
    element = rig.element_in("provisioned")
    rig.cloud.mqtt.watch(then=shown)
    rig.cloud.configure_board(rig.cloud.register(element), key="ATCA:0")
    first = rig.next_connection()
    assert first.connack == 0, first.explain()
    world = rig.world
    assert world is not None
    rig.power.off()
    start, rows = world.now, []
    world.trace = lambda at, what: rows.append((at - start, what))
    rig.power_on()
    before = world.account.copy()
    polls.clear()
    connection = rig.next_connection()
    assert connection.connack == 0, connection.explain()
    chain = rig.cloud.endpoint.pki.chain("ec", "oversized" if shown else "good").certificates
    content = sum(len(one.tbs_certificate_bytes) for one in chain)
    assert rig.emulated is not None
    hashing = rig.emulated.costs.us("sha256_4k") * content / 4096
    return Scenario(connection, tuple(rows), world.account - before, len(polls), hashing)


def test_the_same_run_twice_gives_the_same_virtual_timeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Event for event, although keys and signatures differ from run to run."""
    one = play(tmp_path / "one", monkeypatch)
    two = play(tmp_path / "two", monkeypatch)
    assert one.trace == two.trace
    assert one.account == two.account
    assert len(one.trace) > 40


def shift_us(scenario: Scenario, base: Scenario) -> int:
    return scenario.connection.duration_us - base.connection.duration_us


def test_doubling_the_sign_time_moves_the_connect_time_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = play(tmp_path / "base", monkeypatch)
    chip = load_profile("atecc508a")
    sign = chip.times.commands["Sign"]
    doubled = Time(typical=2 * sign.typical, maximum=tuple(2 * m for m in sign.maximum), note=sign.note)
    times = msgspec.structs.replace(chip.times, commands={**chip.times.commands, "Sign": doubled})
    slow = play(tmp_path / "slow", monkeypatch, profile=msgspec.structs.replace(chip, times=times))
    assert shift_us(slow, base) == pytest.approx(sign.typical, abs=POLL_US)


def test_doubling_the_bus_speed_moves_the_connect_time_by_half_of_the_time_on_the_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = play(tmp_path / "slow", monkeypatch, hz=50_000)
    fast = play(tmp_path / "fast", monkeypatch, hz=100_000)
    # Polls of a busy element run while it works: their time is not added to the element's.
    carried = slow.account["i2c"] - slow.polls * 2 * BYTE_US
    assert shift_us(fast, slow) == pytest.approx(-carried / 2, abs=4 * POLL_US)


def test_doubling_the_servers_certificate_moves_the_connect_time_by_the_hashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many names; each certificate is hashed for its signature and into the transcript."""
    small = play(tmp_path / "small", monkeypatch, filler_names=100)
    large = play(tmp_path / "large", monkeypatch, filler_names=200)
    assert large.hashing_us > 1.8 * small.hashing_us
    assert shift_us(large, small) == pytest.approx(2 * (large.hashing_us - small.hashing_us), abs=POLL_US)


def test_doubling_the_round_trip_moves_the_connect_time_by_the_flights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = play(tmp_path / "near", monkeypatch, rtt_ms=5)
    far = play(tmp_path / "far", monkeypatch, rtt_ms=10)
    # TLS 1.2: TCP 1, TLS 2, MQTT 1 round trips (RFC 5246 section 7.3, MQTT 3.1.1 section 3.1).
    assert shift_us(far, near) == pytest.approx(4 * 5_000, abs=POLL_US)
