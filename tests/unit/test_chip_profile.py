"""Chip profiles: what the YAML files say, and how they can be wrong."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hil.emulator.chip import Chip, Memory, load_profile, profile_names
from hil.emulator.chip.commands import ALL_FORMS
from hil.emulator.chip.config import decode_counter, encode_counter
from hil.emulator.chip.forms import table
from hil.emulator.chip.profile import parse_profile
from hil.errors import ConfigError, UsageError
from hil.wire.atecc import Command, crc16, decode_response
from hil.wire.serials import is_reserved, reserved_serial
from tests.unit.chip_bench import SERIAL


def test_the_four_parts_are_there() -> None:
    assert profile_names() == ["atecc508a", "atecc608-next", "atecc608a", "atecc608b"]


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("atecc508a", "00005000"),
        ("atecc608a", "00006002"),
        ("atecc608b", "00006003"),
        ("atecc608-next", "00006004"),
    ],
)
def test_a_part_has_its_revision(name: str, revision: str) -> None:
    assert load_profile(name).revision_bytes.hex() == revision


def test_the_factory_configuration_of_the_508a_has_the_crc_of_a_real_part() -> None:
    config = bytearray(load_profile("atecc508a").factory_config)
    config[:16] = bytes.fromhex("0123F52E0000500001F0C201EEC05500")
    assert crc16(bytes(config)) == bytes.fromhex("2012")


def test_the_next_revision_does_not_repeat_its_revision_in_the_configuration() -> None:
    profile = load_profile("atecc608-next")
    assert profile.factory_config[4:8] != profile.revision_bytes


def test_the_next_revision_is_slower_than_the_published_maximum() -> None:
    old, new = load_profile("atecc608b"), load_profile("atecc608-next")
    row = new.time_of("Sign external", "Sign")
    assert new.range_of(row)[1] > old.range_of(row)[1]


def test_typical_times_of_slower_clocks_follow_the_maxima() -> None:
    profile = load_profile("atecc608a")
    row = profile.time_of("Sign external", "Sign")
    assert profile.range_of(row, 0) == (60_000, 115_000)
    assert profile.range_of(row, 2) == (60_000 * 665 // 115, 665_000)


@pytest.mark.parametrize("name", ["atecc508a", "atecc608a"])
def test_every_form_has_a_time_and_a_source(name: str) -> None:
    profile = load_profile(name)
    for form in set(table(ALL_FORMS, profile.family).values()):
        assert profile.range_of(profile.time_of(form.name, form.opcode.label))[1] > 0
        assert form.source


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_lists_every_command_and_mode_that_has_a_behaviour(name: str) -> None:
    profile = load_profile(name)
    assert profile.modes == table(ALL_FORMS, profile.family).keys()


def test_a_mode_that_the_profile_does_not_list_is_a_parse_error() -> None:
    profile = load_profile("atecc608b")
    commands = {**profile.commands, "Info": "00/01"}
    del commands["KDF"]
    chip = Chip(replace(profile, commands=commands), Memory.blank(profile, SERIAL), now=lambda: 0)
    answers = [decode_response(chip.execute(Command(opcode, p1).encode())) for opcode, p1 in
               ((0x30, 0), (0x30, 1), (0x30, 2), (0x56, 0))]  # fmt: skip
    assert [len(answer) for answer in answers[:2]] == [4, 4]
    assert answers[2:] == [b"\x03", b"\x03"]


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ({"Sing": "00"}, "no command 'Sing'"),
        ({"Sign": "80/4"}, "'80/4'"),
        ({"Sign": "8"}, "'8'"),
        ({"Sign": "80/40/20"}, "'80/40/20'"),
    ],
)
def test_a_command_that_cannot_be_is_refused_with_its_place(commands: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _ = replace(load_profile("atecc508a"), commands=commands).modes


def test_a_mode_without_a_behaviour_is_refused() -> None:
    profile = replace(load_profile("atecc508a"), commands={"Info": "00 04"})
    with pytest.raises(ConfigError, match="30 mode 04"):
        Chip(profile, Memory.blank(profile, SERIAL), now=lambda: 0)


def test_an_unknown_part_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match="atecc999") as caught:
        load_profile("atecc999")
    assert "atecc508a" in str(caught.value)


def test_an_unknown_knob_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"chips/x\.yaml"):
        parse_profile({"name": "x", "knobs": {"no_such_knob": 1}}, where="chips/x.yaml")


def test_a_part_has_no_configuration_of_that_name() -> None:
    with pytest.raises(ConfigError, match="mongoose-os"):
        load_profile("atecc508a").configuration("adafruit")


def test_the_608_sample_of_mongoose_os_falls_into_the_count_match_trap() -> None:
    memory = Memory.configured(load_profile("atecc608b"), SERIAL, "mongoose-os")
    assert memory.config[18] == 0x55
    assert memory.config[68:76] == b"\xff" * 8


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (0, "FFFFFFFF00000000"),
        (31, "0000000100000000"),
        (32, "FFFF000000010000"),
        (45, "0007000000010000"),
        (48, "0000FFFF00010001"),
        (2097151, "00000001FFFFFFFF"),
    ],
)
def test_counters_are_encoded_as_on_real_parts(value: int, field: str) -> None:
    assert encode_counter(value).hex().upper() == field
    assert decode_counter(bytes.fromhex(field)) == value


def test_every_counter_value_survives_its_encoding() -> None:
    for value in [*range(2000), *range(2_096_000, 2_097_152)]:
        assert decode_counter(encode_counter(value)) == value


def test_reserved_serials_are_recognised() -> None:
    assert is_reserved(reserved_serial(1))
    assert reserved_serial(1) == bytes.fromhex("0123E07E00000001EE")
    assert reserved_serial(1, trust=True)[8] == 1
    assert not is_reserved(bytes.fromhex("0123f3acfd2a826bee"))


def test_a_serial_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="9 bytes"):
        is_reserved(bytes(8))
    with pytest.raises(UsageError, match="9 bytes"):
        Memory.blank(load_profile("atecc508a"), bytes(8))
    with pytest.raises(UsageError, match="reserved range"):
        reserved_serial(1 << 32)


def test_the_memory_shows_no_secret_in_its_repr() -> None:
    memory = Memory.blank(load_profile("atecc508a"), SERIAL)
    memory.set_private_key(0, bytes(31) + b"\x55")
    assert repr(memory) == "Memory(serial=0123e07e00000007ee, config open, data open)"


def test_the_factory_refuses_what_does_not_fit() -> None:
    memory = Memory.blank(load_profile("atecc508a"), SERIAL)
    with pytest.raises(UsageError, match="do not fit"):
        memory.set_slot(0, bytes(37))
    with pytest.raises(UsageError, match="slots 0 to 15"):
        memory.set_slot(16, b"")
    with pytest.raises(UsageError, match="order"):
        memory.set_private_key(0, b"\xff" * 32)
    with pytest.raises(UsageError, match="32 bytes"):
        memory.set_private_key(0, bytes(31))
    with pytest.raises(UsageError, match="slots 8 to 15"):
        memory.set_public_key(3, bytes(64))
