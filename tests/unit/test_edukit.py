import base64
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from hil import serialport
from hil.board.espidf import EspIdfBoard
from hil.board.espidf_irreversible import generate_keys, program_certificate
from hil.clock import World
from hil.element.certificates.certificate import load, pem
from hil.element.certificates.chain import verify_chain
from hil.element.certificates.compressed import Compressed
from hil.element.values import LockState
from hil.emulator.boards.edukit import CURRENT, EDUKIT_ERA, EduKitFirmware, Image
from hil.emulator.bus import Lines
from hil.emulator.chip.chip import Chip
from hil.emulator.chip.memory import Memory
from hil.emulator.chip.profile import load_profile
from hil.emulator.factory import FactoryCa, synthetic_anchor, trust_go
from hil.emulator.mcu import load_costs
from hil.emulator.uart import Uart
from hil.errors import DeviceError, DeviceTimeout, FrameError, GuardRefusal, RpcError, UnexpectedReboot
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall, issue
from hil.wire.serials import reserved_serial

PROFILE = load_profile("atecc608b")
SERIAL = reserved_serial(0x635, trust=True)
LOCKED = LockState(config=True, data=True, slots=frozenset())
CA = FactoryCa()


@dataclass
class Bench:
    world: World
    board: EspIdfBoard
    firmware: EduKitFirmware
    chip: Chip
    uart: Uart

    def start(self) -> None:
        self.firmware.power_on()
        self.board.wait_for_console()

    def opened(self) -> None:
        self.start()
        self.board.init(locks=LOCKED)


class TestGuard:
    """Issues permits and lets exactly the armed calls pass, as the guard does."""

    __test__ = False

    def __init__(self) -> None:
        self.allowed: list[object] = []

    def permit(self, slot: int | None = None) -> Permit:
        return issue(self, Operation.FIRMWARE_DEFINED, SERIAL.hex(), slot)

    def arm(self, permit: Permit, actions: object) -> AbstractContextManager[None]:
        @contextmanager
        def armed() -> Iterator[None]:
            self.allowed = list(actions)  # type: ignore[call-overload]
            yield

        return armed()

    def check(self, call: RpcCall) -> None:
        if call not in self.allowed:
            raise GuardRefusal(f"{call.method} is not armed")
        self.allowed.remove(call)


def make(world: World, memory: Memory, image: Image = CURRENT, name: str = "edukit") -> Bench:
    uart = Uart(world, name)
    chip = Chip(PROFILE, memory, now=lambda: world.now)
    chip.power_on()
    firmware = EduKitFirmware(
        world,
        mac="02:e0:7e:00:60:36",
        uart=uart,
        lines=Lines(21, 22, [chip]),
        costs=load_costs("esp32-240mhz"),
        root=CA.root,
        image=image,
    )
    serialport.register(name, "board", uart)
    board = EspIdfBoard(
        serialport.open_port(f"emu://{name}/board", clock=world),
        pins=image.pins if image.init_takes_pins else None,
    )
    return Bench(world, board, firmware, chip, uart)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with World() as world:
        made = make(world, trust_go(PROFILE, SERIAL))
        yield made
        made.firmware.power_off()
        made.board.close()
        serialport.unregister("edukit")


def test_power_on_leads_through_the_boot_log_to_a_prompt(bench: Bench) -> None:
    bench.firmware.power_on()
    assert bench.board.wait_for_console() == "v1.2.0"
    (boot,) = bench.board.boots
    assert str(boot.reset) == "power-on (rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT))"
    assert b"".join(e.data for e in bench.board.console.transcript.entries).endswith(b"v1.2.0\n\n>>\n")


def test_an_announced_start_is_told_from_one_that_nobody_expected(bench: Bench) -> None:
    bench.board.expect_boot()
    bench.firmware.power_on()
    boot = bench.board.wait_for_boot()
    assert boot.reset.kind == "power-on"
    assert not bench.board.unexpected_boots
    bench.firmware.power_off()
    bench.firmware.power_on()
    bench.board.wait_for_console()
    assert len(bench.board.boots) == 2
    assert bench.board.unexpected_boots == bench.board.boots[1:]


def test_a_board_without_power_is_silent_until_the_deadline(bench: Bench) -> None:
    bench.board.expect_boot()
    with pytest.raises(DeviceTimeout, match="nothing arrived"):
        bench.board.wait_for_boot(timeout_us=3_000_000)
    assert bench.world.now == 3_000_000


def test_the_element_is_named_by_its_address_and_its_serial_number_is_read(bench: Bench) -> None:
    bench.start()
    assert bench.board.init(locks=LOCKED) == "Trust&Go"
    info = bench.board.chip_info()
    assert info.serial == SERIAL
    assert info.revision == bytes.fromhex("00006003")


def test_the_trust_and_go_chain_is_good_and_for_the_key_in_slot_0(bench: Bench) -> None:
    bench.opened()
    chain = bench.board.trust_chain()
    report = verify_chain(
        chain.device,
        chain.signer,
        chain.root,
        at=1.75e9,
        slot_key=bench.board.public_key(0),
        anchors=[synthetic_anchor(CA)],
    )
    assert report.ok, str(report)
    issuer = load(chain.device).issuer
    assert str(issuer) == "O = Microchip Technology Inc, CN = Crypto Authentication Signer 2A00"


def test_five_slots_give_five_keys_and_a_request_is_signed_by_slot_0(bench: Bench) -> None:
    bench.opened()
    keys = [bench.board.public_key(slot) for slot in range(5)]
    assert len(set(keys)) == 5
    assert keys[0] in base64.b64decode("".join(bench.board.signing_request().split("\n")[1:-2]))


def test_a_slot_without_a_private_key_is_refused_with_the_librarys_code(bench: Bench) -> None:
    bench.opened()
    with pytest.raises(RpcError) as caught:
        bench.board.public_key(8)
    assert caught.value.code == 0xF4


# -- init locks ---------------------------------------------------------------------------------


def test_init_is_refused_before_a_byte_when_the_locks_are_unknown_or_open(bench: Bench) -> None:
    bench.start()
    sent = [e for e in bench.board.console.transcript.entries if e.kind == "sent"]
    for locks in (None, LockState(True, False, frozenset()), LockState(False, False, frozenset())):
        with pytest.raises(GuardRefusal, match="nothing was sent"):
            bench.board.init(locks=locks)
    with pytest.raises(GuardRefusal):
        bench.board.command("init", 21, 22)
    assert [e for e in bench.board.console.transcript.entries if e.kind == "sent"] == sent
    assert not bench.chip.log


def test_the_firmware_locks_a_blank_part_on_init_without_a_word_of_warning() -> None:
    guard = TestGuard()
    with World() as world:
        bench = make(world, Memory.blank(PROFILE, reserved_serial(7)), name="blank")
        bench.board.before_send = guard.check
        bench.start()
        assert not bench.chip.memory.config_locked
        assert bench.board.init(permit=guard.permit()) == "TrustCustom"
        assert bench.chip.memory.config_locked
        assert bench.chip.memory.data_locked
        serialport.unregister("blank")


def test_init_with_swapped_pins_fails_with_a_reason(bench: Bench) -> None:
    bench.start()
    bench.board._pins = (22, 21)
    with pytest.raises(RpcError, match="Initilization of ATECC failed"):
        bench.board.init(locks=LOCKED)


def test_edukit_era_firmware_wants_no_handshake_and_no_pins() -> None:
    with World() as world:
        bench = make(world, trust_go(PROFILE, SERIAL), EDUKIT_ERA, name="old")
        bench.firmware.power_on()
        assert bench.board.wait_for_console() == ""
        assert bench.board.init(locks=LOCKED) == "Trust&Go"
        serialport.unregister("old")


# -- the dialogue -------------------------------------------------------------------------------


def test_without_the_handshake_the_firmware_gives_up(bench: Bench) -> None:
    bench.firmware.power_on()
    bench.board.console.expect("Command line: >>", timeout_us=5_000_000, partial=True)
    bench.board.console.write(b"vursion")
    bench.board.console.expect("Failed to initialize ECU console interface", timeout_us=5_000_000)
    with pytest.raises(DeviceTimeout):
        bench.board.attach()


def test_a_running_console_is_attached_to_by_an_empty_line(bench: Bench) -> None:
    bench.start()
    bench.board.attach()
    bench.board.init(locks=LOCKED)


PRECONDITIONS: list[tuple[list[str], str, bool]] = [
    ([], "generate-csr", False),
    (["init"], "generate-csr", True),
    (["init"], "get-tngtls-device-cert", False),
    (["init", "get-tngtls-signer-cert"], "get-tngtls-device-cert", True),
    (["init", "get-tngtls-signer-cert", "generate-pubkey 0"], "get-tngtls-device-cert", False),
    (["init", "get-tngtls-signer-cert", "print-chip-info"], "get-tngtls-device-cert", True),
]


@pytest.mark.parametrize(("before", "command", "runs"), PRECONDITIONS)
def test_preconditions_are_a_rank_and_not_a_history(
    bench: Bench, before: list[str], command: str, runs: bool
) -> None:
    bench.start()
    for step in before:
        if step == "init":
            bench.board.init(locks=LOCKED)
        else:
            bench.board.command(*step.split()).require()
    reply = bench.board.command(command)
    assert (reply.success is True) == runs
    if not runs:
        assert reply.success is None
        with pytest.raises(RpcError):
            reply.require()


def test_an_unknown_command_prompts_without_a_status(bench: Bench) -> None:
    bench.start()
    with pytest.raises(GuardRefusal, match="bogus refused: what it does is not known"):
        bench.board.command("bogus")
    bench.board.before_send = lambda call: None
    with pytest.raises(DeviceError, match="without a Status line"):
        bench.board.command("bogus").require()


def test_wrong_usage_is_named(bench: Bench) -> None:
    bench.opened()
    with pytest.raises(RpcError, match="Invalid Usage"):
        bench.board.command("generate-pubkey").require()


def test_line_ends_are_those_of_driver_and_stdio(bench: Bench) -> None:
    bench.opened()
    mark = bench.board.console.mark()
    bench.board.chip_info()
    raw = b"".join(e.data for e in bench.board.console.transcript.entries_since(mark) if e.kind == "text")
    assert b" Serial Number:\r\n01 23 " in raw
    assert raw.endswith(b"35 01 \n>>\n")


def test_unread_second_stage_bytes_become_typed_text(bench: Bench) -> None:
    bench.opened()
    reply = bench.board.command("get-tngtls-root-cert", "x", second_stage=b"junk")
    assert reply.success is False
    bench.board.console.write(b"\r")
    bench.board.console.drain()
    bench.world.run_for(100_000)
    bench.board.console.drain()
    assert b"junk\x00\r\n" in b"".join(
        e.data for e in bench.board.console.transcript.entries if e.kind == "text"
    )


# -- faults -------------------------------------------------------------------------------------


def test_a_lost_status_line_is_an_error_and_not_a_success(bench: Bench) -> None:
    bench.opened()
    bench.firmware.mute_status = 1
    with pytest.raises(DeviceError, match="without a Status line"):
        bench.board.chip_info()
    bench.board.chip_info()


def test_a_truncated_certificate_is_noticed(bench: Bench) -> None:
    bench.opened()
    bench.firmware.cut_payload = 200
    with pytest.raises(FrameError, match="root certificate: expected 620 bytes"):
        bench.board.trust_chain()


def test_a_board_that_loses_power_in_a_command_is_silent_until_the_deadline(bench: Bench) -> None:
    bench.opened()
    bench.world.after(20_000, bench.firmware.power_off, "power goes")
    before = bench.world.now
    with pytest.raises(DeviceTimeout, match=r"no prompt within 10\.000 s"):
        bench.board.public_key(0)
    assert bench.world.now - before == 10_000_000


def test_a_board_that_restarts_in_a_command_is_named_so(bench: Bench) -> None:
    bench.opened()
    bench.world.after(20_000, bench.firmware.power_off, "power goes")
    bench.world.after(30_000, bench.firmware.power_on, "power comes")
    with pytest.raises(UnexpectedReboot, match="power-on"):
        bench.board.public_key(0)


def test_a_garbled_line_is_noticed_by_its_echo(bench: Bench) -> None:
    bench.opened()
    host_write = bench.uart.host_write
    bench.uart.host_write = lambda data: host_write(data.replace(b"chip", b"chap"))  # type: ignore[method-assign]
    with pytest.raises(FrameError, match="echoed"):
        bench.board.chip_info()


def test_a_chip_of_an_unknown_revision_is_not_named_but_read() -> None:
    newer = load_profile("atecc608-next")
    with World() as world:
        bench = make(world, trust_go(newer, SERIAL), name="next")
        bench.chip.profile = newer
        bench.chip.engine.profile = newer
        bench.opened()
        revision = bench.board.chip_info().revision
        assert revision == newer.revision_bytes
        text = b"".join(e.data for e in bench.board.console.transcript.entries)
        assert b"Since the last byte" not in text
        serialport.unregister("next")


def test_the_same_start_gives_the_same_timeline() -> None:
    def run() -> list[object]:
        with World() as world:
            made = make(world, trust_go(PROFILE, SERIAL), name="twice")
            made.opened()
            made.board.trust_chain()
            serialport.unregister("twice")
            return list(made.firmware.timeline)

    first = run()
    assert first == run()
    assert len(first) > 4


# -- commands that change the element -----------------------------------------------------------


def with_guard(bench: Bench, act: Callable[[TestGuard], None]) -> None:
    guard = TestGuard()
    bench.board.before_send = guard.check
    act(guard)


def test_generate_keys_needs_a_permit_and_replaces_the_key(bench: Bench) -> None:
    bench.opened()
    before = bench.board.public_key(2)
    with pytest.raises(GuardRefusal):
        bench.board.command("generate-keys", 2)

    def act(guard: TestGuard) -> None:
        made = generate_keys(bench.board, 2, guard.permit(2))
        assert made != before
        assert bench.board.public_key(2) == made

    with_guard(bench, act)


def test_generate_keys_on_a_permanent_slot_is_refused_by_the_element(bench: Bench) -> None:
    bench.opened()

    def act(guard: TestGuard) -> None:
        with pytest.raises(RpcError, match="Error in generating keys, returned f4"):
            generate_keys(bench.board, 0, guard.permit(0))

    with_guard(bench, act)


def definition(signer_id_at: int) -> bytes:
    places = [0] * 18
    places[8], places[9] = signer_id_at, 4
    return "".join(f"{n:04d}" for n in places).encode() + b"3000"


def writable(slot: int) -> Memory:
    """A Trust part whose certificate slots may still be written and locked, as TrustCustom parts are."""
    memory = trust_go(PROFILE, reserved_serial(9, trust=True))
    for each in (slot, 11):
        memory.set_config(20 + 2 * each, bytes.fromhex("0f0f"))
        memory.set_config(96 + 2 * each, bytes.fromhex("3c00"))
    return memory


@pytest.mark.parametrize("lock", [False, True])
def test_a_device_certificate_is_compressed_into_slot_10(lock: bool) -> None:
    guard = TestGuard()
    with World() as world:
        bench = make(world, writable(10), name="program")
        bench.board.before_send = guard.check
        bench.opened()
        _, certificate = CA.device(
            bench.chip.memory.serial, bench.board.public_key(0), template=2, signer_id="2B00"
        )
        bench.board.signing_request()
        at = certificate.index(b"2B00")
        bench.board.command("provide-cert-def", 0, second_stage=definition(at)).require()
        program_certificate(bench.board, 10, pem(certificate), guard.permit(10), lock=lock)
        written = Compressed.decode(bench.chip.memory.slot(10))
        assert (written.signer_id.hex(), written.template) == ("2b00", 2)
        assert bench.chip.memory.slot_open(10) is not lock
        serialport.unregister("program")


def test_a_wrong_checksum_is_a_failure_and_nothing_is_written(bench: Bench) -> None:
    bench.opened()
    bench.board.signing_request()
    content = bench.chip.memory.slot(10)
    _, certificate = CA.device(SERIAL, bench.board.public_key(0), template=2)
    text = pem(certificate).encode()
    bench.board.before_send = lambda call: None
    reply = bench.board.command("program-dev-cert", 0, zlib.crc32(text) ^ 1, second_stage=text)
    assert reply.success is False
    assert any("CRC32 mismatch!" in line.message for line in reply.log)
    assert bench.chip.memory.slot(10) == content
