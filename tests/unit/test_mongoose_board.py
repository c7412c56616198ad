from __future__ import annotations

import base64
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from hil import serialport
from hil.board import irreversible
from hil.board.mongoose import MongooseBoard
from hil.board.rpcserial import Pacing
from hil.clock import World
from hil.emulator.uart import Uart
from hil.errors import (
    DeviceTimeout,
    FrameError,
    GuardRefusal,
    I2CError,
    I2CNack,
    RpcError,
    UnexpectedReboot,
    UsageError,
)
from hil.guard.operations import Operation
from hil.guard.permit import RpcCall, issue
from hil.guard.roads import rpc_call
from hil.i2c.mongoose import MongooseI2C
from hil.wire.mgrpc import (
    HANDSHAKE,
    XOFF,
    XON,
    DeviceReceiver,
    Frame,
    Handshake,
    decode_request,
    decode_value,
    encode_error,
    encode_frame,
    encode_request,
    encode_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from hil.guard.permit import Permit

    Method = Callable[[dict[str, object]], object]

BOOT = b"Mongoose OS 2.20.0 (x)\nMAC: 5c:cf:7f:a1:b2:c3\nmgos_init:36            Init done, RAM: 1\n"


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ScriptedDevice:
    """A device on a UART that answers from a table of methods."""

    def __init__(self, uart: Uart, methods: Mapping[str, Method]) -> None:
        self.uart = uart
        self.methods = dict(methods)
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.raw = bytearray()
        self.receiver = DeviceReceiver()
        self.before_reply = b""
        self.send: Callable[[bytes], None] = uart.send
        uart.on_bytes = self.received

    def received(self, data: bytes) -> None:
        self.raw += data
        for event in self.receiver.feed(data):
            if isinstance(event, Handshake):
                self.send(event.answer)
            elif isinstance(event, Frame):
                self.answer(event.json)

    def answer(self, json: bytes) -> None:
        request = decode_request(json)
        params = decode_value(request.arguments, dict[str, object])
        self.requests.append((request.method, params))
        method = self.methods.get(request.method)
        if method is None:
            reply = encode_error(request, 404, f"No handler for {request.method}", src="esp")
        else:
            try:
                reply = encode_result(request, method(params), src="esp")
            except Refused as error:
                reply = encode_error(request, error.code, str(error), src="esp")
        self.send(self.before_reply + self.receiver.reply(reply))


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def uart(world: World) -> Iterator[Uart]:
    uart = Uart(world, "board")
    serialport.register("board-test", "board", uart)
    yield uart
    serialport.unregister("board-test")


@pytest.fixture
def device(uart: Uart) -> ScriptedDevice:
    return ScriptedDevice(uart, {})


@pytest.fixture
def board(device: ScriptedDevice, world: World) -> MongooseBoard:
    """Nothing hangs on the scripted board that could be spoilt: its calls pass without a guard."""
    board = MongooseBoard(serialport.open_port("emu://board-test/board", clock=world))
    board.rpc.before_send = lambda method, params: None
    return board


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ATCA.GenKey", {"slot": 0}),
        ("ATCA.LockZone", {"zone": 1}),
        ("ATCA.Sign", {"slot": 0}),
        ("I2C.Write", {"addr": 0x60, "data_hex": "030717800000398d"}),
        ("I2C.Write", {"addr": 0x60, "data_hex": "0307"}),
        ("I2C.WriteRegB", {"addr": 0x60, "reg": 3, "value": 7}),
        ("Config.Set", {"config": {"sys": {"atca": {"ecdh_slots_mask": 1}}}}),
    ],
)
def test_without_a_guard_nothing_is_sent_that_would_need_a_permit(
    device: ScriptedDevice, world: World, method: str, params: dict[str, Any]
) -> None:
    board = MongooseBoard(serialport.open_port("emu://board-test/board", clock=world))
    with pytest.raises(GuardRefusal, match="no guard watches|fragment"):
        board.rpc.call(method, params)
    assert bytes(device.raw) == b""


def test_without_a_guard_what_is_harmless_passes(device: ScriptedDevice, world: World) -> None:
    device.methods["I2C.Write"] = lambda params: None
    board = MongooseBoard(serialport.open_port("emu://board-test/board", clock=world))
    board.i2c_write(0x60, bytes.fromhex("030730000000035d"))  # Info
    assert dict(device.requests)["I2C.Write"]["data_hex"] == "030730000000035d"


def test_the_exchange_on_the_wire_is_handshake_then_frames(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    device.methods["I2C.Scan"] = lambda params: [96]
    assert board.i2c_scan() == [96]
    assert board.i2c_scan() == [96]
    ids = [1 << 40, (1 << 40) + 1]
    frames = [encode_frame(encode_request(number, "I2C.Scan")) for number in ids]
    assert bytes(device.raw) == b'"""\x04"""\n\n' + frames[0] + frames[1]


def test_log_lines_around_a_reply_are_kept_and_do_not_disturb(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    device.methods["RPC.Ping"] = lambda params: {"channel_info": "UART0"}
    device.before_reply = b'log {"id": 1}\n{"x": not json}\n{"id":2,"result":5}\n'
    board.ping()
    assert 'log {"id": 1}' in [line.text for line in board.console.transcript.lines]


def test_an_error_reply_is_an_rpc_error(board: MongooseBoard) -> None:
    with pytest.raises(RpcError, match=r"ATCA.GetConfig: error 404: No handler") as caught:
        board.atca_get_config()
    assert (caught.value.method, caught.value.code) == ("ATCA.GetConfig", 404)


def test_a_silent_device_times_out_exactly_and_names_the_handshake(world: World, uart: Uart) -> None:
    board = MongooseBoard(serialport.open_port("emu://board-test/board", clock=world))
    with pytest.raises(DeviceTimeout, match=r"RPC handshake within 2\.000 s; nothing arrived"):
        board.rpc.call("RPC.Ping", timeout_us=2_000_000)
    assert world.now == 2_000_000


def test_the_handshake_is_repeated_until_the_firmware_is_up(
    board: MongooseBoard, device: ScriptedDevice, world: World, uart: Uart
) -> None:
    device.methods["RPC.Ping"] = lambda params: None
    uart.on_bytes = lambda data: None
    world.at(500_000, lambda: setattr(uart, "on_bytes", device.received), "firmware up")
    board.ping()
    assert 600_000 < world.now < 700_000


def test_a_missing_reply_times_out_and_a_late_one_is_not_taken_for_the_next(
    board: MongooseBoard, device: ScriptedDevice, world: World, uart: Uart
) -> None:
    device.methods |= {"Slow": lambda params: "late", "Fast": lambda params: "right"}
    board.rpc.channel.prepare(5_000_000)
    delayed: list[bytes] = []
    send, device.send = device.send, delayed.append
    with pytest.raises(DeviceTimeout, match=r"Slow: no reply within 1\.000 s"):
        board.rpc.call("Slow", timeout_us=1_000_000)
    device.send = send
    send(delayed[0])
    assert board.rpc.call("Fast") == "right"


def test_a_stale_reply_between_request_and_reply_is_skipped(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    device.methods["Sys.Uptime"] = lambda params: "right"
    device.before_reply = encode_frame(b'{"id":7,"src":"esp","dst":"hil","result":"stale"}')
    assert board.rpc.call("Sys.Uptime") == "right"


def test_after_a_timeout_the_next_call_begins_with_a_handshake(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    device.methods["RPC.Ping"] = lambda params: None
    board.ping()
    board.ping()
    assert device.raw.count(HANDSHAKE) == 1
    device.send = lambda data: None
    with pytest.raises(DeviceTimeout):
        board.ping()
    device.send = device.uart.send
    board.ping()
    assert device.raw.count(HANDSHAKE) == 2


def test_only_one_call_can_be_in_flight(board: MongooseBoard, device: ScriptedDevice) -> None:
    device.methods["RPC.Ping"] = lambda params: None
    device.before_reply = b"a line\n"
    errors: list[str] = []

    def nested(line: object) -> None:
        with pytest.raises(UsageError) as caught:
            board.ping()
        errors.append(str(caught.value))

    board.console.on_line.append(nested)
    board.ping()
    assert len(errors) == 1
    assert "in flight" in errors[0]


def test_the_guards_hook_refuses_before_a_byte_is_sent(board: MongooseBoard, device: ScriptedDevice) -> None:
    seen: list[tuple[str, dict[str, object]]] = []

    def refuse(method: str, params: Mapping[str, object]) -> None:
        seen.append((method, dict(params)))
        raise GuardRefusal("no permit")

    board.rpc.before_send = refuse
    with pytest.raises(GuardRefusal):
        board.i2c_write(96, b"\x03\x07")
    assert seen == [("I2C.Write", {"bus": 0, "addr": 96, "data_hex": "0307"})]
    assert device.raw == b""


def test_long_requests_are_chunked_and_wait_for_xon(device: ScriptedDevice, world: World, uart: Uart) -> None:
    device.methods["FS.Put"] = lambda params: None
    board = MongooseBoard(
        serialport.open_port("emu://board-test/board", clock=world), pacing=Pacing(chunk=64, gap_us=2_000)
    )
    board.rpc.channel.prepare(5_000_000)
    chunks: list[tuple[int, int]] = []
    receive = device.received

    def received(data: bytes) -> None:
        chunks.append((world.now, len(data)))
        if len(chunks) == 1:
            uart.send(XOFF)
            world.after(1_000_000, lambda: uart.send(XON), "room again")
        receive(data)

    uart.on_bytes = received
    board.fs_put("a.txt", b"x" * 100)
    assert max(length for _, length in chunks) == 64
    assert chunks[1][0] - chunks[0][0] > 1_000_000
    assert device.requests == [
        ("FS.Put", {"filename": "a.txt", "offset": 0, "append": False, "data": "eHh4" * 33 + "eA=="})
    ]


def test_a_device_that_never_says_xon_is_a_timeout(device: ScriptedDevice, world: World, uart: Uart) -> None:
    board = MongooseBoard(serialport.open_port("emu://board-test/board", clock=world))
    board.rpc.channel.prepare(5_000_000)
    uart.on_bytes = lambda data: uart.send(XOFF)
    with pytest.raises(DeviceTimeout, match="XOFF"):
        board.fs_put("a.txt", b"x" * 400)


# -- typed calls --------------------------------------------------------------------------------


def test_system_info_has_types(board: MongooseBoard, device: ScriptedDevice) -> None:
    device.methods["Sys.GetInfo"] = lambda params: {
        "id": "esp8266_A1B2C3",
        "mac": "5CCF7FA1B2C3",
        "uptime": 12,
        "wifi": {"status": "got ip", "sta_ip": "10.0.0.2"},
        "later_field": 1,
    }
    info = board.sys_get_info()
    assert (info.id, info.mac_address, info.uptime) == ("esp8266_A1B2C3", "5c:cf:7f:a1:b2:c3", 12)
    assert info.wifi is not None
    assert info.wifi.sta_ip == "10.0.0.2"


def test_a_result_of_another_shape_is_a_frame_error(board: MongooseBoard, device: ScriptedDevice) -> None:
    device.methods["I2C.Scan"] = lambda params: {"not": "a list"}
    with pytest.raises(FrameError, match=r"I2C\.Scan"):
        board.i2c_scan()


def test_files_go_and_come_in_chunks(board: MongooseBoard, device: ScriptedDevice) -> None:
    files: dict[str, bytes] = {}

    def put(params: dict[str, object]) -> None:
        name = str(params["filename"])
        assert params["append"] is (params["offset"] != 0)
        old = files.get(name, b"") if params["append"] else b""
        files[name] = old + base64.b64decode(str(params["data"]))

    def get(params: dict[str, object]) -> dict[str, object]:
        offset, length = int(str(params["offset"])), int(str(params["len"]))
        content = files[str(params["filename"])]
        data = content[offset : offset + length]
        return {"data": base64.b64encode(data).decode(), "left": len(content) - offset - len(data)}

    device.methods |= {"FS.Put": put, "FS.Get": get, "FS.List": lambda params: sorted(files, reverse=True)}
    content = bytes(range(256)) * 5
    board.fs_put("b.bin", content)
    board.fs_put("a.bin", b"")
    assert files == {"b.bin": content, "a.bin": b""}
    assert board.fs_get("b.bin") == content
    assert board.fs_get("a.bin") == b""
    assert board.fs_list() == ["a.bin", "b.bin"]
    assert [m for m, _ in device.requests].count("FS.Put") == 4


def test_setting_the_configuration_saves_it_with_old_firmware_too(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    device.methods |= {"Config.Set": lambda params: {"saved": True}, "Config.Save": lambda params: None}
    board.config_set({"i2c": {"enable": True}})
    assert device.requests == [
        ("Config.Set", {"config": {"i2c": {"enable": True}}, "save": True, "reboot": False})
    ]
    device.methods["Config.Set"] = lambda params: None
    board.config_set({"i2c": {"enable": True}})
    assert device.requests[-1] == ("Config.Save", {"try_once": False, "reboot": False})


def test_element_calls_carry_base64(board: MongooseBoard, device: ScriptedDevice) -> None:
    blob = base64.b64encode(bytes(128)).decode()
    device.methods |= {
        "ATCA.GetConfig": lambda params: {"config": blob},
        "ATCA.GetPubKey": lambda params: {"pubkey": blob},
        "ATCA.Sign": lambda params: {"signature": params["digest"]},
    }
    assert board.atca_get_config() == bytes(128)
    assert board.atca_public_key(0) == bytes(128)
    assert board.atca_sign(0, b"\x01" * 32) == b"\x01" * 32


# -- the bus behind the firmware ----------------------------------------------------------------


def test_the_bus_reads_writes_and_turns_503_into_a_nack(board: MongooseBoard, device: ScriptedDevice) -> None:
    def write(params: dict[str, object]) -> None:
        if params["addr"] != 96:
            raise Refused(503, "I2C write failed")

    device.methods |= {"I2C.Write": write, "I2C.Read": lambda params: {"data_hex": "04113343"}}
    bus = MongooseI2C(board.rpc)
    bus.write(96, b"\x03\x07")
    assert bus.read(96, 4) == bytes.fromhex("04113343")
    bus.wake_pulse()
    with pytest.raises(I2CNack) as caught:
        bus.write(53, b"")
    assert caught.value.address == 53
    assert bus.physical is False
    assert [p["data_hex"] for m, p in device.requests if m == "I2C.Write"] == ["0307", "00", ""]


def test_a_disabled_bus_a_short_read_and_bad_hex_are_told_apart(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    bus = MongooseI2C(board.rpc)

    def disabled(params: dict[str, object]) -> object:
        raise Refused(503, "I2C is disabled")

    device.methods["I2C.Read"] = disabled
    with pytest.raises(I2CError, match="I2C is disabled") as caught:
        bus.read(96, 4)
    assert not isinstance(caught.value, I2CNack)
    device.methods["I2C.Read"] = lambda params: {"data_hex": "0411"}
    with pytest.raises(I2CError, match="2 bytes instead of 4"):
        bus.read(96, 4)
    device.methods["I2C.Read"] = lambda params: {"data_hex": "xx"}
    with pytest.raises(FrameError):
        bus.read(96, 4)
    with pytest.raises(RpcError, match="404"):
        bus.wake_pulse()


# -- starts -------------------------------------------------------------------------------------


def test_an_announced_boot_is_waited_for(board: MongooseBoard, uart: Uart, world: World) -> None:
    board.expect_boot()
    world.at(100_000, lambda: uart.send(BOOT), "boot")
    boot = board.wait_for_boot(timeout_us=5_000_000)
    assert boot.mac == "5c:cf:7f:a1:b2:c3"
    assert board.boots == (boot,)
    assert board.unexpected_boots == ()


def test_a_board_that_stays_silent_or_stops_half_way_is_told_apart(
    board: MongooseBoard, uart: Uart, world: World
) -> None:
    board.expect_boot()
    with pytest.raises(DeviceTimeout, match=r"the console stayed silent within 1\.000 s"):
        board.wait_for_boot(timeout_us=1_000_000)
    uart.send(BOOT[:40])
    with pytest.raises(DeviceTimeout, match=r"stopped after \['firmware'\]"):
        board.wait_for_boot(timeout_us=1_000_000)


def test_a_reboot_waits_for_the_next_start(
    board: MongooseBoard, device: ScriptedDevice, world: World
) -> None:
    def reboot(params: dict[str, object]) -> None:
        world.after(100_000, lambda: device.uart.send(BOOT), "boot")

    device.methods["Sys.Reboot"] = reboot
    assert board.reboot().done
    assert board.reboot().done
    assert len(board.boots) == 2


def test_a_restart_during_a_call_is_an_unexpected_reboot_with_its_cause(
    board: MongooseBoard, device: ScriptedDevice, uart: Uart
) -> None:
    board.rpc.channel.prepare(5_000_000)
    uart.on_bytes = lambda data: uart.send(b"ets Jan  8 2013,rst cause:4, boot mode:(3,6)\n" + BOOT)
    with pytest.raises(UnexpectedReboot, match="watchdog"):
        board.rpc.call("ATCA.Sign")
    assert len(board.unexpected_boots) == 1
    device.methods["RPC.Ping"] = lambda params: None
    uart.on_bytes = device.received
    board.ping()


# -- irreversible calls -------------------------------------------------------------------------


class Issuer:
    """Records what a permit was armed with."""

    def __init__(self) -> None:
        self.armed: list[object] = []

    def arm(self, permit: Permit, actions: Sequence[object]) -> AbstractContextManager[None]:
        self.armed += actions
        return nullcontext()


def test_irreversible_calls_arm_their_permit_with_the_very_call(
    board: MongooseBoard, device: ScriptedDevice
) -> None:
    issuer = Issuer()
    permit = issue(issuer, Operation.GENERATE_KEY, "0123e07e0000000000", 1)
    device.methods |= {
        "ATCA.GenKey": lambda params: {"pubkey": base64.b64encode(bytes(64)).decode()},
        "ATCA.LockZone": lambda params: None,
        "ATCA.SetConfig": lambda params: None,
        "ATCA.SetKey": lambda params: None,
    }
    assert irreversible.atca_generate_key(board, 1, permit) == bytes(64)
    irreversible.atca_lock_zone(board, "data", permit)
    irreversible.atca_set_config(board, bytes(128), permit)
    irreversible.atca_set_key(
        board, 0, b"\x01" * 32, permit, private=True, write_key=bytes(32), write_key_slot=4
    )
    assert issuer.armed == [
        RpcCall("ATCA.GenKey", 1),
        RpcCall("ATCA.LockZone"),
        RpcCall("ATCA.SetConfig"),
        rpc_call(
            "ATCA.SetKey", {"slot": 0, "ecc": True, "key": b"\x01" * 32, "wkey": bytes(32), "wkslot": 4}
        ),
    ]
    zone = dict(device.requests)["ATCA.LockZone"]
    assert zone == {"zone": 1}
    assert dict(device.requests)["ATCA.SetKey"]["wkslot"] == 4


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_never_leaves(
    board: MongooseBoard, device: ScriptedDevice, length: int
) -> None:
    issuer = Issuer()
    permit = issue(issuer, Operation.WRITE_PRIVATE_KEY, "0123e07e0000000000", 0)
    with pytest.raises(UsageError):
        irreversible.atca_set_key(board, 0, bytes(length), permit, private=True)
    with pytest.raises(UsageError):
        irreversible.atca_set_config(board, bytes(length), permit)
    assert (issuer.armed, bytes(device.raw)) == ([], b"")
