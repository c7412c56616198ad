"""Every road by name: firmware calls, console commands, programs that burn fuses, raw serial bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.clock import WallClock
from hil.errors import GuardRefusal, RpcError
from hil.guard.line import GuardedLine
from hil.guard.operations import Operation
from hil.guard.permit import RpcCall
from hil.guard.programs import FUSE_COMMANDS, HARMLESS_COMMANDS
from hil.guard.requirements import Facts
from hil.guard.roads import RPC_MEANINGS, RPC_ROADS, rpc_call
from hil.wire.atecc import Command, Opcode
from hil.wire.mgrpc import encode_frame, encode_request

from .guard_bench import CONFIG, COUNT, INFO, LOCK, OTHER_SERIAL, SERIAL, Part, framed, make_guard

if TYPE_CHECKING:
    from pathlib import Path

    from hil.guard.guard import Guard

GEN_1 = RpcCall("ATCA.GenKey", 1)
LIMITED_0 = CONFIG[:20] + bytes((CONFIG[20] | 0x20,)) + CONFIG[21:]

CLOSED: list[tuple[str, dict[str, Any]]] = [
    ("ATCA.LockZone", {"zone": 0}),
    ("ATCA.SetConfig", {"config": ""}),
    ("ATCA.SetKey", {"slot": 0, "key": ""}),
    ("ATCA.GenKey", {"slot": 0}),
    ("ATCA.GenKey", {}),
    ("ATCA.GenKey", {"slot": "0"}),
    ("ATCA.GenKey", {"slot": True}),
    ("ATCA.GenKey", {"slot": 16}),
    ("ATCA.Unknown", {}),
    ("atca.genkey", {"slot": 0}),
    ("ATCA.GenKeyX", {"slot": 0}),
    ("I2C.Write", {"addr": 0x60, "data_hex": framed(LOCK).hex()}),
    ("I2C.Write", {"addr": 0x60, "data_hex": framed(LOCK)[:3].hex()}),
    ("I2C.Write", {"addr": 0x60, "data_hex": framed(LOCK).hex(" ")}),
    ("I2C.Write", {"addr": 0x60, "data_hex": "zz"}),
    ("I2C.Write", {"addr": 0x60, "data_hex": "030"}),
    ("I2C.Write", {"addr": 0x60, "data_hex": 3}),
    ("I2C.Write", {"data_hex": "03"}),
    ("I2C.Write", {"addr": "96", "data_hex": framed(INFO).hex()}),
    ("I2C.Write", {"addr": 96.5, "data_hex": framed(INFO).hex()}),
    ("I2C.Write", {"addr": -1, "data_hex": "17"}),
    ("I2C.Write", {"addr": 0xFFFF, "data_hex": "17"}),
    ("I2C.Write", {"addr": 0xE0, "data_hex": framed(LOCK).hex()}),
    ("I2C.Write", {"bus": 1, "addr": 0x60, "data_hex": framed(LOCK).hex()}),
    ("i2c.write", {"addr": 0x60, "data_hex": framed(INFO).hex()}),
    ("I2C.WriteRegB", {"addr": 0x60, "reg": 3, "value": 7}),
    ("I2C.WriteRegW", {"addr": 0x60, "reg": 3, "value": 0x0717}),
    ("I2C.WriteRegB", {"addr": 0x60, "reg": 3, "value": -1}),
    ("I2C.WriteRegB", {"addr": 0x60, "reg": 0x103, "value": 7}),
    ("I2C.WriteRegB", {"addr": 0x60, "reg": 3}),
    ("I2C.ReadRegB", {"addr": 0x60, "reg": 0x17}),
    ("Config.Set", {"config": {"sys": {"atca": {"ecdh_slots_mask": 0x0D}}}}),
    ("Config.Set", {"key": "sys.atca.ecdh_slots_mask", "value": 1}),
    ("Config.Set", {"config": {"sys": {"atca": {"ecdh_slots_mask": "0xf"}}}}),
    ("FS.Put", {"filename": "conf9.json", "data": ""}),
    ("FS.Put", {"filename": "/mnt/conf5.json", "data": ""}),
    ("FS.Put", {"filename": "CONF_vendor.JSON", "data": ""}),
    ("FS.Put", {"filename": "init.js", "data": ""}),
    ("FS.Put", {"filename": 7, "data": ""}),
    ("FS.Put", {"data": ""}),
    ("FS.Rename", {"src": "a.txt", "dst": "conf9.json"}),
    ("fs.put", {"filename": "a.txt", "data": ""}),
    ("OTA.Update", {"url": "http://192.0.2.1/fw.zip"}),
    ("OTA.Begin", {}),
]


@pytest.mark.parametrize(("method", "params"), CLOSED, ids=[f"{m} {p}"[:60] for m, p in CLOSED])
def test_every_firmware_road_is_closed(tmp_path: Path, method: str, params: dict[str, Any]) -> None:
    with pytest.raises(GuardRefusal):
        make_guard(tmp_path).check_rpc(method, params)


def test_every_call_of_the_table_is_described() -> None:
    assert RPC_MEANINGS.keys() == RPC_ROADS.keys()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("I2C.Scan", {}),
        ("ATCA.GetConfig", {}),
        ("ATCA.GetPubKey", {"slot": 0}),
        ("ATCA.Sign", {"slot": 0}),
        ("I2C.Write", {"addr": 0, "data_hex": "00"}),
        ("I2C.Write", {"bus": 0, "addr": 0x60, "data_hex": framed(INFO).hex().upper()}),
        ("I2C.ReadRegB", {"addr": 0x60, "reg": 0}),
        ("Config.Set", {"config": {"wifi": {"sta": {"enable": True}}}}),
        ("Config.Set", {"config": {"sys": {"atca": {"ecdh_slots_mask": 0x0C, "enable": True}}}}),
        ("Sys.Reboot", {}),
        ("FS.Put", {"filename": "ecc.crt.pem", "data": ""}),
        ("FS.Put", {"filename": "conf.d/readme.txt", "data": ""}),
        ("FS.Get", {"filename": "conf9.json"}),
        ("FS.Remove", {"filename": "conf9.json"}),
        ("FS.Rename", {"src": "conf9.json", "dst": "conf9.bak"}),
        ("OTA.Status", {}),
    ],
)
def test_harmless_calls_pass(tmp_path: Path, method: str, params: dict[str, Any]) -> None:
    make_guard(tmp_path).check_rpc(method, params)


def test_what_mos_sends_to_set_up_the_cloud_stops_at_the_new_key(tmp_path: Path) -> None:
    """``mos aws-iot-setup --use-atca`` replaces the key in slot 0 (mongoose-os/mos cli/aws/aws.go)."""
    guard = make_guard(tmp_path)
    for method in ("Sys.GetInfo", "Config.Get", "ATCA.GetConfig"):
        guard.check_rpc(method, {})
    with pytest.raises(GuardRefusal, match=r"ATCA\.GenKey slot 0"):
        guard.check_rpc("ATCA.GenKey", {"slot": 0})


def test_the_firmwares_signing_with_a_limited_key_needs_a_permit(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    guard.learn(LIMITED_0)
    with pytest.raises(GuardRefusal, match=r"ATCA\.Sign slot 0"):
        guard.check_rpc("ATCA.Sign", {"slot": 0})
    with guard.permit(Operation.LIMITED_USE, Facts(SERIAL, slot=0)).armed([RpcCall("ATCA.Sign", 0)]):
        guard.check_rpc("ATCA.Sign", {"slot": 0})


def test_before_the_firmware_uses_a_key_the_configuration_is_read(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, witness=Part(config=LIMITED_0))
    guard.forget()
    with pytest.raises(GuardRefusal):
        guard.check_rpc("ATCA.Sign", {"slot": 0})
    guard.check_rpc("ATCA.Sign", {"slot": 1})


# -- calls under a permit -----------------------------------------------------------------------


def test_the_firmwares_own_lock_is_never_covered_because_it_has_no_checksum(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, exceptions=frozenset({"lock-data-without-crc"}))
    config = guard.permit(Operation.LOCK_CONFIG, Facts(SERIAL, config=CONFIG))
    data = guard.permit(Operation.LOCK_DATA, Facts(SERIAL, config=CONFIG, data=bytes(100)))
    for permit in (config, data):
        with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([RpcCall("ATCA.LockZone")]):
            pytest.fail("must not be armed")
    unchecked = guard.permit(Operation.LOCK_DATA, Facts(SERIAL, config=CONFIG))
    with unchecked.armed([RpcCall("ATCA.LockZone")]):
        with pytest.raises(GuardRefusal, match="data zone"):
            guard.check_rpc("ATCA.LockZone", {"zone": 0})
        guard.check_rpc("ATCA.LockZone", {"zone": 1})


def test_the_firmwares_own_configuration_write_carries_the_permitted_bytes(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.WRITE_CONFIG, Facts(SERIAL, config=CONFIG))
    with permit.armed([RpcCall("ATCA.SetConfig")]):
        with pytest.raises(GuardRefusal, match="another configuration"):
            guard.check_rpc("ATCA.SetConfig", {"config": CONFIG[:-1] + b"\x01"})
        guard.check_rpc("ATCA.SetConfig", {"config": CONFIG})
    extra = CONFIG[:84] + b"\x01" + CONFIG[85:]
    permit = guard.permit(Operation.WRITE_CONFIG, Facts(SERIAL, config=extra))
    with permit.armed([RpcCall("ATCA.SetConfig")]), pytest.raises(GuardRefusal, match="UserExtra"):
        guard.check_rpc("ATCA.SetConfig", {"config": extra})


def test_a_key_and_a_content_are_different_permits(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.WRITE_SLOT, Facts(SERIAL, slot=4))
    data = {"slot": 4, "ecc": False, "key": b"k" * 32}
    private = data | {"ecc": True}
    with permit.armed([rpc_call("ATCA.SetKey", private)]), pytest.raises(GuardRefusal, match="different per"):
        guard.check_rpc("ATCA.SetKey", private)
    with permit.armed([rpc_call("ATCA.SetKey", data)]):
        guard.check_rpc("ATCA.SetKey", data)


@pytest.mark.parametrize("other", [{"key": b"q" * 32}, {"wkslot": 4}, {"ecc": 0}, {"wkey": b"k" * 32}])
def test_a_key_call_carries_exactly_the_armed_arguments(tmp_path: Path, other: dict[str, Any]) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.WRITE_SLOT, Facts(SERIAL, slot=4))
    with pytest.raises(GuardRefusal, match="does not cover"), permit.armed([RpcCall("ATCA.SetKey", 4)]):
        pytest.fail("must not be armed without its arguments")
    params = {"slot": 4, "ecc": False, "key": b"k" * 32}
    with permit.armed([rpc_call("ATCA.SetKey", params)]):
        with pytest.raises(GuardRefusal, match="needs a permit"):
            guard.check_rpc("ATCA.SetKey", params | other)
        guard.check_rpc("ATCA.SetKey", params)


def test_what_needs_no_permit_cannot_be_armed() -> None:
    for method, params in (("Sys.GetInfo", {}), ("I2C.Write", {"addr": 0x60, "data_hex": ""})):
        with pytest.raises(GuardRefusal, match="no call that a permit"):
            rpc_call(method, params)


def test_the_firmware_must_talk_to_the_very_element_of_the_permit(tmp_path: Path) -> None:
    """Its driver's address is a setting of its own: another part may hang on the same bus."""
    part = Part()
    guard = make_guard(tmp_path, witness=part)
    permit = guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=1))
    part.firmware_sees = OTHER_SERIAL
    with pytest.raises(GuardRefusal, match=f"talks to element {OTHER_SERIAL}"), permit.armed([GEN_1]):
        pytest.fail("must not be armed")
    part.error = RpcError("ATCA.GetConfig", 404, "no element")
    with pytest.raises(GuardRefusal, match="cannot be read: ATCA"), permit.armed([GEN_1]):
        pytest.fail("must not be armed")
    assert guard.ledger.entries(SERIAL) == [], "an intent was written"
    part.error = part.firmware_sees = None
    with permit.armed([GEN_1]):
        guard.check_rpc("ATCA.GenKey", {"slot": 1})


def test_an_error_of_the_firmware_is_a_known_result(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    permit = guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=1))

    def call() -> None:
        with permit.armed([RpcCall("ATCA.GenKey", 1)]):
            guard.check_rpc("ATCA.GenKey", {"slot": 1})
            raise RpcError("ATCA.GenKey", 500, "Failed generate key on slot 1: 0xf4")

    with pytest.raises(RpcError):
        call()
    assert guard.ledger.open_intents(SERIAL) == []


def test_a_file_that_the_firmware_obeys_can_be_permitted_with_its_content(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    _, guarded = rpc_line(guard)
    params = {"filename": "conf9.json", "data": "e30="}
    frame = encode_frame(encode_request(1, "FS.Put", params))
    permit = guard.permit(Operation.FIRMWARE_DEFINED, Facts(SERIAL))
    with permit.armed([rpc_call("FS.Put", params)]):
        with pytest.raises(GuardRefusal, match="needs a permit"):
            guard.check_rpc("FS.Put", params | {"data": "e31="})
        guard.check_rpc("FS.Put", params)
        guarded.write(frame)
    with pytest.raises(GuardRefusal, match="by hand"):
        guarded.write(frame)
    read = {"filename": "conf9.json", "offset": 0, "len": 10}
    guard.check_rpc("FS.Get", read)
    guarded.write(encode_frame(encode_request(2, "FS.Get", read)))


# -- programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "esptool --port /dev/ttyUSB0 read-mac",
        "esptool.py --chip esp32 --port /dev/ttyUSB0 read_mac",
        "python -m esptool write-flash 0x0 image.bin",
        "/opt/venv/bin/esptool --baud 921600 write_flash --flash_mode dio 0x1000 boot.bin 0x10000 app.bin",
        "esptool verify-flash 0x0 image.bin",
        "espefuse --port /dev/ttyUSB0 summary",
    ],
)
def test_a_program_that_burns_nothing_runs(tmp_path: Path, line: str) -> None:
    make_guard(tmp_path).check_program(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "espefuse --port /dev/ttyUSB0 burn-efuse DIS_DOWNLOAD_ICACHE 1",
        "espefuse.py burn_key flash_encryption key.bin",
        "espefuse --do-not-confirm summary",
        "espefuse --do-not-c summary",
        "espefuse set_flash_voltage 3.3V",
        "esptool write-flash --encrypt 0x0 image.bin",
        "esptool write_flash --encrypt-files 0x0 image.bin",
        "esptool --force write-flash 0x0 image.bin",
        "esptool load-ram image.bin",
        "esptool write_mem 0x3ff5a000 1",
        "esptool some-new-command",
        "esptool",
        "espefuse summary dump",
        "rm -rf /",
    ],
)
def test_a_program_that_burns_or_is_not_understood_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(GuardRefusal):
        make_guard(tmp_path).check_program(line.split())


def test_burning_needs_a_permit_of_its_own(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    action = RpcCall("espefuse burn-efuse")
    wrong = guard.permit(Operation.COUNTER, Facts(SERIAL))
    with pytest.raises(GuardRefusal), wrong.armed([action]):
        pytest.fail("must not be armed")
    with guard.permit(Operation.BOARD_FUSE, Facts(SERIAL)).armed([action]):
        guard.check_program(["espefuse", "burn_efuse", "MAC_VERSION", "1"])


def test_no_command_is_both_harmless_and_burning() -> None:
    for program, commands in FUSE_COMMANDS.items():
        assert not commands.keys() & HARMLESS_COMMANDS[program]


# -- raw bytes on the serial line -----------------------------------------------------------------


class Line:
    """A port that only records."""

    name = "recording line"
    physical = True

    def __init__(self) -> None:
        self.clock = WallClock()
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def read(self, deadline: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def frame(method: str, params: dict[str, Any]) -> bytes:
    return encode_frame(encode_request(7, method, params))


def rpc_line(guard: Guard) -> tuple[Line, GuardedLine]:
    line = Line()
    return line, GuardedLine(line, guard, "rpc")


def write_all(line: GuardedLine, pieces: list[bytes]) -> None:
    for piece in pieces:
        line.write(piece)


RAW = frame("ATCA.LockZone", {"zone": 0})


@pytest.mark.parametrize("cut", [1, 2, 7, 16, 31, len(RAW)])
def test_a_call_written_by_hand_is_refused_however_it_is_cut(tmp_path: Path, cut: int) -> None:
    line, guarded = rpc_line(make_guard(tmp_path))
    pieces = [RAW[at : at + cut] for at in range(0, len(RAW), cut)]
    with pytest.raises(GuardRefusal, match="by hand"):
        write_all(guarded, pieces)
    assert b'LockZone"' not in line.sent


@pytest.mark.parametrize("filling", [" " * 900, "\n" * 3000, "\t \n" * 1300])
def test_filling_between_the_pieces_hides_nothing(tmp_path: Path, filling: str) -> None:
    """As much as fits in a frame that a firmware takes."""
    line, guarded = rpc_line(make_guard(tmp_path))
    with pytest.raises(GuardRefusal, match="by hand"):
        write_all(guarded, [b'{"method"', filling.encode(), b':"ATCA.GenKey","params":{"slot":0}}'])
    assert b"GenKey" not in line.sent


@pytest.mark.parametrize(
    "text",
    [
        '{"method":"I2C.Write","params":{"addr":96,"data_hex":"0307170000"}}',
        '{"method" : "atca.genkey"}',
        '{"method":"\\u0041TCA.GenKey","params":{"slot":0}}',
        '{"\\u006dethod":"ATCA.GenKey","params":{"slot":0}}',
        '{"method":"Config.Set","params":{"config":{"sys":{"atca":{"ecdh_slots_mask":1}}}}}',
        '{"method":"FS.Put","params":{"filename":"conf9.json","data":""}}',
        '{"method":"FS.Rename","params":{"src":"a","dst":"init.js"}}',
        '{"method":"OTA.Update","params":{}}',
        '{method:"ATCA.LockZone",params:{zone:0}}',
        '{"params":{},method :  "I2C.Write"}',
        '{"meth\x11od":"ATCA.\x13GenKey","params":{"slot":0}}',
        '{method:"FS.Put",params:{filename:"conf9.json"}}',
    ],
)
def test_other_spellings_are_refused_too(tmp_path: Path, text: str) -> None:
    _, guarded = rpc_line(make_guard(tmp_path))
    with pytest.raises(GuardRefusal):
        guarded.write(text.encode())


def test_a_call_that_was_checked_passes_once(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    line, guarded = rpc_line(guard)
    params = {"addr": 0x60, "data_hex": framed(INFO).hex()}
    guard.check_rpc("I2C.Write", params)
    for at in range(0, len(frame("I2C.Write", params)), 32):
        guarded.write(frame("I2C.Write", params)[at : at + 32])
    assert line.sent == frame("I2C.Write", params)
    with pytest.raises(GuardRefusal, match="by hand"):
        guarded.write(frame("I2C.Write", params))


def test_harmless_frames_and_other_bytes_pass(tmp_path: Path) -> None:
    line, guarded = rpc_line(make_guard(tmp_path))
    for data in (b"\x04", frame("I2C.Scan", {}), frame("ATCA.GetConfig", {}), frame("Sys.GetInfo", {})):
        guarded.write(data)
    assert line.sent.startswith(b"\x04")


def test_console_commands_written_by_hand_are_refused(tmp_path: Path) -> None:
    for text in (
        b"init 21 22\r", b"  generate-keys 0\r", b"help\rinit\r", b'"generate-keys" 0\r', b"in\\it\r",
        b"program-dev-cert 1 123\r", b"lock-slot 10\r", b"provide-cert-def 0\rgenerate-keys 0\r",
        b"provide-cert-def 0\rjunk\0lock-slot 10\r", b"versioninit\r", b"versionversiongenerate-keys 0\r",
        b"help init\r", b"help xinit\r", b"x init\r",
        b"provide-cert-def 0\rAAinit\r",
    ):  # fmt: skip
        line = Line()
        guarded = GuardedLine(line, make_guard(tmp_path), "console")
        with pytest.raises(GuardRefusal):
            write_all(guarded, [bytes((byte,)) for byte in text])
        assert not line.sent.endswith(b"\r"), "the write that completes the line is the one refused"


def test_the_handshake_of_a_start_may_stand_before_the_first_line(tmp_path: Path) -> None:
    line = Line()
    guarded = GuardedLine(line, make_guard(tmp_path), "console")
    write_all(guarded, [b"version", b"\r", b"version", b"version", b"print-chip-info\r", b"\r"])
    assert line.sent == b"version\rversionversionprint-chip-info\r\r"


def test_line_editing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardRefusal, match="control characters"):
        GuardedLine(Line(), make_guard(tmp_path), "console").write(b"hinit\x08\r")


def test_a_console_command_that_was_checked_passes(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    line = Line()
    guarded = GuardedLine(line, guard, "console")
    with pytest.raises(GuardRefusal):
        guard.check_call(RpcCall("generate-keys", 1))
    with guard.permit(Operation.GENERATE_KEY, Facts(SERIAL, slot=1)).armed([RpcCall("generate-keys", 1)]):
        guard.check_call(RpcCall("generate-keys", 1))
        guarded.write(b"generate-keys 1\r")
    guarded.write(b"print-chip-info\rprovide-cert-def 0\r")
    guarded.write(b"-----BEGIN CERTIFICATE-----\ninit+AAA\n-----END CERTIFICATE-----\n\0")
    assert line.sent.startswith(b"generate-keys 1\rprint-chip-info\r")
    with pytest.raises(GuardRefusal, match="init"):
        guarded.write(b"init+AAA\r")


def test_programming_with_a_lock_needs_the_permit_for_the_lock(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    call = RpcCall("program-dev-cert", 10)
    write = guard.permit(Operation.WRITE_SLOT, Facts(SERIAL, slot=10))
    with write.armed([call]):
        guard.check_call(call)
        with pytest.raises(GuardRefusal, match="lock-slot"):
            GuardedLine(Line(), guard, "console").write(b"program-dev-cert 1 77\r")
    with write.armed([call]):
        guard.check_call(call)
        GuardedLine(Line(), guard, "console").write(b"program-dev-cert 0 77\r")
    lock = guard.permit(Operation.LOCK_SLOT, Facts(SERIAL, slot=10, config=CONFIG))
    with lock.armed([call]):
        guard.check_call(call)
        GuardedLine(Line(), guard, "console").write(b"program-dev-cert 1 77\r")


def test_an_armed_packet_passes_by_rpc_as_well(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    params = {"bus": 0, "addr": 0x60, "data_hex": framed(COUNT).hex()}
    with guard.permit(Operation.COUNTER, Facts(SERIAL)).armed([COUNT]):
        guard.check_rpc("I2C.Write", params)
        with pytest.raises(GuardRefusal):
            guard.check_rpc("I2C.Write", params)


def test_the_frames_of_the_tests_are_what_the_codec_makes() -> None:
    assert json.loads(RAW[RAW.index(b"{") : RAW.rindex(b"}") + 1])["method"] == "ATCA.LockZone"
    assert Command(Opcode.LOCK, 0x80).encode()[1] == 0x17
