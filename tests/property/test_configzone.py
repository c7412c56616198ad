"""The configuration model keeps every bit, whatever the bits are."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.element.configfiles import dump_config, parse_config
from hil.element.configwords import describe, diff, field_at
from hil.element.configzone import ConfigZone, KeyConfig, SlotConfig
from hil.errors import ConfigError

zones = st.binary(min_size=128, max_size=128)
words = st.integers(0, 0xFFFF)


@given(zones)
def test_any_128_bytes_round_trip(raw: bytes) -> None:
    assert ConfigZone.from_bytes(raw).to_bytes() == raw


@given(words)
def test_any_slot_config_word_round_trips(value: int) -> None:
    assert SlotConfig.from_int(value).to_int() == value


@given(words)
def test_any_key_config_word_round_trips(value: int) -> None:
    assert KeyConfig.from_int(value).to_int() == value


@given(zones)
def test_hex_loses_nothing(raw: bytes) -> None:
    assert parse_config(dump_config(ConfigZone.from_bytes(raw), "hex"), "hex").to_bytes() == raw


def expressible(raw: bytes) -> bytes:
    """The nearest zone that the YAML and JSON forms have a place for."""
    zone = bytearray(raw)
    zone[14] &= 0x01
    zone[19] &= 0x07
    for lock in (86, 87):
        zone[lock] = 0x55 if zone[lock] & 1 else 0x00
    for slot in range(16):
        at = 96 + 2 * slot
        zone[at] = zone[at] & ~0x1C | (0x10, 0x18, 0x1C)[zone[at] % 3]
        zone[at + 1] &= ~0x20
    return bytes(zone)


@settings(max_examples=30)
@given(zones, st.sampled_from(["yaml", "json"]))
def test_what_a_form_can_express_comes_back_exactly(raw: bytes, form: str) -> None:
    zone = ConfigZone.from_bytes(expressible(raw))
    assert parse_config(dump_config(zone, form), form) == zone  # type: ignore[arg-type]


@settings(max_examples=30)
@given(zones, st.sampled_from(["yaml", "json"]))
def test_a_form_gives_the_same_zone_back_or_refuses_it(raw: bytes, form: str) -> None:
    raw = raw[:14] + bytes((raw[14] & 1,)) + raw[15:]
    zone = ConfigZone.from_bytes(raw)
    try:
        text = dump_config(zone, form)  # type: ignore[arg-type]
    except ConfigError:
        assert raw != expressible(raw)
    else:
        assert parse_config(text, form) == zone  # type: ignore[arg-type]


@given(zones, zones)
def test_differences_are_exactly_the_bytes_that_differ(left: bytes, right: bytes) -> None:
    found = diff(ConfigZone.from_bytes(left), ConfigZone.from_bytes(right))
    assert {item.field for item in found} == {field_at(at) for at in range(128) if left[at] != right[at]}


@given(zones)
def test_any_zone_can_be_put_into_words(raw: bytes) -> None:
    assert len(describe(ConfigZone.from_bytes(raw)).splitlines()) == 17
