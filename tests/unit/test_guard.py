"""The guard: what needs a permit, what a permit needs, what may pass the transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hil.clock import Calendar, WallClock
from hil.errors import ConfigError, ElementError, GuardRefusal, I2CError
from hil.guard.filter import GuardedBus
from hil.guard.guard import Facts, Guard, Policy, config_digest
from hil.guard.ledger import Ledger
from hil.guard.lint import lint
from hil.guard.operations import IRREVERSIBLE, Operation, classify, slot_of
from hil.guard.permit import Permit, RpcCall
from hil.wire.atecc import Command, Opcode

if TYPE_CHECKING:
    from pathlib import Path

SERIAL = "0123e07e00000001ee"
CONFIG = bytes.fromhex(
    "0123e07e00005000000000001ee0c000"[:32].ljust(32, "0")
    + "c0005500876487648764876 48f0f8f8f".replace(" ", "")
    + "9f8f8220c444c4440f0f0f0f0f0f0f0f"
    + "834f0f0fffffffff00000000ffffffff"
    + "00000000ffffffffffffffffffffffff"
    + "ffffffff00005555ffff000000000000"
    + "33003300330033003c001c001c003300"
    + "1c001c003c003c003c003c0013003c00"
)
LOCK = Command(Opcode.LOCK, 0x00, 0x1234)
INFO = Command(Opcode.INFO)


class Wire:
    """A bus that only records."""

    physical = True
    name = "recording bus"

    def __init__(self) -> None:
        self.clock = WallClock()
        self.sent: list[tuple[int, bytes]] = []

    def write(self, address: int, data: bytes) -> None:
        self.sent.append((address, data))

    def read(self, address: int, length: int) -> bytes:
        return bytes(length)

    def wake_pulse(self) -> None:
        self.sent.append((0, b"\x00"))


def make_guard(tmp_path: Path, **changes: Any) -> Guard:  # noqa: ANN401
    owns = changes.pop("owns_rig", True)
    settings: dict[str, Any] = {
        "expendable": True,
        "allowed_serials": frozenset({SERIAL}),
        "approved_configs": frozenset({config_digest(CONFIG)}),
        "accepted_findings": frozenset({"readable-kek:15"}),
    } | changes
    return Guard(
        Policy(**settings), Ledger(tmp_path / "ledger", Calendar(1_700_000_000.0)), owns_rig=lambda: owns
    )


def framed(command: Command) -> bytes:
    return b"\x03" + command.encode()


# -- the table ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "operation", "slot"),
    [
        (Command(Opcode.LOCK, 0x00), Operation.LOCK_CONFIG, None),
        (Command(Opcode.LOCK, 0x80), Operation.LOCK_CONFIG, None),
        (Command(Opcode.LOCK, 0x81), Operation.LOCK_DATA, None),
        (Command(Opcode.LOCK, 0x02 | 9 << 2), Operation.LOCK_SLOT, 9),
        (Command(Opcode.LOCK, 0x03), Operation.LOCK_SLOT, 0),
        (Command(Opcode.WRITE, 0x00, 4, bytes(4)), Operation.WRITE_CONFIG, None),
        (Command(Opcode.WRITE, 0x81, 0, bytes(32)), Operation.WRITE_OTP, None),
        (Command(Opcode.WRITE, 0x82, 4 << 3, bytes(32)), Operation.WRITE_SLOT, 4),
        (Command(Opcode.WRITE, 0xC2, 5 << 3 | 1 << 8, bytes(64)), Operation.WRITE_SLOT, 5),
        (Command(Opcode.UPDATEEXTRA, 0, 1), Operation.UPDATE_EXTRA, None),
        (Command(Opcode.COUNTER, 1, 0), Operation.COUNTER, None),
        (Command(Opcode.GENKEY, 4, 2), Operation.GENERATE_KEY, 2),
        (Command(Opcode.GENKEY, 0x0C, 2), Operation.GENERATE_KEY, 2),
        (Command(Opcode.PRIVWRITE, 0x40, 0, bytes(68)), Operation.WRITE_PRIVATE_KEY, 0),
        (Command(Opcode.DERIVEKEY, 0, 3), Operation.DERIVE_KEY, 3),
        (Command(Opcode.ECDH, 0x05, 2, bytes(64)), Operation.ECDH_INTO_SLOT, 2),
        (Command(Opcode.KDF, 0x08, 0x0301, bytes(4)), Operation.KDF_INTO_SLOT, 3),
        (Command(Opcode.VERIFY, 0x03, 9, bytes(83)), Operation.KEY_VALIDITY, 9),
        (Command(Opcode.SECUREBOOT, 0x06, 0, bytes(32)), Operation.SECURE_BOOT, None),
    ],
)
def test_an_irreversible_command_is_recognised(
    command: Command, operation: Operation, slot: int | None
) -> None:
    assert classify(command) is operation
    assert slot_of(command) == slot


@pytest.mark.parametrize(
    "command",
    [
        INFO,
        Command(Opcode.READ, 0x80, 0),
        Command(Opcode.GENKEY, 0x00, 0),
        Command(Opcode.GENKEY, 0x10, 9, bytes(3)),
        Command(Opcode.GENKEY, 0x04, 0xFFFF),
        Command(Opcode.NONCE, 3, 0, bytes(32)),
        Command(Opcode.SIGN, 0x80, 0),
        Command(Opcode.COUNTER, 0, 0),
        Command(Opcode.ECDH, 0x0C, 0, bytes(64)),
        Command(Opcode.VERIFY, 0x02, 4, bytes(128)),
        Command(Opcode.SECUREBOOT, 0x05, 0, bytes(96)),
    ],
)
def test_a_harmless_command_is_let_through(command: Command) -> None:
    assert classify(command) is None


def test_every_row_says_what_it_means_and_where_it_is_written() -> None:
    for row in IRREVERSIBLE:
        assert row.meaning
        assert row.source
        assert row.condition


# -- the transport ------------------------------------------------------------------------------


def test_without_a_permit_no_byte_is_sent(tmp_path: Path) -> None:
    wire = Wire()
    bus = GuardedBus(wire, make_guard(tmp_path).filter)
    with pytest.raises(GuardRefusal, match="Lock mode 00"):
        bus.write(0x60, framed(LOCK))
    assert wire.sent == []


@pytest.mark.parametrize(
    "data",
    [
        framed(LOCK)[:4],
        b"\x03" + LOCK.encode()[1:],
        b"\x03" + LOCK.encode() + b"\x00",
        b"\x03" + LOCK.encode()[:-1] + b"\x00",
        b"\x00" + LOCK.encode(),
        b"\x01" + LOCK.encode(),
        b"\x04" + LOCK.encode(),
        b"\x03\x06\x17\x00\x00\x00\x00",
        b"\x03\xff" + bytes(254),
    ],
    ids=["fragment", "tail", "surplus", "crc", "reset", "sleep", "reserved", "short count", "long count"],
)
def test_what_cannot_be_decoded_is_refused(tmp_path: Path, data: bytes) -> None:
    wire = Wire()
    with pytest.raises(GuardRefusal):
        GuardedBus(wire, make_guard(tmp_path).filter).write(0x60, data)
    assert wire.sent == []


def test_a_wrong_configuration_may_have_moved_the_element_so_every_address_is_looked_at(
    tmp_path: Path,
) -> None:
    bus = GuardedBus(Wire(), make_guard(tmp_path).filter)
    with pytest.raises(GuardRefusal):
        bus.write(0x35, framed(LOCK))
    with pytest.raises(GuardRefusal):
        bus.write(0, framed(LOCK))


def test_harmless_traffic_passes(tmp_path: Path) -> None:
    wire = Wire()
    bus = GuardedBus(wire, make_guard(tmp_path).filter)
    for data in (framed(INFO), b"\x00", b"\x01", b"\x02", b"\x03", b""):
        bus.write(0x60, data)
    bus.wake_pulse()
    assert len(wire.sent) == 7


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ATCA.LockZone", {"zone": 0}),
        ("ATCA.SetConfig", {"config": ""}),
        ("ATCA.SetKey", {"slot": 0, "key": ""}),
        ("ATCA.GenKey", {"slot": 0}),
        ("ATCA.Unknown", {}),
        ("I2C.Write", {"addr": 0x60, "data_hex": framed(LOCK).hex()}),
        ("I2C.Write", {"addr": 0x60, "data_hex": framed(LOCK)[:3].hex()}),
        ("I2C.Write", {"addr": 0x60, "data_hex": "zz"}),
        ("I2C.Write", {"data_hex": "03"}),
        ("I2C.WriteRegB", {"addr": 0x60, "reg": 3, "value": 7}),
        ("I2C.WriteRegW", {"addr": 0x60, "reg": 3, "value": 0x0717}),
        ("I2C.WriteRegB", {"addr": 0x60, "reg": 3, "value": -1}),
    ],
)
def test_every_firmware_road_is_closed(tmp_path: Path, method: str, params: dict[str, Any]) -> None:
    with pytest.raises(GuardRefusal):
        make_guard(tmp_path).check_rpc(method, params)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("I2C.Scan", {}),
        ("ATCA.Sign", {"slot": 0}),
        ("I2C.Write", {"addr": 0, "data_hex": "00"}),
        ("I2C.Write", {"addr": 0x60, "data_hex": framed(INFO).hex()}),
        ("Config.Set", {}),
    ],
)
def test_harmless_calls_pass(tmp_path: Path, method: str, params: dict[str, Any]) -> None:
    make_guard(tmp_path).check_rpc(method, params)


# -- permits ------------------------------------------------------------------------------------


def test_a_permit_lets_exactly_its_packet_pass_once(tmp_path: Path) -> None:
    wire = Wire()
    guard = make_guard(tmp_path)
    bus = GuardedBus(wire, guard.filter)
    permit = guard.permit(Operation.LOCK_CONFIG, Facts(SERIAL, config=CONFIG))
    with permit.armed([LOCK]):
        with pytest.raises(GuardRefusal):
            bus.write(0x60, framed(Command(Opcode.LOCK, 0x80)))
        bus.write(0x60, framed(LOCK))
        with pytest.raises(GuardRefusal):
            bus.write(0x60, framed(LOCK))
    with pytest.raises(GuardRefusal):
        bus.write(0x60, framed(LOCK))
    assert wire.sent == [(0x60, framed(LOCK))]


def test_a_permit_covers_its_operation_and_slot_only(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=2))
    with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([Command(Opcode.GENKEY, 4, 3)]):
        pytest.fail("must not be armed")
    with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([LOCK]):
        pytest.fail("must not be armed")
    with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([RpcCall("ATCA.GenKey", 0)]):
        pytest.fail("must not be armed")
    with permit.armed([RpcCall("ATCA.GenKey", 2)]):
        guard.check_rpc("ATCA.GenKey", {"slot": 2})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expendable": False}, "not say that the element is expendable"),
        ({"allowed_serials": frozenset()}, "was not named on the command line"),
        ({"approved_configs": frozenset()}, "configuration was not approved"),
        ({"owns_rig": False}, "does not own the rig"),
        ({"part": "atecc608b"}, "508A configuration on a 608"),
        ({"address": 0x35}, "the rig expects 0x35"),
        ({"production": True}, "anyone may overwrite it"),
    ],
)
def test_each_missing_requirement_refuses_a_lock(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(GuardRefusal, match=reason):
        make_guard(tmp_path, **changes).permit(Operation.LOCK_CONFIG, Facts(SERIAL, config=CONFIG))


def test_a_lint_finding_can_be_accepted_by_name(tmp_path: Path) -> None:
    guard = make_guard(
        tmp_path, production=True, accepted_findings=frozenset({"readable-kek:15", "open-kek:4"})
    )
    assert isinstance(guard.permit(Operation.LOCK_CONFIG, Facts(SERIAL, config=CONFIG)), Permit)


def test_a_permit_cannot_be_made_by_hand() -> None:
    with pytest.raises(GuardRefusal, match="made by Guard.permit"):
        Permit(object(), object(), Operation.LOCK_DATA, SERIAL, None)  # type: ignore[arg-type]


def test_losing_the_rig_between_permit_and_act_refuses(tmp_path: Path) -> None:
    owned = [True]
    guard = Guard(
        Policy(expendable=True, allowed_serials=frozenset({SERIAL})),
        Ledger(tmp_path, Calendar(0.0)),
        owns_rig=lambda: owned[0],
    )
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    owned[0] = False
    with pytest.raises(GuardRefusal, match="lock was lost"), permit.armed([Command(Opcode.COUNTER, 1)]):
        pytest.fail("must not be armed")
    assert guard.ledger.entries(SERIAL) == []


# -- the ledger ---------------------------------------------------------------------------------


def test_the_intent_is_on_disk_before_the_act_and_the_result_after(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.LOCK_CONFIG, Facts(SERIAL, config=CONFIG))
    with permit.armed([LOCK]):
        (intent,) = guard.ledger.open_intents(SERIAL)
        assert intent.fields["operation"] == "lock-config"
    assert guard.ledger.open_intents(SERIAL) == []
    assert [e.kind for e in guard.ledger.entries(SERIAL)] == ["intent", "result"]


def test_an_unknown_result_blocks_the_element_until_it_is_resolved(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(I2CError), permit.armed([Command(Opcode.COUNTER, 1)]):
        raise I2CError("the bus hung")
    with pytest.raises(GuardRefusal, match="no known result"):
        guard.permit(Operation.COUNTER, Facts(SERIAL))
    guard.ledger.resolve(SERIAL, 1, found="counter 0 = 1", by="test")
    guard.permit(Operation.COUNTER, Facts(SERIAL))


def test_a_refusal_by_the_chip_is_a_known_result(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(ElementError), permit.armed([Command(Opcode.COUNTER, 1)]):
        raise ElementError("Counter", 0x0F, "execution error")
    assert guard.ledger.open_intents(SERIAL) == []


def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, Calendar(0.0))
    ledger.close(ledger.intend(SERIAL, "counter", None, ("x",)), "done")
    path = ledger.path(SERIAL)
    path.write_bytes(path.read_bytes() + b'{"kind":"intent","int')
    assert len(ledger.entries(SERIAL)) == 2
    ledger.intend(SERIAL, "counter", None, ("y",))
    assert [e.kind for e in ledger.entries(SERIAL)] == ["intent", "result", "intent"]


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, Calendar(0.0))
    ledger.intend(SERIAL, "counter", None, ())
    path = ledger.path(SERIAL)
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(ConfigError, match="damaged ledger line"):
        ledger.entries(SERIAL)


def test_a_serial_number_cannot_name_another_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no element serial number"):
        Ledger(tmp_path, Calendar(0.0)).path("../../etc/passwd")


# -- the lint -----------------------------------------------------------------------------------


def found(config: bytes, **facts: Any) -> set[str]:  # noqa: ANN401
    settings: dict[str, Any] = {"part": "atecc508a", "address": 0x60, "production": False} | facts
    return {f.id for f in lint(config, **settings) if f.blocks}


def changed(offset: int, *values: int) -> bytes:
    return CONFIG[:offset] + bytes(values) + CONFIG[offset + len(values) :]


def test_the_sample_configuration_has_one_blemish_on_its_own_part() -> None:
    assert found(CONFIG) == {"readable-kek:15"}


@pytest.mark.parametrize(
    ("config", "facts", "finding"),
    [
        (CONFIG[:127], {}, "length"),
        (changed(16, 0x6A), {}, "address"),
        (changed(16, 0xC1), {}, "address-bit-0"),
        (changed(87, 0x00), {}, "lock-bytes"),
        (changed(18, 0x00), {}, "otp-mode"),
        (CONFIG, {"part": "atecc608a"}, "508-on-608"),
        (changed(20, 0x07), {}, "private-not-secret:0"),
        (changed(96, 0x1D), {}, "private-key-type:0"),
        (changed(20 + 20, 0x4F), {}, "encrypted-not-secret:10"),
        (changed(28, 0x0F), {}, "readable-kek:4"),
        (CONFIG, {"production": True}, "open-kek:4"),
    ],
)
def test_the_lint_finds(config: bytes, facts: dict[str, Any], finding: str) -> None:
    assert finding in found(config, **facts)
