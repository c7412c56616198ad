"""The configuration model: bytes, file forms, words; and the configurations that are shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from hil.element.configfiles import dump_config, form_of, load_config, parse_config
from hil.element.configwords import describe, describe_slot, diff, field_at
from hil.element.configzone import ConfigZone, KeyConfig, Slot, SlotConfig
from hil.errors import ConfigError, UsageError

MONGOOSE_OS = bytes.fromhex(
    "C0005500 87648764 87648764 8F0F8F8F"
    "9F8F8220 C444C444 0F0F0F0F 0F0F0F0F"
    "834F0F0F FFFFFFFF 00000000 FFFFFFFF"
    "00000000 FFFFFFFF FFFFFFFF FFFFFFFF FFFFFFFF 00005555 FFFF0000 00000000"
    "33003300 33003300 3C001C00 1C003300"
    "1C001C00 3C003C00 3C003C00 13003C00"
)
"""Bytes 16 to 127 of the sample as the mos tool encodes them."""
TNGTLS_CHIP_OPTIONS = 0x600E
HEAD = bytes.fromhex("0123f52e0000500001f0c201eec05500")
MONGOOSE_ZONE = HEAD + MONGOOSE_OS


def shipped(name: str) -> ConfigZone:
    return load_config(Path(str(files("hil.rigs").joinpath("configs", name))))


def test_the_zone_round_trips() -> None:
    assert ConfigZone.from_bytes(MONGOOSE_ZONE).to_bytes() == MONGOOSE_ZONE


def test_the_fields_are_where_the_data_sheet_puts_them() -> None:
    zone = ConfigZone.from_bytes(bytes(range(128)))
    assert zone.serial == bytes((0, 1, 2, 3, 8, 9, 10, 11, 12))
    assert zone.revision == bytes((4, 5, 6, 7))
    assert (zone.reserved13, zone.i2c_enable, zone.reserved15) == (13, 14, 15)
    assert (zone.i2c_address, zone.reserved17, zone.otp_mode, zone.chip_mode) == (16, 17, 18, 19)
    assert zone.slots[1].config.to_int() == 22 | 23 << 8
    assert zone.slots[15].key.to_int() == 126 | 127 << 8
    assert (zone.counter0[0], zone.counter1[0], zone.last_key_use[0]) == (52, 60, 68)
    assert (zone.user_extra, zone.selector, zone.lock_value, zone.lock_config) == (84, 85, 86, 87)
    assert zone.slot_locked == 88 | 89 << 8
    assert zone.chip_options == 90 | 91 << 8
    assert zone.x509_format == bytes((92, 93, 94, 95))


def test_slot_and_key_words_of_trust_and_go() -> None:
    rules = SlotConfig.from_int(0x0085)
    assert (rules.external_sign, rules.internal_sign, rules.ecdh, rules.is_secret) == (
        True,
        False,
        True,
        True,
    )
    assert (rules.write_config, rules.write_key) == (0, 0)
    key = KeyConfig.from_int(0x0053)
    assert (key.private, key.pub_info, key.key_type, key.lockable, key.req_random) == (
        True,
        True,
        4,
        False,
        True,
    )


def test_private_and_counted_slots_of_the_sample() -> None:
    zone = ConfigZone.from_bytes(MONGOOSE_ZONE)
    assert zone.private_slots == (0, 1, 2, 3, 7, 14)
    assert zone.data_slots == (4, 5, 6, 8, 9, 10, 11, 12, 13, 15)
    assert zone.address == 0x60
    assert (zone.config_locked, zone.data_locked) == (False, False)


def test_what_no_write_can_change_is_taken_from_the_part() -> None:
    wanted = shipped("mongoose-os-test.yaml")
    part = ConfigZone.from_bytes(bytes(range(128)))
    both = wanted.onto(part).to_bytes()
    assert both[:16] == bytes(range(16))
    assert both[84:88] == bytes(range(84, 88))
    assert both[16:84] + both[88:] == MONGOOSE_OS[:68] + MONGOOSE_OS[72:]


@pytest.mark.parametrize(
    "broken",
    [
        lambda z: replace(z, i2c_address=256),
        lambda z: replace(z, slot_locked=-1),
        lambda z: replace(z, counter0=b""),
        lambda z: replace(z, slots=z.slots[:15]),
        lambda z: replace(z, slots=(Slot(SlotConfig(write_key=16), KeyConfig()), *z.slots[1:])),
        lambda z: replace(z, slots=(Slot(SlotConfig(), KeyConfig(key_type=8)), *z.slots[1:])),
    ],
)
def test_fields_that_do_not_fit_are_named(broken: object) -> None:
    zone = broken(ConfigZone.from_bytes(MONGOOSE_ZONE))  # type: ignore[operator]
    with pytest.raises(UsageError):
        zone.to_bytes()


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(UsageError, match="128 bytes, not 127"):
        ConfigZone.from_bytes(bytes(127))


# Shipped configurations


def test_the_mongoose_os_sample_is_byte_for_byte_what_mos_makes_of_it() -> None:
    assert shipped("mongoose-os-test.yaml").to_bytes()[16:] == MONGOOSE_OS


def test_the_608_configuration_has_no_508_traps() -> None:
    raw = shipped("hil-test-608.yaml").to_bytes()
    assert raw[16] == 0xC0
    assert raw[18] == 0, "CountMatch"
    assert raw[19] == 0, "ChipMode"
    assert raw[68:84] == bytes(16), "UseLock, VolatileKeyPermission, SecureBoot, KdfIv"
    assert raw[90:92] == bytes(2), "ChipOptions"


def test_the_608_configuration_gives_the_slots_the_same_roles() -> None:
    ours, sample = shipped("hil-test-608.yaml"), shipped("mongoose-os-test.yaml")
    same = [n for n in range(16) if ours.slots[n] == sample.slots[n]]
    assert same == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 15]
    kek = ours.slots[4].config
    assert (kek.is_secret, kek.encrypt_read, kek.write_config) == (True, False, 0)
    assert ours.slots[14].config.write_key == 4, "its write key must be one that nobody can read"


@pytest.mark.parametrize("name", ["mongoose-os-test.yaml", "hil-test-608.yaml"])
def test_shipped_configurations_say_that_they_are_for_tests_only(name: str) -> None:
    text = files("hil.rigs").joinpath("configs", name).read_text(encoding="utf-8")
    assert text.startswith("#")
    assert "FOR TESTS ONLY" in text


# File forms


@pytest.mark.parametrize("form", ["yaml", "json", "hex"])
def test_every_form_round_trips(form: str) -> None:
    zone = ConfigZone.from_bytes(MONGOOSE_ZONE)
    back = parse_config(dump_config(zone, form), form)  # type: ignore[arg-type]
    expected = zone if form == "hex" else replace(zone, i2c_enable=zone.i2c_enable & 1)
    assert back == expected


def test_json_has_the_camel_case_keys_of_mos_and_a_base64_serial_number() -> None:
    tree = json.loads(dump_config(ConfigZone.from_bytes(MONGOOSE_ZONE), "json"))
    assert tree["SerialNum"] == "ASP1LgHwwgHu"
    assert (tree["I2CEnable"], tree["OTPMode"], tree["ChipMode"]["WatchDogDuration"]) == (True, 85, "1s")
    assert tree["SlotInfo"][0]["SlotConfig"]["PrivateKeySlotConfig"]["ECDHEnable"] is True
    assert tree["SlotInfo"][4]["SlotConfig"]["NoMAC"] is False
    assert tree["SlotInfo"][4]["KeyConfig"]["X509ID"] == 0
    assert tree["X509Format"][0] == {"PublicPosition": 0, "TemplateLength": 0}


def test_counters_are_big_endian_numbers() -> None:
    tree = yaml.safe_load(dump_config(ConfigZone.from_bytes(MONGOOSE_ZONE), "yaml"))
    assert tree["counter0"] == 18446744069414584320
    assert tree["lastkeyuse1"] == 18446744073709551615
    assert tree["serialnum"] == list(bytes.fromhex("0123f52e01f0c201ee"))


def test_hex_takes_every_pair_of_digits() -> None:
    text = "\n".join(
        ", ".join(f"0x{byte:02X}" for byte in MONGOOSE_ZONE[at : at + 4]) for at in range(0, 128, 4)
    )
    assert parse_config(text, "hex").to_bytes() == MONGOOSE_ZONE
    assert parse_config(MONGOOSE_ZONE.hex(), "hex").to_bytes() == MONGOOSE_ZONE


def test_hex_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds 127 bytes"):
        parse_config(MONGOOSE_ZONE[1:].hex(), "hex")


def test_the_form_follows_from_the_suffix() -> None:
    assert [form_of(Path(f"x{suffix}")) for suffix in (".yaml", ".YML", ".json", ".hex", "")] == [
        "yaml",
        "yaml",
        "json",
        "hex",
        "hex",
    ]


def sample_tree() -> dict[str, object]:
    tree = yaml.safe_load(dump_config(ConfigZone.from_bytes(MONGOOSE_ZONE), "yaml"))
    assert isinstance(tree, dict)
    return tree


def broken(change: str, value: object) -> str:
    """The sample with the value at a dotted path replaced, or the key removed for ``...``."""
    tree = sample_tree()
    *path, last = [int(part) if part.isdigit() else part for part in change.split(".")]
    node: object = tree
    for part in path:
        node = node[part]  # type: ignore[index]
    if value is ...:
        del node[last]  # type: ignore[attr-defined]
    else:
        node[last] = value  # type: ignore[index]
    return yaml.safe_dump(tree)


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("i2caddress", ..., "i2caddress is missing"),
        ("i2caddress", 256, "i2caddress: 256 is no number from 0 to 255"),
        ("i2caddress", True, "i2caddress: True is no number"),
        ("i2cenable", 1, "i2cenable: 1 is neither true nor false"),
        ("chipmode.watchdogduration", "2s", "chipmode.watchdogduration: '2s' is none of"),
        (
            "slotinfo.3.slotconfig.writekey",
            16,
            r"slotinfo\[3\].slotconfig.writekey: 16 is no number from 0 to 15",
        ),
        (
            "slotinfo.3.slotconfig.privatekeyslotconfig",
            ...,
            r"slotinfo\[3\].slotconfig.privatekeyslotconfig is missing",
        ),
        ("slotinfo.4.slotconfig.readkey", ..., r"slotinfo\[4\].slotconfig.readkey is missing"),
        (
            "slotinfo.4.slotconfig.wriiteconfig",
            3,
            r"slotinfo\[4\].slotconfig.wriiteconfig does not belong there",
        ),
        ("slotinfo.4.keyconfig.keytype", "RSA", r"slotinfo\[4\].keyconfig.keytype: 'RSA' is none of"),
        ("slotinfo.4.num", 3, "slotinfo: a slot number stands there twice"),
        ("slotinfo", [], "slotinfo: 16 entries are needed, found 0"),
        ("x509format", 3, "x509format: 4 entries are needed, found no list"),
        ("lockvalue", "Open", "lockvalue: 'Open' is none of locked, unlocked"),
        ("serialnum", [1, 2], "serialnum: nine bytes are needed, found 2"),
        ("serialnum", "?", "serialnum: neither nine numbers nor base64"),
        ("counter0", 2**64, "counter0: 18446744073709551616 is no number from 0 to 18446744073709551615"),
        ("colour", "red", "colour does not belong there"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_key(change: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(broken(change, value), "yaml", "sample.yaml")


def test_a_misspelt_key_gets_a_hint() -> None:
    text = broken("otpmode", ...) + "otpmod: 85\n"
    with pytest.raises(ConfigError, match="a slip of the pen"):
        parse_config(text, "yaml")


@pytest.mark.parametrize(("text", "form"), [("a: [", "yaml"), ("{", "json"), ("- 1", "yaml"), ("", "yaml")])
def test_what_is_no_configuration_at_all_is_a_config_error(text: str, form: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, form)  # type: ignore[arg-type]


def test_an_absent_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.yaml")


def test_serial_number_and_revision_may_be_left_out() -> None:
    tree = sample_tree()
    del tree["serialnum"], tree["revision"]
    zone = parse_config(yaml.safe_dump(tree), "yaml")
    assert (zone.serial, zone.revision) == (bytes(9), bytes(4))


@pytest.mark.parametrize(
    "change",
    [
        {"chip_mode": 0x28},
        {"lock_config": 0xAA},
        {"slots": (Slot(SlotConfig(), KeyConfig(reserved13=True)),) * 16},
    ],
)
def test_what_yaml_cannot_express_is_refused_and_hex_can(change: dict[str, object]) -> None:
    zone = replace(ConfigZone.from_bytes(MONGOOSE_ZONE), **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="YAML and JSON cannot express"):
        dump_config(zone, "yaml")
    assert parse_config(dump_config(zone, "hex"), "hex") == zone


# Words


def test_slots_in_words() -> None:
    zone = ConfigZone.from_bytes(MONGOOSE_ZONE)
    assert describe_slot(zone, 0) == (
        "P-256 private key; signs digests from outside, signs the element's own messages, agrees on keys "
        "(ECDH); public key on request; never readable; GenKey makes a new key, PrivWrite encrypted under "
        "key 4; can be locked alone"
    )
    assert (
        describe_slot(zone, 4) == "36 bytes of secret; never readable; written in clear; can be locked alone"
    )
    assert describe_slot(zone, 6).startswith(
        "36 bytes of secret; not for MACs; never readable; never written"
    )
    assert "read encrypted under key 4; written encrypted under key 4" in describe_slot(zone, 8)


def test_words_for_what_trust_parts_use() -> None:
    zone = ConfigZone.from_bytes(MONGOOSE_ZONE)
    slots = list(zone.slots)
    slots[14] = Slot(SlotConfig.from_int(0x1F0D), KeyConfig.from_int(0x0012))
    slots[5] = Slot(SlotConfig.from_int(0x468F), KeyConfig.from_int(0x0038))
    slots[0] = Slot(SlotConfig.from_int(0x0085), KeyConfig.from_int(0x1053))
    slots[6] = Slot(SlotConfig.from_int(0xF48F), KeyConfig.from_int(0x02FC))
    zone = replace(zone, slots=tuple(slots), slot_locked=0xFFDF)
    assert "P-256 public key, to be validated before use" in describe_slot(zone, 14)
    assert "unless it holds a validated public key" in describe_slot(zone, 14)
    assert describe_slot(zone, 5).startswith(
        "AES keys, 36 bytes; never readable; written encrypted under key 6"
    )
    assert "locked for ever" in describe_slot(zone, 5)
    assert "needs a random nonce" in describe_slot(zone, 0)
    assert "can be disabled by the latch" in describe_slot(zone, 0)
    assert "needs authorisation by key 2" in describe_slot(zone, 6)
    assert "DeriveKey from key 4 with a MAC" in describe_slot(zone, 6)


def test_the_description_of_a_whole_zone_begins_with_address_and_locks() -> None:
    lines = describe(ConfigZone.from_bytes(MONGOOSE_ZONE)).splitlines()
    assert lines[0] == "address 0x60, configuration unlocked, data unlocked"
    assert len(lines) == 17


def test_the_description_tells_locked_zones() -> None:
    zone = replace(ConfigZone.from_bytes(MONGOOSE_ZONE), lock_config=0)
    assert describe(zone).startswith("address 0x60, configuration locked, data unlocked")
    assert describe(replace(zone, lock_value=0xAA)).startswith(
        "address 0x60, configuration locked, data locked"
    )


def test_every_byte_belongs_to_a_field() -> None:
    names = [field_at(offset) for offset in range(128)]
    assert names[20] == names[21] == "SlotConfig[0]"
    assert names[127] == "KeyConfig[15]"
    assert len(set(names)) == 57


def test_every_single_changed_byte_is_a_difference_of_its_field_alone() -> None:
    before = ConfigZone.from_bytes(bytes(128))
    for offset in range(128):
        raw = bytearray(128)
        raw[offset] = 1
        (found,) = diff(before, ConfigZone.from_bytes(bytes(raw)))
        assert found.field == field_at(offset)
        assert found.offset <= offset < found.offset + len(found.after)
        assert found.after == bytes(raw[found.offset : found.offset + len(found.after)])
    assert sum(len({field_at(at)}) for at in range(128)) == 128


def test_differences_are_named_by_field() -> None:
    before = ConfigZone.from_bytes(MONGOOSE_ZONE)
    after = replace(before, otp_mode=0, slot_locked=0xFFFE)
    assert [str(item) for item in diff(before, after)] == [
        "byte  18 OTPmode / CountMatch: 55 → 00",
        "byte  88 SlotLocked: ff ff → fe ff",
    ]
    assert diff(before, before) == []
