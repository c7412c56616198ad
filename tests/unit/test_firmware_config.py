from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.boards.mongoose_config import Config, apply, defaults, flash_with_config, lookup
from hil.emulator.boards.mongoose_fs import FileSystem, Flash

MAC = "5c:cf:7f:a1:b2:c3"
BASE = defaults("esp8266", MAC)


def config(flash: Flash | None = None) -> Config:
    return Config(BASE, FileSystem(flash or Flash()))


@pytest.mark.parametrize(("arch", "sda", "scl"), [("esp8266", 12, 14), ("esp32", 32, 33)])
def test_default_pins_are_those_of_the_platform(arch: str, sda: int, scl: int) -> None:
    tree = defaults(arch, MAC)
    assert (lookup(tree, "i2c.sda_gpio"), lookup(tree, "i2c.scl_gpio")) == (sda, scl)
    assert lookup(tree, "i2c.enable") is False
    assert lookup(tree, "sys.atca.enable") is False


def test_names_are_made_from_the_mac() -> None:
    assert lookup(BASE, "device.id") == "esp8266_A1B2C3"
    assert lookup(BASE, "wifi.ap.ssid") == "Mongoose_A1B2C3"


@pytest.mark.parametrize(
    "key",
    [
        "mqtt.enable",
        "mqtt.server",
        "mqtt.ssl_ca_cert",
        "mqtt.ssl_cert",
        "mqtt.ssl_key",
        "mqtt.ssl_cipher_suites",
        "aws.thing_name",
        "device.id",
        "http.listen_addr",
        "http.ssl_cert",
        "http.ssl_key",
        "wifi.ap.enable",
        "wifi.sta.ssid",
        "wifi.sta.pass",
        "aws.greengrass",
    ],
)
def test_every_key_that_mos_sets_exists(key: str) -> None:
    assert lookup(BASE, key) is not None


def test_flash_with_config_overrides_defaults_at_boot() -> None:
    running = config(flash_with_config({"i2c.enable": True, "mqtt.server": "test:8883"}, {"a.pem": b"x"}))
    assert running.flag("i2c.enable")
    assert running.text("mqtt.server") == "test:8883"
    assert running.integer("i2c.freq") == 100_000


def test_levels_stack_and_the_user_wins() -> None:
    flash = flash_with_config({"i2c.freq": 50_000})
    flash.files["conf1.json"] = json.dumps({"i2c": {"freq": 400_000, "enable": True}}).encode()
    running = config(flash)
    assert running.integer("i2c.freq") == 50_000
    assert running.flag("i2c.enable")
    assert lookup(running.level(1), "i2c.freq") == 400_000
    assert lookup(running.level(0), "i2c.freq") == 100_000


def test_save_writes_only_what_differs_from_the_level_below() -> None:
    flash = Flash()
    flash.files["conf1.json"] = json.dumps({"i2c": {"freq": 400_000}}).encode()
    running = config(flash)
    running.tree = apply(running.tree, "i2c.enable", True)
    running.save()
    assert json.loads(flash.files["conf9.json"]) == {"i2c": {"enable": True}}
    assert config(flash).tree == running.tree


def test_setting_back_to_the_default_is_remembered_over_a_lower_level() -> None:
    flash = Flash()
    flash.files["conf1.json"] = json.dumps({"i2c": {"freq": 400_000}}).encode()
    running = config(flash)
    running.tree = apply(running.tree, "i2c.freq", 100_000)
    running.save()
    assert config(flash).integer("i2c.freq") == 100_000


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[1]", b'{"i2c":{"freq":"fast"}}', b"[" * 4000, b"\xff"]
)
def test_a_broken_level_is_skipped_and_the_board_still_starts(content: bytes) -> None:
    running = config(Flash({"conf9.json": content}))
    assert running.tree == BASE


def test_unknown_keys_are_ignored_and_never_made() -> None:
    assert apply(BASE, "", {"bogus": {"key": 1}, "i2c": {"colour": "red"}}) == BASE


def test_unknown_path_is_an_error() -> None:
    with pytest.raises(KeyError):
        apply(BASE, "i2c.colour", 1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("i2c.enable", 1, "[i2c.enable] is not a boolean"),
        ("i2c.freq", "100000", "[i2c.freq] is not a number"),
        ("i2c.freq", True, "[i2c.freq] is not a number"),
        ("mqtt.server", 7, "[mqtt.server] is not a string"),
        ("i2c", 5, "[i2c] is not an object"),
        ("", 5, "Not an object"),
    ],
)
def test_a_value_of_another_type_is_refused_in_the_firmwares_words(
    path: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        apply(BASE, path, value)


def test_a_refused_value_leaves_its_siblings_unset() -> None:
    before = config()
    with pytest.raises(ValueError, match="not a number"):
        apply(before.tree, "", {"mqtt": {"server": "new:1"}, "i2c": {"freq": "x"}})
    assert before.text("mqtt.server") == ""


def test_numbers_are_cut_to_the_firmwares_int_and_kept_where_they_are_fractions() -> None:
    assert lookup(apply(BASE, "i2c.freq", 1e9 + 0.5), "i2c.freq") == 1_000_000_000
    assert lookup(apply(BASE, "i2c.freq", 1e300), "i2c.freq") == (1 << 31) - 1
    assert lookup(apply(BASE, "mqtt.reconnect_timeout_min", 0.5), "mqtt.reconnect_timeout_min") == 0.5


def test_null_empties_a_string() -> None:
    assert lookup(apply(BASE, "device.id", None), "device.id") == ""


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "i2c.enable": st.booleans(),
        "i2c.freq": st.integers(-(1 << 31), (1 << 31) - 1),
        "mqtt.server": st.text(max_size=20),
        "mqtt.reconnect_timeout_max": st.floats(allow_nan=False, allow_infinity=False),
        "sys.atca.i2c_addr": st.integers(0, 255),
    },
)


@given(SETTINGS)
def test_what_was_saved_comes_back(settings: dict[str, bool | int | float | str]) -> None:
    running = config(flash := Flash())
    for path, value in settings.items():
        running.tree = apply(running.tree, path, value)
    running.save()
    assert config(flash).tree == running.tree


# -- a configuration that is tried once ----------------------------------------------------------


def tried(flash: Flash) -> Config:
    """A board whose saved server is ``good`` tries ``other``; returns the start that tries it."""
    first = config(flash)
    first.save(apply(first.tree, "mqtt.server", "good"))
    second = config(flash)
    second.save(apply(second.tree, "mqtt.server", "other"), try_once=True)
    return config(flash)


def test_a_tried_configuration_holds_for_one_start() -> None:
    flash = Flash()
    assert tried(flash).text("mqtt.server") == "other"
    assert config(flash).text("mqtt.server") == "good"
    assert config(flash).text("mqtt.server") == "good"
    assert list(flash.files) == ["conf9.json"]


def test_saving_while_it_is_tried_keeps_it() -> None:
    flash = Flash()
    tried(flash).save()
    assert config(flash).text("mqtt.server") == "other"


def test_a_second_try_goes_back_to_the_last_good_configuration() -> None:
    flash = Flash()
    running = tried(flash)
    running.save(apply(running.tree, "mqtt.server", "third"), try_once=True)
    assert config(flash).text("mqtt.server") == "third"
    assert config(flash).text("mqtt.server") == "good"


def test_saving_for_good_before_the_start_forgets_the_try() -> None:
    flash = Flash()
    running = config(flash)
    running.save(apply(running.tree, "mqtt.server", "other"), try_once=True)
    running.save(apply(running.tree, "mqtt.server", "good"))
    assert config(flash).text("mqtt.server") == "good"
    assert config(flash).text("mqtt.server") == "good"
