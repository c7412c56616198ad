"""No irreversible byte reaches the wire without a matching permit, whatever is tried.

Random calls of the public API and of the raw transports, fragments, rig files, stale permits, crashes
and exchanged rig files, against an emulated part behind ports that the guard must take for physical.
The part is the witness: its log of executed commands, and its memory. An oracle written by hand says
when a permit has to be given, so that a guard which refuses everything fails as well.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hil.clock import Calendar
from hil.element import irreversible, irreversible_state
from hil.errors import GuardRefusal, HilError, RpcError
from hil.guard.guard import Facts, Guard
from hil.guard.ledger import Ledger
from hil.guard.operations import LOCKS, Operation, classify
from hil.guard.permit import RpcCall
from hil.guard.requirements import Policy, config_digest
from hil.rig.policy import named_config
from hil.wire.atecc import Command, Opcode, crc16
from hil.wire.mgrpc import encode_frame, encode_request

from .guard_bench import ADDRESS, PART, Bench, Crash, Sight

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.element.device import Element
    from hil.guard.permit import Permit

SERIAL = "0123f3acfd2a826bee"
OTHER = "0123f3acfd2a826cee"
IDENTITY = bytes.fromhex("0123f3ac00005000fd2a826beec05500")
GOOD = IDENTITY + named_config("mongoose-os-test").to_bytes()[16:]
BAD = GOOD[:92] + b"\x01" + GOOD[93:]
CONTENT = bytes(1000)

DANGEROUS = (
    Command(Opcode.LOCK, 0x80),
    Command(Opcode.LOCK, 0x00, int.from_bytes(crc16(GOOD), "little")),
    Command(Opcode.WRITE, 0x00, 0x0005, b"\x87\x64\x87\x64"),
    Command(Opcode.WRITE, 0x00, 0x0017, b"\x12\x34\x56\x78"),
    Command(Opcode.COUNTER, 0x01, 0x0000),
    Command(Opcode.UPDATEEXTRA, 0x00, 0x0012),
    Command(Opcode.MAC, 0x00, 0x0007, bytes(32)),
)
"""What takes effect on a blank part at once: slot 7 of the factory's configuration counts its uses."""

ANY = st.builds(
    Command,
    st.sampled_from([int(opcode) for opcode in Opcode]) | st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 20) | st.sampled_from([0xFFFF, 0x8000, 0x0120]),
    st.sampled_from([0, 4, 20, 32, 64, 68, 83]).map(bytes),
)
COMMANDS = st.sampled_from(DANGEROUS) | st.sampled_from(DANGEROUS) | ANY
ADDRESSES = st.sampled_from([ADDRESS] * 8 + [0, 0x35, 0xE0, -1])
HOW = ("cut", "cut", "cut", "bytes", "whole", "damaged", "surplus", "random")


def framed(command: Command) -> bytes:
    return b"\x03" + command.encode()


@st.composite
def transactions(draw: st.DrawFn) -> list[bytes]:
    """A command whole, damaged, with surplus, or in pieces, each piece with or without a word address."""
    data = framed(draw(COMMANDS))
    how = draw(st.sampled_from(HOW))
    if how == "cut":
        at = draw(st.integers(1, len(data) - 1))
        return [data[:at], draw(st.sampled_from([b"\x03", b"\x03", b"\x03", b""])) + data[at:]]
    if how == "bytes":
        return [bytes((3, byte)) for byte in data[1:]]
    if how == "damaged":
        at = draw(st.integers(0, len(data) - 1))
        return [data[:at] + bytes((data[at] ^ draw(st.integers(1, 255)),)) + data[at + 1 :]]
    if how == "surplus":
        return [data + draw(st.binary(min_size=1, max_size=4))]
    return [draw(st.binary(max_size=12))] if how == "random" else [data]


METHODS = st.sampled_from(
    [
        "ATCA.LockZone", "ATCA.SetConfig", "ATCA.SetKey", "ATCA.GenKey", "ATCA.Sign", "ATCA.GetConfig",
        "I2C.Write", "I2C.WriteRegB", "I2C.WriteRegW", "I2C.ReadRegB", "atca.genkey", "I2C.WriteX",
        "Config.Set", "Sys.GetInfo",
    ]
)  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A firmware call with whatever parameters it might take."""
    data = draw(transactions())[0]
    params: dict[str, Any] = {
        "addr": draw(ADDRESSES), "data_hex": data.hex(), "reg": data[0] if data else 3, "len": 4,
        "slot": draw(st.integers(0, 16)), "value": draw(st.integers(0, 0xFFFF)), "config": GOOD,
        "zone": draw(st.integers(0, 2)), "ecc": draw(st.booleans()), "key": bytes(32), "digest": bytes(32),
    }  # fmt: skip
    if draw(st.booleans()):
        params["bus"] = draw(st.integers(0, 1))
    method = draw(METHODS)
    if method == "Config.Set":
        params = {"config": {"sys": {"atca": {"ecdh_slots_mask": draw(st.integers(0, 15))}}}, "save": False}
    return method, params


class Act:
    """One irreversible operation of the public API.

    Args:
        operation: what the permit is for.
        run: does it.
        facts: what the permit is about besides the serial number.
    """

    def __init__(self, operation: Operation, run: Callable[[Element, Permit], object], **facts: Any) -> None:
        self.operation = operation
        self.run = run
        self.facts = facts


def raw(command: Command) -> Callable[[Element, Permit], object]:
    def run(element: Element, permit: Permit) -> object:
        with permit.armed([command]):
            return element.execute(command)

    return run


ACTS = (
    Act(Operation.WRITE_CONFIG, lambda e, p: irreversible.write_config(e, GOOD, p), config=GOOD),
    Act(Operation.WRITE_CONFIG, lambda e, p: irreversible.write_config(e, BAD, p), config=BAD),
    Act(Operation.LOCK_CONFIG, lambda e, p: irreversible.lock_config(e, GOOD, p), config=GOOD),
    Act(Operation.LOCK_CONFIG, lambda e, p: irreversible.lock_config(e, BAD, p), config=BAD),
    Act(Operation.LOCK_CONFIG, raw(Command(Opcode.LOCK, 0x80)), config=GOOD),
    Act(
        Operation.LOCK_DATA, raw(Command(Opcode.LOCK, 0x01, int.from_bytes(crc16(CONTENT), "little"))),
        config=GOOD, data=CONTENT,
    ),
    Act(Operation.LOCK_DATA, raw(Command(Opcode.LOCK, 0x81)), config=GOOD),
    Act(Operation.LOCK_SLOT, lambda e, p: irreversible.lock_slot(e, 10, p), config=GOOD, slot=10),
    Act(Operation.GENERATE_KEY, lambda e, p: irreversible.generate_key(e, 0, p), slot=0),
    Act(Operation.WRITE_SLOT, lambda e, p: irreversible.write_slot(e, 8, bytes(32), p), slot=8),
    Act(Operation.WRITE_OTP, lambda e, p: irreversible.write_otp(e, bytes(64), p)),
    Act(Operation.COUNTER, lambda e, p: irreversible_state.increment_counter(e, 0, p)),
    Act(Operation.UPDATE_EXTRA, lambda e, p: irreversible_state.update_extra(e, 1, p)),
)  # fmt: skip


LOCKING = (
    Command(Opcode.LOCK, 0x00, int.from_bytes(crc16(GOOD), "little")),
    Command(Opcode.LOCK, 0x01, int.from_bytes(crc16(CONTENT), "little")),
    Command(Opcode.LOCK, 0x02 | 10 << 2),
)
"""The only locks that were ever permitted; without a checksum only the data zone, if that was named."""


class RigFile:
    """What a rig file, the command line and the approvals say; by hand, for the oracle."""

    def __init__(self, draw: st.DataObject) -> None:
        mostly = st.sampled_from([True, True, True, True, False])
        self.owns = draw.draw(mostly, "owns")
        self.expendable = draw.draw(mostly, "expendable")
        self.serial = SERIAL if draw.draw(mostly, "names it") else draw.draw(st.sampled_from([OTHER, None]))
        self.named = frozenset({SERIAL if draw.draw(mostly, "named") else OTHER})
        if draw.draw(st.sampled_from([False, False, True]), "a copied file, and the same slip when called"):
            self.serial, self.named = OTHER, frozenset({OTHER})
        self.approved = draw.draw(mostly, "approved")
        self.accepted = draw.draw(mostly, "accepted")
        self.fitting = draw.draw(mostly, "fitting")
        self.exception = draw.draw(st.booleans(), "exception")

    def policy(self) -> Policy:
        return Policy(
            serial=self.serial,
            expendable=self.expendable,
            allowed_serials=self.named,
            approved_configs=frozenset({config_digest(GOOD)}) if self.approved else frozenset(),
            accepted_findings=frozenset({"readable-kek:15"}) if self.accepted else frozenset(),
            exceptions=frozenset({"lock-data-without-crc"}) if self.exception else frozenset(),
            production=not self.fitting,
            part=PART,
            address=ADDRESS,
        )

    def allows(self, act: Act, serial: str, *, open_intents: bool) -> bool:
        """Whether a permit has to be given: the rules of the guard, said once more."""
        if not (self.owns and self.expendable and self.serial == serial and serial in self.named):
            return False
        if open_intents or serial != SERIAL:
            return False
        if act.operation not in LOCKS:
            return True
        if act.operation is Operation.LOCK_DATA and "data" not in act.facts and not self.exception:
            return False
        return self.approved and self.accepted and self.fitting and act.facts["config"] == GOOD


class GuardMachine(RuleBasedStateMachine):
    """See the module."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hil-guard-"))
        self.bench = Bench(SERIAL)
        self.old: list[tuple[Act, Permit]] = []
        self.rig = RigFile(data)
        self.start()

    def start(self) -> None:
        """A new process: nothing is left but the disk and the element."""
        rig = self.rig
        self.bench.bus.crash_in = None
        self.guard = Guard(
            rig.policy(),
            Ledger(self.folder, Calendar(0.0)),
            owns_rig=lambda: rig.owns,
            witness=Sight(self.bench.bus),
            rig="a-bench",
        )
        self.guard.learn(Sight(self.bench.bus).config())
        self.element = self.bench.element(self.guard)
        self.board = self.bench.board(self.guard)
        self.look(None)

    def look(self, permitted: Operation | None) -> None:
        """What the part has seen, and that no lock was another than the reviewed one."""
        for command in self.bench.witness(permitted):
            if command.opcode == Opcode.LOCK and command not in LOCKING:
                assert command == Command(Opcode.LOCK, 0x81), f"{command} was never permitted"
                assert self.rig.exception, "the data zone was locked without a checksum"

    @rule(data=st.data())
    def another_rig_file(self, data: st.DataObject) -> None:
        self.rig = RigFile(data)
        self.start()

    @rule()
    def nobody_has_read_the_configuration(self) -> None:
        self.guard.forget()

    def wake(self) -> None:
        self.element.bus.wake_pulse()
        self.bench.world.sleep(2_000)

    @rule(address=ADDRESSES, pieces=transactions(), wake=st.sampled_from([True, True, True, False]))
    def raw_bus_writes(self, address: int, pieces: list[bytes], wake: bool) -> None:
        bus = self.element.bus
        if wake:
            self.wake()
        for piece in pieces:
            with suppress(HilError):
                bus.write(address, piece)
        self.look(None)

    @rule(call=calls())
    def firmware_calls(self, call: tuple[str, dict[str, Any]]) -> None:
        with suppress(HilError):
            self.board.rpc.call(*call)
        self.look(None)

    @rule(command=COMMANDS, width=st.sampled_from([1, 2]))
    def registers(self, command: Command, width: int) -> None:
        """Register 3 is word address 3: byte by byte, or two at a time, a command is assembled."""
        method, group = ("I2C.WriteRegB", "I2C.WriteRegW")[width - 1], command.encode()
        self.wake()
        for at in range(0, len(group), width):
            piece = group[at : at + width].ljust(width, b"\0")
            params = {"addr": ADDRESS, "reg": 3, "value": int.from_bytes(piece, "big")}
            with suppress(HilError):
                self.board.rpc.call(method, params)
        self.look(None)

    @rule(call=calls(), cut=st.integers(1, 60))
    def raw_frames(self, call: tuple[str, dict[str, Any]], cut: int) -> None:
        frame = encode_frame(encode_request(1, *call))
        with suppress(GuardRefusal):
            for at in range(0, len(frame), cut):
                self.board.console.write(frame[at : at + cut])
        self.board.console.write(b"\x04")
        self.board = self.bench.board(self.guard)
        self.look(None)

    @rule(command=COMMANDS)
    def driver_commands(self, command: Command) -> None:
        with suppress(HilError):
            self.element.execute(command)
        self.look(None)

    def ask(self, act: Act, serial: str) -> Permit | None:
        """A permit, if there is one; the oracle has to agree."""
        still_open = bool(self.guard.ledger.open_intents(serial)) if serial == SERIAL else False
        expected = self.rig.allows(act, serial, open_intents=still_open)
        try:
            permit = self.guard.permit(act.operation, Facts(serial, **act.facts))
        except GuardRefusal:
            assert not expected, f"{act.operation} was refused although everything speaks for it"
            return None
        assert expected, f"{act.operation} was permitted although something speaks against it"
        self.old = [*self.old[-3:], (act, permit)]
        return permit

    @rule(act=st.sampled_from(ACTS), told=st.booleans(), other=st.sampled_from([False, False, False, True]))
    def act_of_the_api(self, act: Act, told: bool, other: bool) -> None:
        """About the element that the rig file names, or about one of one's own choice."""
        serial = self.rig.serial if told and self.rig.serial else (OTHER if other else SERIAL)
        permit = self.ask(act, serial)
        if permit is not None:
            with suppress(HilError):
                act.run(self.element, permit)
        self.look(act.operation if permit is not None else None)

    @rule(act=st.sampled_from(ACTS), other=st.sampled_from(ACTS))
    def permit_for_something_else(self, act: Act, other: Act) -> None:
        permit = self.ask(act, SERIAL)
        if permit is None or (act.operation, act.facts.get("slot")) == (
            other.operation,
            other.facts.get("slot"),
        ):
            return
        with pytest.raises(HilError):
            other.run(self.element, permit)
        self.look(None)

    @rule(act=st.sampled_from(ACTS), smuggled=COMMANDS)
    def another_command_while_armed(self, act: Act, smuggled: Command) -> None:
        """Only what was armed passes; a firmware call of the same name is something else as well."""
        permit = self.ask(act, SERIAL)
        if permit is None or classify(smuggled) is None:
            return
        with (
            suppress(HilError),
            permit.armed([RpcCall("ATCA.GenKey", 0)] if act.facts.get("slot") == 0 else []),
        ):
            self.element.execute(smuggled)
        self.look(None)

    @rule(number=st.integers(0, 3))
    def stale_permits(self, number: int) -> None:
        """A permit of an earlier process or rig file arms nothing here; one of this process only while
        nothing is open."""
        if number >= len(self.old):
            return
        act, permit = self.old[number]
        ours = permit._issuer is self.guard and not self.guard.ledger.open_intents(SERIAL)
        with suppress(HilError):
            act.run(self.element, permit)
        self.look(act.operation if ours else None)

    @rule(address=st.sampled_from([ADDRESS, ADDRESS, 0x35, 0x6A]), times=st.integers(1, 3))
    def an_armed_packet_passes_once_and_to_the_element_only(self, address: int, times: int) -> None:
        permit = self.ask(ACTS[-2], SERIAL)
        if permit is None:
            return
        command = Command(Opcode.COUNTER, 0x01, 0)
        passed = 0
        with suppress(HilError), permit.armed([command]):
            for _ in range(times):
                with suppress(GuardRefusal):
                    self.guard.filter.outgoing(address, framed(command))
                    passed += 1
        assert passed == (address == ADDRESS), f"{passed} times to 0x{address:02x}"
        self.look(None)

    @rule(act=st.sampled_from(ACTS), at=st.integers(0, 12), after=st.booleans())
    def crash_in_the_middle(self, act: Act, at: int, after: bool) -> None:
        permit = self.ask(act, SERIAL)
        if permit is None:
            return
        self.bench.bus.crash_in, self.bench.bus.after = at, after
        with suppress(HilError, Crash):
            act.run(self.element, permit)
        self.bench.bus.crash_in = None
        self.look(act.operation)
        self.start()

    @rule()
    def somebody_inspects(self) -> None:
        for entry in self.guard.ledger.open_intents(SERIAL):
            self.guard.ledger.resolve(SERIAL, entry.intent, "read back", "test")

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.close()
            shutil.rmtree(self.folder)


SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)

TestTheGuard = GuardMachine.TestCase
TestTheGuard.settings = settings(
    max_examples=300, stateful_step_count=8, deadline=None, suppress_health_check=SLOW
)


@pytest.mark.long
class TestTheGuardForLong(GuardMachine.TestCase):  # type: ignore[misc,valid-type]
    """Ten thousand sequences."""

    settings = settings(
        max_examples=10_000, stateful_step_count=20, deadline=None, suppress_health_check=SLOW
    )


def test_the_same_roads_work_with_a_permit(tmp_path: Path) -> None:
    """The machine would be worthless if nothing ever got through."""
    bench = Bench(SERIAL)
    guard = Guard(
        Policy(
            serial=SERIAL,
            expendable=True,
            allowed_serials=frozenset({SERIAL}),
            approved_configs=frozenset({config_digest(GOOD)}),
            accepted_findings=frozenset({"readable-kek:15"}),
        ),
        Ledger(tmp_path, Calendar(0.0)),
        owns_rig=lambda: True,
        witness=Sight(bench.bus),
    )
    element, board = bench.element(guard), bench.board(guard)
    facts = Facts(SERIAL, config=GOOD)
    irreversible.write_config(element, GOOD, guard.permit(Operation.WRITE_CONFIG, facts))
    bench.witness(Operation.WRITE_CONFIG)
    irreversible.lock_config(element, GOOD, guard.permit(Operation.LOCK_CONFIG, facts))
    bench.witness(Operation.LOCK_CONFIG)
    assert bench.chip.memory.config_locked
    with guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=1)).armed([RpcCall("ATCA.GenKey", 1)]):
        board.rpc.call("ATCA.GenKey", {"slot": 1})
    bench.witness(Operation.GENERATE_KEY)
    assert bench.chip.memory.key_valid[1]
    with pytest.raises((GuardRefusal, RpcError)):
        board.rpc.call("ATCA.GenKey", {"slot": 1})
    bench.close()


def test_the_witness_sees_what_the_guard_does_not_stop() -> None:
    """Past the guard the same command is seen in the log and in the memory."""
    bench = Bench(SERIAL)
    bench.bus.wake_pulse()
    bench.world.sleep(2_000)
    bench.bus.write(ADDRESS, framed(Command(Opcode.LOCK, 0x80)))
    with pytest.raises(AssertionError, match="reached the element"):
        bench.witness(None)
    with pytest.raises(AssertionError, match="changed without a permit"):
        bench.witness(None)
    bench.close()
