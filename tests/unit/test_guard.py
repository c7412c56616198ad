"""The guard: what a permit needs, what may pass the transport, what is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hil.clock import World
from hil.errors import DeviceTimeout, ElementError, GuardRefusal, I2CError
from hil.guard.filter import GuardedBus
from hil.guard.guard import WRITE_US, Guard
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall
from hil.guard.powercut import GuardedRelay
from hil.guard.requirements import REQUIREMENTS, Facts, config_digest
from hil.power.relay import State
from hil.wire.atecc import Command, Opcode, crc16

from .guard_bench import (
    CONFIG,
    CONTENT,
    COUNT,
    CRC,
    EMULATED_SERIAL,
    INFO,
    LOCK,
    OTHER_SERIAL,
    SERIAL,
    Part,
    Wire,
    act,
    framed,
    lock_facts,
    make_guard,
)

if TYPE_CHECKING:
    from pathlib import Path

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
        b"\x03" + LOCK.encode()[:-1] + bytes((LOCK.encode()[-1] ^ 1,)),
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


def test_every_single_byte_of_a_lock_is_refused_on_its_own(tmp_path: Path) -> None:
    """Byte by byte: with word address 3 in front, as the chip would assemble them."""
    wire = Wire()
    bus = GuardedBus(wire, make_guard(tmp_path).filter)
    for byte in LOCK.encode():
        with pytest.raises(GuardRefusal):
            bus.write(0x60, bytes((3, byte)))
    assert wire.sent == []


@pytest.mark.parametrize("address", [0x35, 0x00, 0x7F])
def test_every_address_is_looked_at(tmp_path: Path, address: int) -> None:
    """A wrong configuration may have moved the element."""
    with pytest.raises(GuardRefusal):
        GuardedBus(Wire(), make_guard(tmp_path).filter).write(address, framed(LOCK))


@pytest.mark.parametrize("address", [-1, 0x80, 0xE0, 0xFFFF])
def test_what_is_no_address_is_refused(tmp_path: Path, address: int) -> None:
    """Firmware may cut it to seven bits (E0 becomes 60), or take it for "go on without a start"."""
    with pytest.raises(GuardRefusal, match="no 7-bit address"):
        make_guard(tmp_path).filter.outgoing(address, framed(INFO))


def test_a_foreign_address_is_left_alone_on_its_bus_only(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, foreign=(0x50,))
    guard.filter.outgoing(0x50, b"\x10\x17")
    with pytest.raises(GuardRefusal):
        guard.filter.outgoing(0x50, b"\x10\x17", main_bus=False)
    with pytest.raises(GuardRefusal, match="cannot be foreign"):
        make_guard(tmp_path, foreign=(0x60,))


def test_harmless_traffic_passes(tmp_path: Path) -> None:
    wire = Wire()
    bus = GuardedBus(wire, make_guard(tmp_path).filter)
    for data in (framed(INFO), b"\x00", b"\x01", b"\x02", b"\x03", b""):
        bus.write(0x60, data)
    bus.wake_pulse()
    assert len(wire.sent) == 7


def test_what_was_looked_at_is_what_is_sent(tmp_path: Path) -> None:
    """A buffer that changes between the look and the write changes nothing."""

    class Sneaky(Wire):
        def write(self, address: int, data: bytes) -> None:
            buffer[2] = Opcode.LOCK
            super().write(address, data)

    wire, buffer = Sneaky(), bytearray(framed(INFO))
    GuardedBus(wire, make_guard(tmp_path).filter).write(0x60, buffer)  # type: ignore[arg-type]
    assert wire.sent == [(0x60, framed(INFO))]


def test_a_refusal_does_not_show_what_may_be_a_key(tmp_path: Path) -> None:
    secret = bytes(range(0xA0, 0xC0))
    write = framed(Command(Opcode.WRITE, 0x82, 4 << 3, secret))
    guard = make_guard(tmp_path)
    for data in (write, write[:-1] + b"\x00", write[:-2], write + b"\x00"):
        with pytest.raises(GuardRefusal) as caught:
            guard.filter.outgoing(0x60, data)
        chain: BaseException | None = caught.value
        while chain is not None:
            assert "a0" not in str(chain).lower().replace(" ", "")
            chain = chain.__cause__


# -- permits ------------------------------------------------------------------------------------


def test_a_permit_lets_exactly_its_packet_pass_once(tmp_path: Path) -> None:
    wire = Wire()
    guard = make_guard(tmp_path)
    bus = GuardedBus(wire, guard.filter)
    permit = guard.permit(Operation.LOCK_CONFIG, lock_facts())
    with permit.armed([LOCK]):
        with pytest.raises(GuardRefusal):
            bus.write(0x60, framed(Command(Opcode.LOCK, 0x80)))
        bus.write(0x60, framed(LOCK))
        with pytest.raises(GuardRefusal):
            bus.write(0x60, framed(LOCK))
    with pytest.raises(GuardRefusal):
        bus.write(0x60, framed(LOCK))
    assert wire.sent == [(0x60, framed(LOCK))]


def test_an_armed_packet_may_not_go_to_another_address(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with permit.armed([COUNT]), pytest.raises(GuardRefusal, match="the permitted element is at 0x60"):
        guard.filter.outgoing(0x35, framed(COUNT))


def test_a_permit_covers_its_operation_and_slot_only(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=2))
    for action in (Command(Opcode.GENKEY, 4, 3), LOCK, RpcCall("ATCA.GenKey", 0), RpcCall("ATCA.SetKey", 2)):
        with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([action]):
            pytest.fail("must not be armed")
    with permit.armed([RpcCall("ATCA.GenKey", 2)]):
        guard.check_rpc("ATCA.GenKey", {"slot": 2})


@pytest.mark.parametrize(
    "command",
    [
        Command(Opcode.LOCK, 0x80),
        Command(Opcode.LOCK, 0x80, CRC),
        Command(Opcode.LOCK, 0x00, CRC ^ 1),
        Command(Opcode.LOCK, 0x04, CRC),
        Command(Opcode.LOCK, 0x00, CRC, b"\0"),
    ],
    ids=["without CRC", "CRC ignored", "another CRC", "a further mode bit", "with data"],
)
def test_a_configuration_lock_carries_the_checksum_of_what_was_reviewed(
    tmp_path: Path, command: Command
) -> None:
    permit = make_guard(tmp_path).permit(Operation.LOCK_CONFIG, lock_facts())
    with pytest.raises(GuardRefusal, match="must carry the checksum"), permit.armed([command]):
        pytest.fail("must not be armed")


def test_a_data_lock_carries_the_checksum_of_its_content(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    good = Command(Opcode.LOCK, 0x01, int.from_bytes(crc16(CONTENT), "little"))
    permit = guard.permit(Operation.LOCK_DATA, Facts(SERIAL, config=CONFIG, data=CONTENT))
    for command in (Command(Opcode.LOCK, 0x81), Command(Opcode.LOCK, 0x01, good.p2 ^ 1)):
        with pytest.raises(GuardRefusal, match="must carry the checksum"), permit.armed([command]):
            pytest.fail("must not be armed")
    with permit.armed([good]):
        guard.filter.outgoing(0x60, framed(good))


def test_a_data_lock_without_a_checksum_needs_its_exception_by_name(tmp_path: Path) -> None:
    facts = Facts(SERIAL, config=CONFIG)
    with pytest.raises(GuardRefusal, match="content of the data zone is not known"):
        make_guard(tmp_path).permit(Operation.LOCK_DATA, facts)
    guard = make_guard(tmp_path, exceptions=frozenset({"lock-data-without-crc"}))
    permit = guard.permit(Operation.LOCK_DATA, facts)
    with pytest.raises(GuardRefusal), permit.armed([Command(Opcode.LOCK, 0x01, 0x1234)]):
        pytest.fail("must not be armed")
    with permit.armed([Command(Opcode.LOCK, 0x81)]):
        guard.filter.outgoing(0x60, framed(Command(Opcode.LOCK, 0x81)))


def test_the_exception_does_not_reach_the_configuration_lock(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, exceptions=frozenset({"lock-data-without-crc"}))
    permit = guard.permit(Operation.LOCK_CONFIG, lock_facts())
    with pytest.raises(GuardRefusal), permit.armed([Command(Opcode.LOCK, 0x80)]):
        pytest.fail("must not be armed")


def test_a_configuration_write_carries_the_permitted_bytes(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.WRITE_CONFIG, lock_facts())
    right = Command(Opcode.WRITE, 0x80, 8, CONFIG[32:64])
    for data in (bytes(32), CONFIG[33:65]):
        with (
            pytest.raises(GuardRefusal, match="something other"),
            permit.armed([Command(Opcode.WRITE, 0x80, 8, data)]),
        ):
            pytest.fail("must not be armed")
    with permit.armed([right]):
        guard.filter.outgoing(0x60, framed(right))


def test_a_slot_lock_is_for_one_slot(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.LOCK_SLOT, Facts(SERIAL, slot=9, config=CONFIG))
    for command in (Command(Opcode.LOCK, 0x02 | 8 << 2), Command(Opcode.LOCK, 0x03 | 9 << 2)):
        with pytest.raises(GuardRefusal), permit.armed([command]):
            pytest.fail("must not be armed")
    with permit.armed([Command(Opcode.LOCK, 0x02 | 9 << 2)]):
        pass


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("rig lock", {"owns_rig": False}, "does not own the rig"),
    ("serial number read", {"witness": None}, "cannot be read"),
    ("serial number equal", {"witness": Part(OTHER_SERIAL)}, f"in the rig is {OTHER_SERIAL}"),
    ("rig file names it", {"serial": OTHER_SERIAL}, f"rig file names {OTHER_SERIAL}"),
    ("rig file names it", {"serial": None}, "rig file names no element"),
    ("expendable", {"expendable": False}, "not say that the element is expendable"),
    ("serial number named", {"allowed_serials": frozenset()}, "was not named on the command line"),
    ("serial number named", {"allowed_serials": frozenset({OTHER_SERIAL})}, "was not named"),
    ("ledger outlives the run", {"durable": False}, "does not outlive the run"),
    ("configuration approved", {"approved_configs": frozenset()}, "configuration was not approved"),
    ("lint", {"part": "atecc608b"}, "508A configuration on a 608"),
    ("lint", {"address": 0x35}, "the rig expects 0x35"),
    ("lint", {"production": True}, "anyone may overwrite it"),
    ("lint", {"accepted_findings": frozenset()}, "readable-kek:15"),
]


@pytest.mark.parametrize(("name", "changes", "reason"), REFUSED)
def test_each_missing_requirement_refuses_a_lock(
    tmp_path: Path, name: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(GuardRefusal, match=reason):
        make_guard(tmp_path, **changes).permit(Operation.LOCK_CONFIG, lock_facts())


def test_every_requirement_has_a_test_that_refuses() -> None:
    elsewhere = {"ledger closed", "configuration known", "content known"}
    assert {name for name, _, _ in REFUSED} | elsewhere == {r.name for r in REQUIREMENTS}


def test_a_refusal_names_every_unmet_requirement_and_what_to_do(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, expendable=False, allowed_serials=frozenset())
    with pytest.raises(GuardRefusal) as caught:
        guard.permit(Operation.LOCK_CONFIG, lock_facts())
    assert "expendable" in caught.value.message
    assert "command line" in caught.value.message
    assert caught.value.hint is not None
    assert "--allow-irreversible" in caught.value.hint


@pytest.mark.parametrize("operation", [Operation.LOCK_CONFIG, Operation.WRITE_CONFIG, Operation.LOCK_SLOT])
@pytest.mark.parametrize("config", [None, CONFIG[:127]])
def test_a_lock_without_its_configuration_is_refused(
    tmp_path: Path, operation: Operation, config: bytes | None
) -> None:
    with pytest.raises(GuardRefusal, match="without the configuration"):
        make_guard(tmp_path).permit(operation, Facts(SERIAL, slot=1, config=config))


def test_a_part_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    part = Part()
    part.error = DeviceTimeout("nobody is there")
    with pytest.raises(GuardRefusal, match="nobody is there"):
        make_guard(tmp_path, witness=part).permit(Operation.COUNTER, Facts(SERIAL))


def test_an_emulated_part_needs_an_emulated_port_and_a_serial_number_of_its_own(tmp_path: Path) -> None:
    """Neither the port nor the serial number alone spares an element anything."""
    nothing: dict[str, Any] = {
        "serial": None, "expendable": False, "allowed_serials": frozenset(), "durable": False,
    }  # fmt: skip
    spared = make_guard(tmp_path, witness=Part(EMULATED_SERIAL, physical=False), **nothing)
    spared.permit(Operation.COUNTER, Facts(EMULATED_SERIAL))
    for part in (Part(EMULATED_SERIAL, physical=True), Part(SERIAL, physical=False)):
        with pytest.raises(GuardRefusal, match="not named on the command line"):
            make_guard(tmp_path, witness=part, **nothing).permit(Operation.COUNTER, Facts(part.seen_serial))


def test_an_emulated_part_is_spared_the_review_of_its_rigs_configuration_only(tmp_path: Path) -> None:
    part = Part(EMULATED_SERIAL, physical=False)
    reviewed = frozenset({config_digest(CONFIG)})
    settings: dict[str, Any] = {"approved_configs": frozenset(), "emulated_configs": reviewed}
    guard = make_guard(tmp_path, witness=part, **settings)
    guard.permit(Operation.LOCK_CONFIG, Facts(EMULATED_SERIAL, config=CONFIG))
    other = CONFIG[:92] + b"\x01" + CONFIG[93:]
    with pytest.raises(GuardRefusal, match="not approved"):
        guard.permit(Operation.LOCK_CONFIG, Facts(EMULATED_SERIAL, config=other))
    with pytest.raises(GuardRefusal, match="not approved"):
        make_guard(tmp_path, **settings).permit(Operation.LOCK_CONFIG, lock_facts())


def test_the_review_covers_every_byte_that_the_configuration_decides() -> None:
    free = {*range(16), 84, 85, 86, 87}
    for at in range(128):
        changed = CONFIG[:at] + bytes((CONFIG[at] ^ 0x10,)) + CONFIG[at + 1 :]
        assert (config_digest(changed) == config_digest(CONFIG)) is (at in free), at


def test_the_data_lock_is_judged_by_the_configuration_as_it_was_reviewed(tmp_path: Path) -> None:
    """By then lock bytes, slot locks and counters have moved, rightly."""
    counters = bytes.fromhex("00000001000000000000ffff00010001")
    moved = CONFIG[:52] + counters + CONFIG[68:87] + b"\x00\xfe\xff" + CONFIG[90:]
    guard = make_guard(tmp_path)
    guard.permit(Operation.LOCK_DATA, Facts(SERIAL, config=moved, data=CONTENT))
    other = moved[:20] + b"\x00" + moved[21:]
    with pytest.raises(GuardRefusal, match="not approved"):
        guard.permit(Operation.LOCK_DATA, Facts(SERIAL, config=other, data=CONTENT))


def test_a_permit_cannot_be_made_by_hand() -> None:
    with pytest.raises(GuardRefusal, match=r"made by Guard\.permit"):
        Permit(object(), object(), Operation.LOCK_DATA, SERIAL, None)  # type: ignore[arg-type]


def test_losing_the_rig_between_permit_and_act_refuses(tmp_path: Path) -> None:
    owned = [True]
    guard = make_guard(tmp_path, owns_rig=lambda: owned[0])
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    owned[0] = False
    with pytest.raises(GuardRefusal, match="lock was lost"), permit.armed([COUNT]):
        pytest.fail("must not be armed")
    assert guard.ledger.entries(SERIAL) == []


def test_one_permit_is_armed_at_a_time(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    first, second = (guard.permit(Operation.COUNTER, Facts(SERIAL)) for _ in range(2))
    with first.armed([COUNT]), pytest.raises(GuardRefusal, match="is armed"), second.armed([COUNT]):
        pytest.fail("must not be armed")


def test_a_permit_belongs_to_the_guard_that_made_it(tmp_path: Path) -> None:
    first, second = make_guard(tmp_path / "1"), make_guard(tmp_path / "2")
    permit = first.permit(Operation.COUNTER, Facts(SERIAL))
    with permit.armed([COUNT]), pytest.raises(GuardRefusal):
        second.filter.outgoing(0x60, framed(COUNT))


# -- what is written down -----------------------------------------------------------------------


def test_the_intent_is_on_disk_before_the_act_and_the_result_after(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.LOCK_CONFIG, lock_facts())
    with permit.armed([LOCK]):
        (intent,) = guard.ledger.open_intents(SERIAL)
        assert intent.fields["operation"] == "lock-config"
        assert intent.fields["rig"] == "a-bench"
        guard.filter.outgoing(0x60, framed(LOCK))
    assert guard.ledger.open_intents(SERIAL) == []
    intent, result = guard.ledger.entries(SERIAL)
    assert (result.kind, result.fields["outcome"]) == ("result", "done")


def test_a_result_that_the_configuration_shows_is_read_back(tmp_path: Path) -> None:
    part = Part()
    guard = make_guard(tmp_path, witness=part)
    locked = CONFIG[:87] + b"\0" + CONFIG[88:]
    with guard.permit(Operation.LOCK_CONFIG, lock_facts()).armed([LOCK]):
        guard.filter.outgoing(0x60, framed(LOCK))
        part.seen_config = locked
    assert guard.ledger.entries(SERIAL)[-1].fields["read_back"] == locked.hex()


def test_an_act_that_cannot_be_read_back_has_no_known_result(tmp_path: Path) -> None:
    part = Part()
    guard = make_guard(tmp_path, witness=part)
    permit = guard.permit(Operation.LOCK_CONFIG, lock_facts())
    with pytest.raises(I2CError):
        act(guard, permit, LOCK, then=lambda: part.fail(I2CError("the bus hung")))
    assert len(guard.ledger.open_intents(SERIAL)) == 1


def test_the_error_of_the_act_is_not_hidden_by_one_of_reading_back(tmp_path: Path) -> None:
    part = Part()
    guard = make_guard(tmp_path, witness=part)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    error = ElementError("Counter", 0x0F, "execution error")
    with pytest.raises(ElementError, match="0x0F"):
        act(guard, permit, COUNT, then=lambda: part.fail(I2CError("the bus hung")), error=error)
    assert len(guard.ledger.open_intents(SERIAL)) == 1


def test_an_unknown_result_blocks_the_element_until_it_is_resolved(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(I2CError):
        act(guard, permit, COUNT, error=I2CError("the bus hung"))
    with pytest.raises(GuardRefusal, match="no known result"):
        guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(GuardRefusal, match="no known result"), permit.armed([COUNT]):
        pytest.fail("an older permit must not help")
    guard.ledger.resolve(SERIAL, 1, found="counter 0 = 1", by="test")
    guard.permit(Operation.COUNTER, Facts(SERIAL))


def test_a_refusal_by_the_chip_is_a_known_result(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(ElementError):
        act(guard, permit, COUNT, error=ElementError("Counter", 0x0F, "execution error"))
    assert "refused by the device" in guard.ledger.entries(SERIAL)[-1].fields["outcome"]


@pytest.mark.parametrize("error", [I2CError("the bus hung"), KeyboardInterrupt()])
def test_what_was_never_sent_has_a_known_result(tmp_path: Path, error: BaseException) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(type(error)), permit.armed([COUNT]):
        raise error
    assert guard.ledger.entries(SERIAL)[-1].fields["outcome"] == "nothing was sent"


def test_ctrl_c_after_the_act_leaves_it_open(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(KeyboardInterrupt):
        act(guard, permit, COUNT, error=KeyboardInterrupt())
    assert len(guard.ledger.open_intents(SERIAL)) == 1


def test_the_journal_hears_of_it_before_and_after(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    plain = make_guard(tmp_path)
    guard = Guard(
        plain.policy, plain.ledger, owns_rig=lambda: True, witness=Part(),
        record=lambda kind, fields: heard.append((kind, str(fields["phase"]))),
    )  # fmt: skip
    with guard.permit(Operation.COUNTER, Facts(SERIAL)).armed([COUNT]):
        assert heard == [("irreversible", "intent")]
        guard.filter.outgoing(0x60, framed(COUNT))
    assert heard[1:] == [("irreversible", "done")]


def test_nothing_secret_is_written_down(tmp_path: Path) -> None:
    secret = bytes(range(0xA0, 0xC0))
    guard = make_guard(tmp_path)
    write = Command(Opcode.WRITE, 0x82, 4 << 3, secret)
    facts = Facts(SERIAL, slot=4, data=secret)
    with guard.permit(Operation.WRITE_SLOT, facts).armed([write]):
        guard.filter.outgoing(0x60, framed(write))
    text = guard.ledger.path(SERIAL).read_text()
    import hashlib

    assert secret.hex() not in text
    assert hashlib.sha256(write.encode()).hexdigest()[:16] not in text, "a short secret could be guessed"
    assert secret.hex() not in repr(facts)


# -- power --------------------------------------------------------------------------------------


class Contact:
    name = "a test relay"

    def __init__(self) -> None:
        self.is_on = True

    def on(self) -> None:
        self.is_on = True

    def off(self) -> None:
        self.is_on = False

    def readback(self) -> State:
        return State.of(self.is_on)

    def close(self) -> None:
        pass


def test_the_power_is_not_cut_while_something_irreversible_is_sent(tmp_path: Path) -> None:
    world, contact = World(), Contact()
    guard = make_guard(tmp_path, clock=world)
    relay = GuardedRelay(contact, guard, world)
    with guard.permit(Operation.COUNTER, Facts(SERIAL)).armed([COUNT]):
        with pytest.raises(GuardRefusal, match="refused to cut the power"):
            relay.off()
        assert contact.is_on
        guard.filter.outgoing(0x60, framed(COUNT))
    relay.off()
    assert not contact.is_on
    assert world.now == 0, "the answer came: nothing is being written any more"


def test_the_power_waits_for_a_write_whose_answer_was_lost(tmp_path: Path) -> None:
    world, contact = World(), Contact()
    guard = make_guard(tmp_path, clock=world)
    relay = GuardedRelay(contact, guard, world)
    permit = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(I2CError):
        act(guard, permit, COUNT, then=lambda: world.sleep(5_000), error=I2CError("the bus hung"))
    relay.off()
    assert world.now == WRITE_US
    relay.off()
    assert world.now == WRITE_US, "only once"


def test_a_cut_can_be_permitted_into_a_write(tmp_path: Path) -> None:
    world, contact = World(), Contact()
    guard = make_guard(tmp_path, clock=world)
    relay = GuardedRelay(contact, guard, world)
    write = guard.permit(Operation.COUNTER, Facts(SERIAL))
    cut = guard.permit(Operation.CUT_POWER, Facts(SERIAL))

    def cut_it() -> None:
        with cut.armed([RpcCall("power off")]):
            relay.off()
            raise I2CError("nobody is there any more")

    with pytest.raises(I2CError):
        act(guard, write, COUNT, then=cut_it)
    assert not contact.is_on
    assert {e.fields["operation"] for e in guard.ledger.open_intents(SERIAL)} == {"counter", "cut-power"}


def test_the_policy_can_be_narrowed_but_a_permit_is_asked_for_every_time(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    guard.permit(Operation.COUNTER, Facts(SERIAL))
    guard.policy = msgspec.structs.replace(guard.policy, expendable=False)
    with pytest.raises(GuardRefusal):
        guard.permit(Operation.COUNTER, Facts(SERIAL))
