from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import World
from hil.emulator.boards.mongoose import App, Flash
from hil.emulator.boards.mongoose_atca import printed_serial
from hil.emulator.boards.mongoose_boot import POWER_ON as COLD
from hil.emulator.boards.mongoose_boot import rom_text
from hil.emulator.boards.mongoose_log import Console, Origin, log_line
from hil.emulator.chip import Memory, load_profile
from hil.emulator.chip.chip import Power
from hil.emulator.uart import Uart
from hil.errors import RpcError
from tests.unit.firmware_bench import ATCA, SERIAL, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.emulator.boards.mongoose_config import Scalar


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def booted(world: World, **options: object) -> Bench:
    made = bench(world, **options)  # type: ignore[arg-type]
    made.on()
    return made


# -- log lines ---------------------------------------------------------------------------------


def test_prefix_is_24_characters_and_the_file_name_is_cut_to_fit() -> None:
    line = log_line(Origin("mgos_i2c_gpio_master.c", 248), "I2C")
    assert line == b"mgos_i2c_gpio_maste:248 I2C\n"
    assert log_line(Origin("mgos_atca.c", 117), "x")[:24] == b"mgos_atca.c:117         "


def test_serial_number_is_printed_without_the_leading_zeros_of_its_words() -> None:
    assert printed_serial(bytes.fromhex("01233bd44dfc6509ee")) == "0x1233bd44dfc6509ee"
    assert printed_serial(bytes.fromhex("0123e07e00000001ee")) == "0x123e07e0001ee"


# -- boot --------------------------------------------------------------------------------------


def test_esp8266_boots_with_these_lines(world: World) -> None:
    board = booted(world, settings=ATCA)
    messages = board.messages()
    assert messages[1:4] == [
        "hil-rig 1.0 (20230313-120000)",
        "Mongoose OS 2.20.0 (20230313-093000/2.20.0)",
        "CPU: ESP8266EX, 80 MHz, RAM: 51560 total, 51560 free",
    ]
    assert "Reset cause: 0 (power on)" in messages
    assert "MAC: 5c:cf:7f:a1:b2:c3" in messages
    assert "WDT: 30 seconds" in messages
    assert "I2C GPIO init ok (SDA: 12, SCL: 14, freq: 100000)" in messages
    assert (
        "ATECC508A @ 0/0x60: rev 0x5000 S/N 0x123e07e0001ee, zone lock status: no, no; ECDH slots: 0x0c"
        in messages
    )
    board.call("RPC.Ping")
    assert [line for line in board.messages() if line][-1].startswith("Init done, RAM: ")


def test_esp32_boots_at_115200_with_its_rom_lines(world: World) -> None:
    settings: dict[str, Scalar] = {**ATCA, "i2c.sda_gpio": 12, "i2c.scl_gpio": 14}
    board = booted(world, arch="esp32", costs="esp32-240mhz", settings=settings)
    assert board.log[0] == "ets Jul 29 2019 12:21:46"
    assert "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)" in board.log
    assert "I2C0 init ok (SDA: 12, SCL: 14, freq: 100000)" in board.messages()
    assert "CPU: ESP32D0WDQ6, 240 MHz" in board.text.decode()


def test_esp8266_rom_line_is_garbled_at_115200_and_readable_at_74880(world: World) -> None:
    board = bench(world)
    board.uart.host_baud = 74_880
    board.on(200_000)
    assert "ets Jan  8 2013,rst cause:1, boot mode:(3,6)" in board.text.decode()
    board.off()
    garbled = bench(world)
    garbled.on(200_000)
    assert garbled.text
    assert all(byte >= 0x80 for byte in garbled.text)


def test_the_boot_takes_the_time_of_the_cost_model(world: World) -> None:
    board = bench(world, settings={})
    board.on(5_000_000)
    delays = board.board.costs
    boot = sum(delays.delay(name) for name in ("boot_rom", "boot_loader", "boot_init"))
    assert [(step.phase, step.at_us) for step in board.board.timeline] == [("boot", boot)]


def test_an_application_names_itself(world: World) -> None:
    board = booted(world, app=App("sensor", "3.2", "test-build"))
    assert "sensor 3.2 (test-build)" in board.messages()


# -- the element at boot -----------------------------------------------------------------------


def test_locked_608_is_named_and_its_locks_are_told(world: World) -> None:
    memory = Memory.blank(load_profile("atecc608b"), SERIAL)
    memory.lock_config()
    board = booted(world, chip="atecc608b", memory=memory)
    assert board.logged("ATECC608A @ 0/0x60: rev 0x6003 S/N 0x123e07e0001ee, zone lock status: yes, no")


def test_a_chip_that_does_not_answer_is_reported_and_the_boot_goes_on(world: World) -> None:
    board = bench(world)
    board.board.power_on()  # the element has no power
    board.run(3_000_000)
    messages = board.messages()
    assert "ATCA: Failed to get chip info (0/0x60)" in messages
    assert "ATCA: Chip is not available" in messages
    with pytest.raises(RpcError, match=r"No handler for ATCA\.GetConfig") as caught:
        board.call("ATCA.GetConfig")
    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("configured", "found"),
    [(0x60, True), (0xC0, True), (0x35, False), (0, False), (0x7F, False), (-1, False)],
)
def test_addresses_from_7f_on_count_as_shifted(world: World, configured: int, found: bool) -> None:
    board = booted(world, settings={**ATCA, "sys.atca.i2c_addr": configured})
    assert board.logged("ATECC508A @ 0/0x60") is found
    assert board.logged("Chip is not available") is not found


def test_atca_without_i2c_restarts_for_ever(world: World) -> None:
    board = bench(world, settings={"sys.atca.enable": True})
    board.on(5_000_000)
    messages = board.messages()
    assert messages.count("ATCA requires I2C to be enabled (i2c.enable=true)") >= 4
    assert "Init failed: -32" in messages
    assert "Reset cause: 4 (soft reset)" in messages
    assert not board.logged("Init done")


@pytest.mark.parametrize(("hz", "starts"), [(1_000_000, True), (1_100_000, False), (0, False), (-5, False)])
def test_bit_banging_refuses_impossible_speeds(world: World, hz: int, starts: bool) -> None:
    board = booted(world, settings={"i2c.enable": True, "i2c.freq": hz})
    assert board.logged("I2C GPIO init ok") is starts
    assert board.logged("Invalid I2C GPIO settings") is not starts


def test_swapped_wires_hide_the_chip_until_the_configuration_swaps_them_too(world: World) -> None:
    board = booted(world, sda=14, scl=12)
    assert board.logged("ATCA: Chip is not available")
    assert board.call("I2C.Scan") == []
    swapped = {"i2c": {"sda_gpio": 14, "scl_gpio": 12}}
    assert board.call("Config.Set", {"config": swapped, "save": True, "reboot": True}) == {"saved": True}
    board.run(3_000_000)
    assert board.call("I2C.Scan") == [96]
    assert board.logged("I2C GPIO init ok (SDA: 14, SCL: 12, freq: 100000)")


def test_a_second_bus_uses_its_own_pins(world: World) -> None:
    settings: dict[str, Scalar] = {"i2c.enable": True, "i2c1.enable": True}
    board = booted(world, settings=settings, sda=4, scl=5)
    assert board.call("I2C.Scan") == []
    assert board.call("I2C.Scan", {"bus": 1}) == [96]


# -- power and restarts ------------------------------------------------------------------------


def test_without_power_nothing_is_said_and_nothing_is_heard(world: World) -> None:
    board = booted(world)
    board.off()
    board.text.clear()
    board.send(b'{"id":1,"method":"RPC.Ping"}')
    board.run(10_000_000)
    assert not board.text
    assert not board.replies
    assert not world._tasks


def test_power_off_drops_what_is_on_the_line(world: World) -> None:
    board = bench(world)
    board.on(board.board.costs.delay("boot_rom") + board.board.costs.delay("boot_loader") + 1_000)
    seen = len(board.text)
    board.off()
    board.run(1_000_000)
    assert len(board.text) == seen


def test_power_can_be_cut_at_any_moment_of_boot_and_scan(world: World) -> None:
    for cut_us in range(1_000, 560_000, 3_700):
        board = bench(world)
        board.chip.power_on()
        board.board.power_on()
        world.after(485_000, lambda board=board: board.send(b'{"id":1,"method":"I2C.Scan"}'), "scan")  # type: ignore[misc]
        world.run_for(cut_us)
        board.off()
        before = len(board.uart.received)
        world.run_for(100_000)
        assert len(board.uart.received) == before, cut_us
        assert not world._tasks, cut_us


def test_second_power_on_changes_nothing(world: World) -> None:
    board = booted(world)
    board.board.power_on()
    board.run(2_000_000)
    assert sum("Mongoose OS" in line for line in board.log) == 1


def test_a_power_cycle_boots_again_with_the_saved_configuration(world: World) -> None:
    board = booted(world)
    board.call("Config.Set", {"config": {"mqtt": {"server": "kept:1"}}, "save": True})
    board.call("Config.Set", {"config": {"mqtt": {"client_id": "lost"}}})
    board.call("FS.Put", {"filename": "kept.txt", "data": "dGVzdA=="})
    board.off()
    board.run(2_000_000)
    board.on()
    assert sum("Reset cause: 0 (power on)" in line for line in board.log) == 2
    assert board.call("Config.Get", {"key": "mqtt.server"}) == "kept:1"
    assert board.call("Config.Get", {"key": "mqtt.client_id"}) == ""
    assert board.call("FS.Get", {"filename": "kept.txt"}) == {"data": "dGVzdA==", "left": 0}


def test_reboot_is_announced_and_says_soft_reset(world: World) -> None:
    board = booted(world)
    assert board.call("Sys.Reboot", {"delay_ms": 250}) is None
    assert board.logged("Rebooting in 250 ms")
    world.run_for(300_000)
    board.run(2_000_000)
    assert board.logged("Reset cause: 4 (soft reset)")
    assert board.call("RPC.Ping") == {"channel_info": "UART0"}


def test_a_reboot_does_not_take_the_power_from_the_element(world: World) -> None:
    board = booted(world)
    assert board.call("I2C.Scan") == [96]
    assert board.chip.power is Power.AWAKE  # woken by the traffic
    board.call("Sys.Reboot", {"delay_ms": 1})
    board.run(50_000)
    assert board.chip.power is Power.AWAKE


def test_shortly_before_a_reboot_calls_are_answered_418(world: World) -> None:
    board = booted(world)
    board.call("Sys.Reboot", {"delay_ms": 500})
    assert board.call("RPC.Ping") == {"channel_info": "UART0"}
    world.run_for(420_000)
    with pytest.raises(RpcError, match=r"shutting down in \d+ ms") as caught:
        board.call("RPC.Ping")
    assert caught.value.code == 418


def test_abort_crashes_into_an_exception_reset(world: World) -> None:
    board = booted(world)
    board.send(b'{"id":1,"method":"Sys.Reboot","params":{"abort":true}}')
    board.run(3_000_000)
    assert not board.replies
    assert board.logged("Reset cause: 2 (exception)")


def test_first_save_after_flashing_needs_a_manual_reset_on_an_esp8266(world: World) -> None:
    flash = Flash(strapped_for_loader=True)
    board = bench(world, flash=flash)
    board.on()
    with pytest.raises(RpcError, match="manual device reset is required") as caught:
        board.call("Config.Set", {"config": {"mqtt": {"server": "x:1"}}, "save": True, "reboot": True})
    assert caught.value.code == 418
    board.uart.host_baud = 74_880
    board.run(3_000_000)
    assert "boot mode:(1,6)" in board.text.decode("ascii", "replace")
    assert sum("Mongoose OS" in line for line in board.log) == 1
    board.off()
    board.uart.host_baud = 115_200
    board.on()
    assert board.call("Config.Get", {"key": "mqtt.server"}) == "x:1"
    assert board.call("Config.Save", {"reboot": True}) == {"saved": True}  # GPIO0 was released meanwhile
    board.run(3_000_000)
    assert board.call("RPC.Ping") == {"channel_info": "UART0"}


def test_a_task_that_was_reset_says_nothing_more(world: World) -> None:
    uart = Uart(world, "board")
    console = Console(world, uart)
    console.gated = False
    said: list[str] = []

    def firmware() -> None:
        try:
            world.sleep(1_000)
        finally:
            said.append("tried")
            console.raw("last words")

    task = world.spawn(firmware, "firmware")
    world.run_for(100)
    task.halt("reset")
    world.run_for(100_000)
    assert said == ["tried"]
    assert not uart.received


def test_download_mode_stops_after_the_first_rom_line() -> None:
    assert b"boot mode:(1,6)" in rom_text("esp8266", COLD, loader=True)
    assert b"load" not in rom_text("esp8266", COLD, loader=True)


def test_same_seed_same_timeline_event_for_event() -> None:
    def run() -> list[tuple[int, str]]:
        events: list[tuple[int, str]] = []
        with World() as world:
            world.trace = lambda now, what: events.append((now, what))
            board = bench(world, settings={**ATCA, "wifi.sta.enable": True, "wifi.sta.ssid": "test"})
            board.on(6_000_000)
            board.call("I2C.Scan")
            board.off()
        return events

    assert run() == run()


def test_debug_level_and_muted_console_silence_the_log_but_not_the_rpc(world: World) -> None:
    quiet = booted(world, settings={**ATCA, "debug.level": 0})
    assert not quiet.logged("Mongoose OS")
    assert quiet.call("RPC.Ping") == {"channel_info": "UART0"}
    quiet.off()
    muted = booted(world, settings={**ATCA, "debug.stderr_uart": -1})
    assert muted.logged("Mongoose OS")
    assert not muted.logged("Init done")
    assert muted.call("RPC.Ping") == {"channel_info": "UART0"}


def test_rpc_can_be_disabled(world: World) -> None:
    board = booted(world, settings={"rpc.enable": False})
    board.send(b'{"id":1,"method":"RPC.Ping"}')
    board.run(1_000_000)
    assert not board.replies


def test_closing_the_world_ends_a_running_board() -> None:
    with World() as world:
        board = booted(world)
        board.send(b'{"id":1,"method":"I2C.Scan"}')
        world.run_for(10_000)
        assert world._tasks
    assert not world._tasks
