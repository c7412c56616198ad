from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hil.clock import World
from hil.emulator.boards.mongoose_rpc import Args
from hil.errors import RpcError
from hil.wire.atecc import Command, Opcode, encode_response
from hil.wire.mgrpc import HANDSHAKE, HANDSHAKE_ANSWER, crc_field, decode_response
from tests.unit.firmware_bench import ATCA, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def board() -> Iterator[Bench]:
    with World() as world:
        made = bench(world)
        made.on()
        yield made


def refusal(board: Bench, method: str, params: object = None) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        board.call(method, params)
    return caught.value.code, caught.value.text


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"5", 5),
        (b"5.9", 5),
        (b'"7"', 7),
        (b'"x"', -1),
        (b'"+-5"', -1),
        (b"true", -1),
        (b"null", -1),
        (b"[]", -1),
    ],
)
def test_integers_are_read_as_json_scanf_does(text: bytes, value: int) -> None:
    assert Args(b'{"n":' + text + b"}").integer("n", -1) == value


@pytest.mark.parametrize("text", [b"[1]", b"null", b'"x"', b"", b"{", b"[" * 2000, b"1e999"])
def test_parameters_that_are_no_object_count_as_none_given(text: bytes) -> None:
    assert Args(text).integer("n", 3) == 3


@pytest.mark.parametrize(
    ("text", "data"), [("dGVzdA==", b"test"), ("dGVz!dA==", b"tes"), ("d", b""), ("====", b"")]
)
def test_base64_is_cut_at_what_is_none(text: str, data: bytes) -> None:
    assert Args(json.dumps({"v": text}).encode()).base64("v") == data


# -- frames ------------------------------------------------------------------------------------


def test_reply_carries_source_destination_and_tag(board: Bench) -> None:
    board.send(b'{"src":"mos","id":"x1","tag":"t","method":"RPC.Ping"}')
    board.run(100_000)
    reply = decode_response(board.replies[0])
    assert (reply.id, reply.src, reply.dst, reply.tag) == ("x1", "esp8266_A1B2C3", "mos", "t")


def test_handshake_of_mos_is_answered_and_a_reply_has_quotes_and_checksum(board: Bench) -> None:
    board.uart.host_write(HANDSHAKE)
    board.world.run_for(10_000)
    assert HANDSHAKE_ANSWER in board.uart.received
    board.uart.received.clear()
    board.send(b'{"id":7,"method":"I2C.Scan"}')
    board.world.run_for(200_000)
    reply = b'{"id":7,"src":"esp8266_A1B2C3","result":[96]}'
    assert bytes(board.uart.received).endswith(b'\n"""' + reply + crc_field(reply) + b'"""\n')


def test_request_without_id_runs_and_is_not_answered(board: Bench) -> None:
    board.send(b'{"method":"FS.Put","params":{"filename":"f","data":"dGVzdA=="}}')
    board.run(100_000)
    assert not board.replies
    assert board.board.flash.files["f"] == b"test"


def test_frame_for_another_board_is_ignored(board: Bench) -> None:
    board.send(b'{"id":1,"dst":"esp8266_000000","method":"RPC.Ping"}')
    board.run(100_000)
    assert not board.replies
    assert board.logged("Wrong dst: 'esp8266_000000'")
    board.send(b'{"id":1,"dst":"esp8266_A1B2C3","method":"RPC.Ping"}')
    board.run(100_000)
    assert board.replies


@pytest.mark.parametrize("frame", [b'{"id":1,"method":5}', b'{"id":{},"method":"RPC.Ping"}', b"{5}"])
def test_invalid_frame_is_logged_and_dropped(board: Bench, frame: bytes) -> None:
    board.send(frame)
    board.run(100_000)
    assert not board.replies
    assert board.logged(f"INVALID FRAME ({len(frame)})")


def test_deeply_nested_frame_does_not_break_the_board(board: Bench) -> None:
    board.send(b'{"id":1,"method":"RPC.Ping","params":' + b"[" * 1900 + b"]" * 1900 + b"}")
    board.run(1_000_000)
    board.replies.clear()
    assert board.call("RPC.Ping") == {"channel_info": "UART0"}


def test_wrong_checksum_is_dropped_silently_but_logged(board: Bench) -> None:
    board.uart.host_write(b'\n"""{"id":1,"method":"RPC.Ping"}00000000"""\n')
    board.run(100_000)
    assert not board.replies
    assert board.logged("Corrupted frame")


def test_26th_queued_request_is_answered_429(board: Bench) -> None:
    for number in range(30):
        board.send(b'{"id":%d,"method":"Wifi.Scan"}' % number)
    board.run(200_000)
    replies = [decode_response(reply) for reply in board.replies]
    assert [reply.error.code for reply in replies if reply.error is not None] == [429] * 4


def test_unknown_method_is_404_in_the_firmwares_words(board: Bench) -> None:
    assert refusal(board, "Bogus.Method") == (404, "No handler for Bogus.Method")


# -- RPC and Sys -------------------------------------------------------------------------------


def test_list_names_the_last_registered_first(board: Bench) -> None:
    names = board.call("RPC.List")
    assert isinstance(names, list)
    assert names[-1] == "RPC.List"
    assert names.index("I2C.Scan") < names.index("Config.Get") < names.index("Sys.GetInfo")
    assert {"ATCA.SetKey", "FS.Put", "Wifi.Scan", "I2C.WriteRegW"} <= set(names)


def test_describe_tells_the_argument_format(board: Bench) -> None:
    assert board.call("RPC.Describe", {"name": "ATCA.Sign"}) == {
        "name": "ATCA.Sign",
        "args_fmt": "{slot: %d, digest: %V}",
    }
    assert refusal(board, "RPC.Describe") == (400, "name is required")
    assert refusal(board, "RPC.Describe", {"name": "Bogus"}) == (404, "name not found")


def test_get_info_tells_identity_and_memory(board: Bench) -> None:
    info = board.call("Sys.GetInfo")
    assert isinstance(info, dict)
    assert (info["id"], info["mac"], info["arch"]) == ("esp8266_A1B2C3", "5CCF7FA1B2C3", "esp8266")
    assert info["mg_version"] == "2.20.0"
    assert info["uptime"] == 2
    assert info["fs_free"] == info["fs_size"] - sum(map(len, board.board.flash.files.values()))
    assert info["wifi"] == {"sta_ip": "", "ap_ip": "192.168.4.1", "status": "disconnected", "ssid": ""}


def test_set_debug_answers_success_as_an_error_of_code_0(board: Bench) -> None:
    assert refusal(board, "Sys.SetDebug", {"level": 0}) == (0, "")
    before = len(board.log)
    board.call("FS.Put", {"filename": "f", "data": ""})
    assert not any("Receiving" in line for line in board.log[before - 1 :])
    assert refusal(board, "Sys.SetDebug", {"level": 99})[0] == 400
    assert refusal(board, "Sys.SetDebug", {"udp_log_addr": "x:1"})[0] == 501


def test_reboot_needs_a_delay_that_is_not_negative(board: Bench) -> None:
    assert refusal(board, "Sys.Reboot", {"delay_ms": -1}) == (400, "invalid delay value")


# -- Config ------------------------------------------------------------------------------------


def test_config_get_by_key_and_level(board: Bench) -> None:
    assert board.call("Config.Get", {"key": "i2c.sda_gpio"}) == 12
    assert board.call("Config.Get", {"key": "sys.atca"}) == {
        "enable": True,
        "i2c_bus": 0,
        "i2c_addr": 96,
        "ecdh_slots_mask": 12,
    }
    assert board.call("Config.Get", {"key": "sys.atca.enable", "level": 0}) is False
    whole = board.call("Config.Get")
    assert isinstance(whole, dict)
    assert {"mqtt", "aws", "i2c", "wifi", "http"} <= set(whole)
    assert refusal(board, "Config.Get", {"key": "bogus.key"}) == (404, "invalid config key")


def test_config_set_checks_its_arguments(board: Bench) -> None:
    assert refusal(board, "Config.Set") == (400, "value is required")
    assert refusal(board, "Config.Set", {"config": {}, "level": 0}) == (400, "not allowed")
    assert refusal(board, "Config.Set", {"key": "bogus", "value": 1}) == (404, "invalid config key")
    message = "invalid config value: [i2c.freq] is not a number"
    assert refusal(board, "Config.Set", {"config": {"i2c": {"freq": "x"}}}) == (400, message)


def test_config_set_without_save_holds_until_the_next_boot(board: Bench) -> None:
    assert board.call("Config.Set", {"key": "mqtt.server", "value": "a:1"}) == {"saved": False}
    assert board.call("Config.Get", {"key": "mqtt.server"}) == "a:1"
    assert b"a:1" not in board.board.flash.files["conf9.json"]
    assert board.call("Config.Save") == {"saved": True}
    assert b"a:1" in board.board.flash.files["conf9.json"]


def test_config_set_of_a_lower_level_does_not_touch_the_running_one(board: Bench) -> None:
    params = {"config": {"mqtt": {"server": "low:1"}}, "level": 2, "save": True}
    assert board.call("Config.Set", params) == {"saved": True}
    assert board.call("Config.Get", {"key": "mqtt.server"}) == ""
    assert board.call("Config.Get", {"key": "mqtt.server", "level": 2}) == "low:1"
    assert json.loads(board.board.flash.files["conf2.json"]) == {"mqtt": {"server": "low:1"}}


def test_full_file_system_refuses_to_save(board: Bench) -> None:
    board.board.flash.size = 10
    code, text = refusal(board, "Config.Set", {"config": {"mqtt": {"server": "x" * 200}}, "save": True})
    assert code == -1
    assert text.startswith("error saving config: ")


# -- FS ----------------------------------------------------------------------------------------


def test_a_file_goes_there_and_back_in_chunks(board: Bench) -> None:
    data = bytes(range(256)) * 5
    for at in range(0, len(data), 512):
        chunk = base64.b64encode(data[at : at + 512]).decode()
        params = {"filename": "test.bin", "offset": at, "append": at > 0, "data": chunk}
        assert board.call("FS.Put", params) is None
    got, left = b"", 1
    while left:
        reply = board.call("FS.Get", {"filename": "test.bin", "offset": len(got), "len": 500})
        assert isinstance(reply, dict)
        got += base64.b64decode(reply["data"])
        left = reply["left"]
    assert got == data
    assert board.logged("Receiving test.bin")
    assert sum("Receiving" in line for line in board.log) == 1
    assert board.logged("Sending test.bin")
    listing = board.call("FS.ListExt", {"path": "/"})
    assert isinstance(listing, list)
    assert {"name": "test.bin", "size": 1280} in listing
    assert "test.bin" in board.call("FS.List")  # type: ignore[operator]


def test_file_operations_that_fail_say_so_in_the_firmwares_words(board: Bench) -> None:
    assert refusal(board, "FS.Get") == (400, "filename is required")
    assert refusal(board, "FS.Get", {"filename": "x"}) == (400, 'failed to open file "x"')
    assert refusal(board, "FS.Get", {"filename": "conf9.json", "offset": -1}) == (400, "illegal offset")
    assert refusal(board, "FS.Put", {"filename": "x", "offset": 5}) == (400, 'failed to open file "x"')
    assert refusal(board, "FS.Remove", {"filename": "x"}) == (500, "remove failed")
    assert refusal(board, "FS.Rename", {"src": "x", "dst": "y"}) == (500, "rename failed")
    assert refusal(board, "FS.Mkfs", {}) == (400, "dev_type, fs_type is required")
    assert refusal(board, "FS.Umount", {"path": "/"}) == (500, "umount failed")


def test_remove_and_rename(board: Bench) -> None:
    board.call("FS.Put", {"filename": "a", "data": "dGVzdA=="})
    assert board.call("FS.Rename", {"src": "a", "dst": "b"}) is None
    assert board.call("FS.Remove", {"filename": "b"}) is None
    assert board.logged("Remove b -> 0")
    assert list(board.board.flash.files) == ["conf9.json"]


def test_file_that_does_not_fit_is_500_and_leaves_the_old_one(board: Bench) -> None:
    board.board.flash.size = 200
    assert refusal(board, "FS.Put", {"filename": "big", "data": "A" * 400}) == (500, "failed to write data")
    assert "big" not in board.board.flash.files


# -- I2C ---------------------------------------------------------------------------------------


def test_scan_at_100_khz_wakes_and_finds_the_sleeping_chip(board: Bench) -> None:
    assert board.call("I2C.Scan") == [96]


def test_scan_takes_one_byte_and_100_us_an_address(board: Bench) -> None:
    before = board.world.account.copy()
    board.call("I2C.Scan")
    assert board.world.account["i2c"] - before["i2c"] == 119 * 90
    assert board.world.account["i2c-gap"] == 119 * 100


def test_scan_at_400_khz_misses_the_sleeping_chip(board: Bench) -> None:
    board.call("Config.Set", {"config": {"i2c": {"freq": 400_000}}, "save": True, "reboot": True})
    board.run(4_000_000)
    assert board.call("I2C.Scan") == []


def test_raw_wake_and_info_over_rpc(board: Bench) -> None:
    assert refusal(board, "I2C.Write", {"addr": 0, "data_hex": "00"}) == (503, "I2C write failed")
    assert board.call("I2C.Read", {"addr": 96, "len": 4}) == {"data_hex": "04113343"}
    info = b"\x03" + Command(Opcode.INFO).encode()
    assert board.call("I2C.Write", {"addr": 96, "data_hex": info.hex()}) is None
    assert board.call("I2C.Read", {"addr": 96, "len": 7}) == {
        "data_hex": encode_response(bytes.fromhex("00005000")).hex()
    }


def test_i2c_arguments_are_checked_first(board: Bench) -> None:
    assert refusal(board, "I2C.Read", {"addr": 96}) == (400, "addr and len are required")
    assert refusal(board, "I2C.Read", {"addr": 96, "len": 5000}) == (500, "malloc failed")
    assert refusal(board, "I2C.Read", {"addr": 0x55, "len": 1}) == (503, "I2C read failed")
    assert refusal(board, "I2C.Read", {"addr": 200, "len": 1}) == (503, "I2C read failed")
    assert refusal(board, "I2C.Write", {"addr": 96}) == (400, "addr and data_hex are required")
    assert refusal(board, "I2C.Write", {"addr": 96, "data_hex": "zz"})[0] == 400
    assert refusal(board, "I2C.ReadRegB", {"addr": 1, "reg": 1}) == (503, "error reading value")
    assert refusal(board, "I2C.ReadRegW", {"addr": 1}) == (400, "addr and reg are required")
    assert refusal(board, "I2C.WriteRegB", {"addr": 1, "reg": 1, "value": 1}) == (503, "error writing value")
    assert refusal(board, "I2C.WriteRegW", {"addr": 1, "reg": 1})[0] == 400
    assert refusal(board, "I2C.Scan", {"bus": 1}) == (503, "I2C is disabled")


class Register:
    """A device with 16-bit registers at 0x40."""

    def __init__(self) -> None:
        self.values = {3: 0x1234}
        self.at = 0

    def sda_low(self, us: int) -> None:
        pass

    def acknowledges(self, address: int, read: bool) -> bool:
        return address == 0x40

    def deaf_until(self, address: int) -> int:
        return 0

    def written(self, data: bytes) -> int:
        if data:
            self.at = data[0]
        if len(data) > 1:
            self.values[self.at] = int.from_bytes(data[1:], "big")
        return len(data)

    def read(self, length: int) -> bytes:
        return self.values[self.at].to_bytes(2, "big")[:length]


def test_registers_are_big_endian_and_other_devices_are_found(board: Bench) -> None:
    board.lines.devices.append(Register())
    assert board.call("I2C.Scan") == [0x40, 96]
    assert board.call("I2C.ReadRegB", {"addr": 0x40, "reg": 3}) == {"value": 0x12}
    assert board.call("I2C.ReadRegW", {"addr": 0x40, "reg": 3}) == {"value": 0x1234}
    assert board.call("I2C.WriteRegW", {"addr": 0x40, "reg": 4, "value": 0xBEEF}) is None
    assert board.call("I2C.ReadRegW", {"addr": 0x40, "reg": 4}) == {"value": 0xBEEF}
    assert board.call("I2C.WriteRegB", {"addr": 0x40, "reg": 4, "value": 0x17F}) is None
    assert board.call("I2C.ReadRegW", {"addr": 0x40, "reg": 4}) == {"value": 0x7F}


def test_sda_held_low_looks_like_a_part_at_every_address_to_a_bit_banged_bus(board: Bench) -> None:
    board.lines.held_low = True
    assert board.call("I2C.Scan") == list(range(1, 0x78))
    assert board.call("I2C.Read", {"addr": 96, "len": 4}) == {"data_hex": "00000000"}


def test_sda_held_low_silences_a_hardware_bus() -> None:
    with World() as world:
        made = bench(world, arch="esp32", settings={"i2c.enable": True}, costs="esp32-240mhz", sda=32, scl=33)
        made.on()
        made.lines.held_low = True
        assert made.call("I2C.Scan") == []
        assert refusal(made, "I2C.Read", {"addr": 96, "len": 4}) == (503, "I2C read failed")


def test_disabled_i2c_is_503() -> None:
    with World() as world:
        made = bench(world, settings={})
        made.on()
        assert refusal(made, "I2C.Scan") == (503, "I2C is disabled")
        assert refusal(made, "I2C.Read", {"addr": 1, "len": 1}) == (503, "I2C is disabled")


# -- Wifi --------------------------------------------------------------------------------------


def test_wifi_setup_joins_the_network(board: Bench) -> None:
    assert board.call("Wifi.Scan") == []
    assert board.call("Wifi.SetupSTA", {"sta": {"enable": True, "ssid": "test", "pass": "test"}}) is None
    board.run(6_000_000)
    assert board.logged("WiFi STA: ready, IP 192.168.4.100")
    info = board.call("Sys.GetInfo")
    assert isinstance(info, dict)
    assert info["wifi"]["status"] == "got ip"
    assert [network["ssid"] for network in board.call("Wifi.Scan")] == ["test"]  # type: ignore[attr-defined]
    assert refusal(board, "Wifi.SetupSTA", {"sta": 5})[0] == -1
    assert board.call("Wifi.SetupAP", {"ap": {"enable": False}}) is None


# -- anything ----------------------------------------------------------------------------------

METHODS = [
    "RPC.Describe",
    "Sys.SetDebug",
    "Config.Get",
    "Config.Set",
    "Config.Save",
    "FS.Get",
    "FS.Put",
    "FS.Remove",
    "FS.Rename",
    "FS.Mkfs",
    "I2C.Read",
    "I2C.Write",
    "I2C.ReadRegW",
    "I2C.WriteRegB",
    "ATCA.SetConfig",
    "ATCA.SetKey",
    "ATCA.GenKey",
    "ATCA.GetPubKey",
    "ATCA.Sign",
    "ATCA.AES",
    "Wifi.SetupSTA",
    "Wifi.SetupAP",
]
NAMES = [
    "key",
    "level",
    "config",
    "value",
    "save",
    "filename",
    "offset",
    "len",
    "append",
    "data",
    "src",
    "dst",
    "addr",
]
NAMES += [
    "bus",
    "reg",
    "data_hex",
    "slot",
    "block",
    "ecc",
    "wkey",
    "wkslot",
    "digest",
    "mode",
    "zone",
    "sta",
    "ap",
    "name",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            "i2c.freq",
            "mqtt.server",
            "i2c",
            "f",
            "AAAA",
            "00ff",
            "x" * 300,
            base64.b64encode(bytes(32)).decode(),
        ]
    )
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["i2c", "freq", "ssid", "enable"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(METHODS), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5)),
        max_size=4,
    )
)
def test_any_arguments_get_a_reply_and_never_break_the_board(
    calls: list[tuple[str, dict[str, object]]],
) -> None:
    with World() as world:
        made = bench(world, settings={**ATCA, "debug.level": 0})
        made.on(600_000)
        codes = set()
        for method, params in calls:
            try:
                made.call(method, params, timeout_us=20_000_000)
            except RpcError as error:
                codes.add(error.code)
        assert codes <= {-1, 0, 400, 404, 418, 500, 501, 503}
        assert made.call("RPC.Ping") == {"channel_info": "UART0"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_on_the_uart_leave_the_board_able_to_answer(noise: bytes) -> None:
    with World() as world:
        made = bench(world, settings={})
        made.on(600_000)
        made.uart.host_write(noise + b"\n")
        made.run(500_000)
        made.replies.clear()
        assert made.call("RPC.Ping") == {"channel_info": "UART0"}
