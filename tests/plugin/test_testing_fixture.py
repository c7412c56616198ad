"""The public fixtures for tests of other people's drivers, used as those people would."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from smbus2 import i2c_msg

from hil.clock import wall_us
from hil.element.device import Element
from hil.emulator.chip import Power
from hil.emulator.standalone import emulated_element
from hil.errors import ConfigError, I2CNack, UsageError
from hil.wire.atecc import WAKE_RESPONSE

if TYPE_CHECKING:
    from hil.emulator.standalone import State

pytest_plugins = ["pytester"]

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "test-your-driver.md"
CONFTEST = 'pytest_plugins = ["hil.testing"]\n'


def files_of(page: Path) -> dict[str, str]:
    """Code blocks of a page that say which file they are."""
    return dict(re.findall(r"```python (\S+\.py)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def test_the_how_to_works_as_it_is_printed(pytester: pytest.Pytester) -> None:
    files = files_of(HOWTO)
    assert sorted(files) == ["conftest.py", "my_driver.py", "test_my_driver.py"]
    for name, text in files.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=files["test_my_driver.py"].count("def test_"))


def test_naming_the_fixtures_imports_nothing_of_the_chip(pytester: pytest.Pytester) -> None:
    heavy = [
        "cryptography",
        "msgspec",
        "yaml",
        "moto",
        "hil.emulator.chip",
        "hil.emulator.factory",
        "hil.rig.rig",
    ]
    result = pytester.run(
        sys.executable, "-c", f"import sys, hil.testing; print([m for m in {heavy} if m in sys.modules])"
    )
    result.stdout.fnmatch_lines(["[[]]"])


def test_the_fixtures_work_without_the_plugin_of_rigs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_it(atecc): assert atecc.address == 0x60")
    pytester.runpytest_subprocess("-p", "no:hil", "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_mark_is_known_and_chooses_the_part(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        def test_default(atecc):
            assert atecc.profile.name == "atecc608b" and not atecc.memory.config_locked

        @pytest.mark.atecc("atecc608a", state="trust-flex", hz=400_000, seed=3)
        def test_marked(atecc):
            assert atecc.profile.name == "atecc608a" and atecc.address == 0x36

        def test_several(make_atecc):
            serials = {make_atecc().memory.serial for _ in range(3)}
            assert len(serials) == 3
        """
    )
    result = pytester.runpytest_inprocess("--strict-markers", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


def test_a_failed_test_shows_the_decoded_bus_and_no_secret(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        from hil.wire.atecc import Command

        def test_bad(atecc):
            atecc.bus.wake_pulse()
            atecc.wait(2_000)
            atecc.bus.read(atecc.address, 4)
            command = Command(0x46, 0, 2, bytes(4) + b"secret.." * 8)
            atecc.bus.write(atecc.address, b"\\x03" + command.encode())
            assert False, "on purpose"

        def test_good(atecc):
            atecc.bus.wake_pulse()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    shown = result.stdout.str()
    assert "I2C of <EmulatedElement <atecc608b 0123e07e00000001ee awake> at 0x60>" in shown
    assert re.search(r"wake +wake pulse", shown)
    assert "awake  [04 11 33 43]" in shown
    assert "PrivWrite mode 0x00 p2 0x0002, data hidden" in shown
    assert b"secret".hex(" ") not in shown


def test_parts_are_closed_after_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest
        from hil.errors import WorldError

        kept = []

        def test_uses(atecc):
            kept.append(atecc)

        def test_is_closed():
            with pytest.raises(WorldError, match="closed"):
                kept[0].clock.spawn(lambda: None, "late")
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


# -- the part itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "state", "address", "locks"),
    [
        ("atecc508a", "blank", 0x60, (False, False)),
        ("atecc608b", "config-locked", 0x60, (True, False)),
        ("atecc508a", "provisioned", 0x60, (True, True)),
        ("atecc608b", "provisioned", 0x60, (True, True)),
        ("atecc608-next", "provisioned", 0x60, (True, True)),
        ("atecc608b", "trust-go", 0x35, (True, True)),
        ("atecc608a", "trust-flex", 0x36, (True, True)),
    ],
)
def test_each_state_is_what_it_says(part: str, state: State, address: int, locks: tuple[bool, bool]) -> None:
    with emulated_element(part, state) as made:
        assert made.address == address
        assert (made.memory.config_locked, made.memory.data_locked) == locks
        element = Element(made.bus, made.address)
        assert element.serial_number() == made.memory.serial
        if locks[1]:
            digest = bytes(range(32))
            assert element.verify_external(element.public_key(0), digest, element.sign_digest(0, digest))


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="atecc909"):
        emulated_element("atecc909")
    with pytest.raises(UsageError, match="cannot begin 'lokced'"):
        emulated_element("atecc608b", "lokced")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no knob 'colour'"):
        emulated_element(knobs={"colour": 1})
    with pytest.raises(UsageError, match="608"):
        emulated_element("atecc508a", "trust-go")


def test_power_snapshots_and_broken_wires() -> None:
    with emulated_element("atecc508a", "provisioned") as part:
        element = Element(part.bus, part.address)
        before = part.snapshot()
        part.memory.set_slot(5, b"\x01" * 32)
        part.restore(before)
        assert part.memory.slot(5) == bytes(36)
        with element.session():
            element.nonce_load(bytes(32))
            assert part.chip.session.temp_key.valid
            part.brown_out()
            assert not part.chip.session.temp_key.valid
        part.power_off()
        with pytest.raises(I2CNack):
            part.bus.write(part.address, b"\x00")
        part.power_on()
        assert part.chip.power is Power.ASLEEP
        part.power_cycle()
        part.lines.open = True
        with pytest.raises(I2CNack):
            part.bus.read(part.address, 4)


def test_options_reach_the_part() -> None:
    knobs = {"reserved_word_address": "ignore"}
    with emulated_element("atecc608a", wake_ready_us=900, time_scale=0.5, knobs=knobs) as part:
        part.bus.wake_pulse()
        part.wait(900)
        assert part.bus.read(part.address, 4) == WAKE_RESPONSE
        part.bus.write(part.address, b"\x55")
        assert part.profile.range_of(part.profile.time_of("Random", "Random"))[0] == 7_500


def test_the_smbus_front_fails_as_the_kernel_does() -> None:
    with emulated_element() as part:
        bus = part.smbus
        with pytest.raises(OSError, match="Remote I/O") as caught:
            bus.read_byte(0x60)
        assert caught.value.errno == errno.EREMOTEIO
        bus.nack_errno = errno.ENXIO
        with pytest.raises(OSError, match="No such device") as caught:
            bus.write_quick(0x60)
        assert caught.value.errno == errno.ENXIO
        part.lines.held_low = True
        with pytest.raises(OSError, match="busy") as caught:
            bus.write_byte(0x60, 0)
        assert caught.value.errno == errno.EBUSY


def test_the_smbus_front_has_the_calls_of_smbus2() -> None:
    with emulated_element() as part, part.smbus as bus:
        with pytest.raises(OSError, match="Remote"):
            bus.write_byte(0, 0)
        part.wait(2_000)
        assert [bus.read_byte(0x60) for _ in range(4)] == list(WAKE_RESPONSE)
        assert bus.read_byte_data(0x60, 0) == WAKE_RESPONSE[0]
        bus.write_quick(0x60)
        bus.write_i2c_block_data(0x60, 0x03, list(bytes.fromhex("0730000000035d")))
        part.wait(5_000)
        assert bytes(bus.read_i2c_block_data(0x60, 0, 7)).hex() == "0700006003" + "83bb"
        read = i2c_msg.read(0x60, 7)
        bus.i2c_rdwr(i2c_msg.write(0x60, [0]), read)
        assert bytes(read).hex() == "070000600383bb"
        bus.write_byte_data(0x60, 0x02, 0)
        assert part.chip.power is Power.IDLE
        with pytest.raises(ValueError, match="32"):
            bus.read_i2c_block_data(0x60, 0, 33)
        with pytest.raises(ValueError, match="32"):
            bus.write_i2c_block_data(0x60, 3, [0] * 33)


def test_the_busio_front_wants_its_lock_and_fails_as_circuitpython_does() -> None:
    with emulated_element() as part:
        bus = part.busio
        with pytest.raises(RuntimeError, match="lock"):
            bus.writeto(0x60, b"\0")
        assert bus.try_lock()
        assert not bus.try_lock()
        with pytest.raises(OSError, match="No such device") as caught:
            bus.writeto(0, b"\0")
        assert caught.value.errno == errno.ENODEV
        part.wait(2_000)
        assert bus.scan() == [0x60]
        answer = bytearray(6)
        bus.readfrom_into(0x60, answer, start=1, end=5)
        assert answer == b"\0" + WAKE_RESPONSE + b"\0"
        bus.writeto_then_readfrom(0x60, b"\xaa\x00", answer, out_start=1, in_end=4)
        assert answer[:4] == WAKE_RESPONSE
        bus.unlock()
        with pytest.raises(ValueError, match="Not locked"):
            bus.unlock()


def test_the_time_front_runs_on_the_clock_of_the_part() -> None:
    with emulated_element() as part:
        start = part.time.monotonic_ns()
        part.time.sleep(0.25)
        part.time.sleep_ms(10)
        part.time.sleep_us(5)
        assert part.time.monotonic_ns() - start == 260_005_000
        assert part.time.perf_counter() == part.time.monotonic() == part.clock.now / 1e6


def test_on_the_wall_clock_a_part_takes_its_time() -> None:
    with emulated_element("atecc508a", "provisioned", clock="wall") as part:
        element = Element(part.bus, part.address, "atecc508a")
        start = wall_us()
        element.sign_digest(0, bytes(32))
        assert wall_us() - start >= 42_000
