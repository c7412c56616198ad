"""Rig files: what is read, and what every mistake is told as."""
# ruff: noqa: E501  (a case and its message stand on one line)

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hil import rigfile
from hil.errors import ConfigError, UsageError
from hil.rigfile.binding import fields_of, parse

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
rig: bench
board:
  kind: mongoose-os
  mcu: esp8266
  port: /dev/ttyUSB0
element:
  part: atecc508a
  state: blank
"""
EMULATED = """\
rig: bench
board: {kind: mongoose-os, mcu: esp32, port: emu://bench/board}
element: {part: atecc608b, state: blank, serial: 0123e07e00000001ee}
emulation: {chip: atecc608b, cost_model: esp32-240mhz}
"""


def load(folder: Path, text: str, name: str = "bench") -> rigfile.RigFile:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return rigfile.load(path)


def complaint(folder: Path, text: str, name: str = "bench") -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, name)
    return caught.value.message.replace(f"{folder}/", "")


def test_a_short_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    rig = load(tmp_path, GOOD)
    assert (rig.rig, rig.board.baud, rig.element.address, rig.bus.hz) == ("bench", 115_200, 96, 100_000)
    assert (rig.power.kind, rig.power.safe_state, rig.wiring, rig.emulated) == ("none", "off", None, False)
    assert rig.path == tmp_path / "bench.yaml"


def test_models_are_frozen(tmp_path: Path) -> None:
    rig = load(tmp_path, GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rig.element.address = 53  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD.replace("port:", "prot:"),
            "bench.yaml:5:3: unknown key 'prot' in board (did you mean 'port'?)",
        ),
        (GOOD.replace("part:", "prat:"), "bench.yaml:7:3: unknown key 'prat' in element (did you mean 'part'?)"),
        (GOOD + "xyzzy: 1\n", "bench.yaml:9:1: unknown key 'xyzzy' in the rig file"),
        (GOOD.replace("esp8266", "esp8622"), "bench.yaml:4:8: mcu must be esp8266 or esp32, not 'esp8622' (did you mean 'esp8266'?)"),
        (GOOD.replace("  part: atecc508a\n", ""), "bench.yaml:7:3: element lacks the key 'part': The part number."),
        (GOOD.replace("/dev/ttyUSB0", "{a: 1}"), "bench.yaml:5:9: port must be text, not a section"),
        (GOOD.replace("/dev/ttyUSB0", ""), "bench.yaml:5:8: port has no value; it must be text"),
        (GOOD + "  address: 200\n", "bench.yaml:9:12: address is 200; allowed is 8 to 119"),
        (GOOD + '  address: "96"\n', "bench.yaml:9:12: address must be a whole number, not the text '96'"),
        (GOOD + "  address: 096\n", "bench.yaml:9:12: address must be a whole number, not '096'"),
        (GOOD + "  expendable: yes\n", "bench.yaml:9:15: expendable must be true or false, not 'yes'"),
        (GOOD + "  state: trust\n", "bench.yaml:9:3: 'state' stands twice in element"),
        (GOOD + "  serial: 012352AAD1BBF378EE\n", "bench.yaml:9:11: serial must be 18 lower-case hex digits that begin with 0123, not '012352AAD1BBF378EE'"),
        (GOOD + "connect: {tls_versions: 1.2}\n", "bench.yaml:9:25: tls_versions must be a list, not '1.2'"),
        (GOOD + "connect: {tls_versions: [1.1]}\n", "bench.yaml:9:26: tls_versions must be 1.2 or 1.3, not '1.1'"),
        (GOOD + "board2: [\n", "bench.yaml:10:1: not valid YAML: while parsing a flow node did not find expected node content"),
        ("- a\n", "bench.yaml:1:1: the rig file must be a section of keys, not a list"),
        ("# nothing\n", "bench.yaml:1:1: the file is empty"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text) == expected


def test_all_mistakes_of_a_file_are_told_at_once_in_order(tmp_path: Path) -> None:
    text = GOOD.replace("port:", "prot:").replace("blank", "blnk") + "  adress: 53\n"
    places = [line.split(": ")[0] for line in complaint(tmp_path, text).splitlines()]
    assert places == ["bench.yaml:5:3", "bench.yaml:8:10", "bench.yaml:9:3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("rig: bench", "rig: other"), "1:6: rig is 'other' but the file is called 'bench.yaml'; name them the same"),
        (GOOD.replace("  port: /dev/ttyUSB0\n", ""), "3:3: board lacks the key 'port', which kind mongoose-os needs"),
        (GOOD + "power: {kind: lcus}\n", "9:8: power lacks the key 'port', which kind lcus needs"),
        (GOOD + "power: {port: /dev/ttyUSB1}\n", "9:15: power has a port but kind none; say which relay it is"),
        (GOOD + "power: {kind: lcus, port: /dev/ttyUSB0}\n", "9:27: power and board are on the same port /dev/ttyUSB0"),
        (GOOD + "bus: {kind: linux}\n", "9:6: bus lacks the key 'number', which kind linux needs"),
        (GOOD + "bus: {number: 1}\n", "9:15: number is for kind linux; kind board ignores it"),
        (GOOD + "  expendable: true\n", "9:15: an expendable element must be named by its 'serial'"),
        (GOOD + "connect: {limit_ms: 900, warn_ms: 900}\n", "9:35: warn_ms must be below limit_ms (900)"),
        (GOOD + "cloud: {mode: aws}\n", "9:8: mode aws needs the key 'account_id' of your account"),
        (GOOD + "cloud: {mode: moto-server}\n", "9:8: cloud lacks the key 'endpoint_url', which mode moto-server needs"),
        (GOOD + "cloud: {mode: moto-server, endpoint_url: http://example.com}\n", "9:42: endpoint_url must be an http:// address of this computer, not 'http://example.com'"),
        (GOOD + "cloud: {mode: aws, account_id: 111122223333, listen: 0.0.0.0:8883}\n", "9:54: listen is for moto and moto-server; in mode aws the board meets AWS itself"),
        (GOOD + "cloud: {listen: 8883}\n", "9:17: listen must be address:port, not '8883'"),
        (GOOD + "cloud: {data_endpoint: broker}\n", "9:24: data_endpoint must be host:port, not 'broker'"),
        (GOOD + "cloud: {name_prefix: 'a b'}\n", "9:22: name_prefix must be letters, digits, - _, not 'a b'"),
        (GOOD + "cloud: {endpoint_url: 'http://localhost:5000'}\n", "9:23: endpoint_url is for moto-server; mode moto ignores it"),
        (GOOD + "cloud: {credentials_profile: me}\n", "9:30: credentials_profile is for mode aws; mode moto ignores it"),
        (EMULATED + "cloud: {listen: '0.0.0.0:8883'}\n", "5:17: listen is for physical boards: an emulated one meets the endpoint in its world"),
        (EMULATED + "cloud: {data_endpoint: 'a:1'}\n", "5:24: data_endpoint is for physical boards: an emulated one meets the endpoint in its world"),
        (EMULATED + "cloud: {server_roots: ca.pem}\n", "5:23: server_roots is for physical boards: an emulated one meets the endpoint in its world"),
        ("rig: bench\nelement: {part: atecc508a, state: blank}\n", "1:1: nothing reaches the element: describe a board, or a bus of kind linux or kit"),
        (EMULATED.split("emulation")[0], "2:8: board is on an emu:// port, so the file needs a section 'emulation'"),
        (EMULATED.replace("emu://bench/board", "/dev/ttyUSB0"), "4:12: emulation is only for emu:// ports; whatever answers on another is physical"),
        (EMULATED.replace("emu://bench/", "emu://bnch/"), "2:46: port must be emu://bench/LINE, not 'emu://bnch/board'"),
        (EMULATED.replace("0123e07e", "01235000"), "3:50: an emulated element has a serial number of the reserved range, 0123e07e…"),
        (EMULATED.replace("state: blank", "state: trust"), "4:12: an emulated blank element does not come in state 'trust'"),
        (EMULATED + "power: {kind: lcus, port: /dev/ttyUSB1}\n", "5:8: power is physical but board is emulated; a rig is one or the other"),
    ],
)  # fmt: skip
def test_rules_between_keys_blame_the_key(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text) == f"bench.yaml:{expected}"


def test_plain_text_is_never_reinterpreted(tmp_path: Path) -> None:
    text = GOOD + "  serial: 012300000000000001\ndescription: 1e5\ncloud: {account_id: 012345678901}\n"
    rig = load(tmp_path, text + "power: {kind: lcus, port: /dev/r, safe_state: off}\n")
    assert (rig.element.serial, rig.description) == ("012300000000000001", "1e5")
    assert (rig.cloud.account_id, rig.power.safe_state) == ("012345678901", "off")


def test_addresses_may_be_hexadecimal(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "  address: 0x35\n").element.address == 53


def test_a_secret_is_read_where_it_is_kept_and_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wifi = "wifi: {ssid: bench, password: {%s}}\n"
    by_file = load(tmp_path, GOOD + wifi % "file: pass.txt").wifi
    by_variable = load(tmp_path, GOOD + wifi % "env: HIL_TEST_WIFI").wifi
    assert by_file is not None
    assert by_variable is not None
    (tmp_path / "pass.txt").write_text("test-pa55\n")
    monkeypatch.setenv("HIL_TEST_WIFI", "test-pa56")
    assert (by_file.password.value(), by_variable.password.value()) == (
        "test-pa55",
        "test-pa56",
    )
    assert "pa55" not in repr(by_file)
    assert "pa56" not in repr(by_variable)


def test_a_secret_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIL_TEST_WIFI", raising=False)
    with pytest.raises(ConfigError, match="HIL_TEST_WIFI is not set"):
        rigfile.Secret("env", "HIL_TEST_WIFI").value()
    with pytest.raises(ConfigError, match=r"nothing\.txt cannot be read"):
        rigfile.Secret("file", "nothing.txt", tmp_path).value()


@pytest.mark.parametrize(
    "written", ["hunter2-test", "{env: A, file: B}", "{plain: hunter2-test}", "[hunter2-test]"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, written: str) -> None:
    message = complaint(tmp_path, GOOD + f"wifi: {{ssid: bench, password: {written}}}\n")
    assert message == "bench.yaml:9:31: password must be {env: NAME} or {file: PATH}, never the secret itself"


def test_a_file_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        rigfile.load(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"rig: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        rigfile.load(tmp_path / "latin.yaml")


def test_two_documents_in_one_file_are_refused(tmp_path: Path) -> None:
    assert "not valid YAML" in complaint(tmp_path, GOOD + "---\nrig: other\n")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_no_text_breaks_the_loader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(ConfigError):
        rigfile.load(path)


@given(st.data())
def test_no_value_in_the_place_of_another_breaks_the_loader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
        max_leaves=4,
    )
    document = yaml.safe_load(GOOD)
    section = data.draw(st.sampled_from([document, document["board"], document["element"]]))
    section[data.draw(st.sampled_from([*section, "bus", "connect", "wiring"]))] = data.draw(values)
    path = tmp_path_factory.getbasetemp() / "bench.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    said = "bench"
    try:
        said = rigfile.load(path).rig
    except ConfigError as error:
        said = error.message
    assert said == "bench" or said.startswith(f"{path}:")


# -- the shipped files --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(rigfile.list_rigs([rigfile.shipped_folder()])))
def test_every_shipped_rig_loads(name: str) -> None:
    assert rigfile.load_rig(name).rig == name


@pytest.mark.parametrize("name", ["emulated-esp8266-atecc508a", "example-bench-esp8266"])
def test_the_wiring_is_that_of_the_article(name: str) -> None:
    wiring = rigfile.load_rig(name).wiring
    assert wiring is not None
    assert [
        (signal, wire.element_pin, wire.gpio, wire.board_pin, wire.xpro_pin, wire.colour)
        for signal, wire in wiring.rows()
    ] == [
        ("SDA", 5, 12, "D6", 11, "yellow"),
        ("SCL", 6, 14, "D5", 12, "white"),
        ("GND", 4, None, "GND", 19, "black"),
        ("VCC", 8, None, "3V3", 20, "red"),
    ]


def test_the_trust_element_answers_at_53_and_its_serial_number_ends_in_01() -> None:
    element = rigfile.load_rig("emulated-edukit-trustgo").element
    assert (element.address, (element.serial or "")[-2:], element.state) == (53, "01", "trust")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "  config: mongoose-os-tset\n", "9:11: config: there is no 'mongoose-os-tset' (did you mean"),
        (EMULATED.replace("chip: atecc608b", "chip: atecc609b"), "4:19: chip: there is no 'atecc609b' (did"),
        (EMULATED.replace("240mhz", "250mhz"), "4:42: cost_model: there is no 'esp32-250mhz' (did you mean"),
    ],
)
def test_names_of_files_that_are_not_there_are_told(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text).startswith(f"bench.yaml:{expected}")


def test_a_configuration_may_lie_beside_the_rig_file(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text("")
    assert load(tmp_path, GOOD + "  config: mine\n").element.config == "mine"


# -- names ----------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for folder, names in (
        ("mine", ["bench-1", "bench-2"]),
        ("shipped", ["bench-1", "emulated-a", "example-b"]),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.yaml").write_text(GOOD)
    return [tmp_path / "mine", tmp_path / "shipped"]


def test_the_projects_own_rig_hides_a_shipped_one_of_the_same_name(folders: list[Path]) -> None:
    assert rigfile.find_rig("bench-1", folders) == folders[0] / "bench-1.yaml"


def test_all_and_globs_leave_the_examples_out(folders: list[Path]) -> None:
    def names(*wanted: str) -> list[str]:
        return [path.stem for path in rigfile.find_rigs(wanted, folders)]

    assert names("all") == ["bench-1", "bench-2", "emulated-a"]
    assert names("*") == names("all")
    assert names("bench-*", "bench-2", "emulated-a") == ["bench-1", "bench-2", "emulated-a"]
    assert names("example-b") == ["example-b"]


@pytest.mark.parametrize("wanted", ["bensh-1", "x*", "nothing.yaml", "no/such"])
def test_an_unknown_name_is_a_usage_error(folders: list[Path], wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        rigfile.find_rigs([wanted], folders)
    assert ("did you mean 'bench-1'" in str(caught.value)) == (wanted == "bensh-1")


def test_a_path_is_a_rig_too(tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(GOOD)
    assert rigfile.load_rig(str(tmp_path / "bench.yaml")).rig == "bench"


# -- capabilities, schema -------------------------------------------------------------------------


def test_the_edukit_console_has_neither_bus_nor_free_signing() -> None:
    rig = rigfile.load_rig("emulated-edukit-trustgo")
    assert rigfile.missing(rig, ["certificates", "power", "emulated"]) is None
    reason = rigfile.missing(rig, ["sign", "i2c", "power"]) or ""
    assert reason == (
        "emulated-edukit-trustgo has no i2c (the element's I2C bus, transaction by transaction), "
        "sign (signing any digest with a key of the element)"
    )


def test_what_microchip_delivered_locked_cannot_be_provisioned(tmp_path: Path) -> None:
    fresh = rigfile.capabilities(load(tmp_path, GOOD))
    trust = rigfile.capabilities(load(tmp_path, GOOD.replace("blank", "trust")))
    assert sorted(fresh ^ trust) == ["certificates", "provision"]
    assert "provision" in fresh


def test_a_bus_of_its_own_gives_the_element_without_a_board(tmp_path: Path) -> None:
    rig = load(
        tmp_path, "rig: bench\nbus: {kind: linux, number: 1}\nelement: {part: atecc508a, state: blank}\n"
    )
    assert {"i2c", "sign", "pubkey", "provision", "physical"} <= rigfile.capabilities(rig)
    assert not {"rpc", "console", "power", "wiring"} & rigfile.capabilities(rig)


def test_every_capability_is_documented() -> None:
    for path in rigfile.list_rigs().values():
        assert rigfile.capabilities(rigfile.load(path)) <= rigfile.CAPABILITIES.keys()


def test_the_json_schema_has_every_key_and_closes_every_section() -> None:
    def check(schema: dict[str, object], model: type) -> int:
        properties = schema["properties"]
        assert isinstance(properties, dict)
        assert schema["additionalProperties"] is False
        assert list(properties) == list(fields_of(model))
        return len(properties)

    schema = rigfile.json_schema()
    assert check(schema, rigfile.RigFile) > 8
    assert check(schema["properties"]["element"], rigfile.Element) > 6
    assert schema["properties"]["element"]["properties"]["address"]["maximum"] == 119
    assert schema["properties"]["connect"]["properties"]["tls_versions"]["items"]["enum"] == ["1.2", "1.3"]
    assert schema["required"] == ["rig", "element"]


def test_anchors_may_be_used_and_cycles_end(tmp_path: Path) -> None:
    wiring = "wiring:\n  sda: &w {gpio: 12}\n  scl: *w\n"
    rig = load(tmp_path, GOOD + wiring)
    assert rig.wiring is not None
    assert rig.wiring.scl.gpio == 12
    assert "unknown key" in complaint(tmp_path, "board: &b\n  board: *b\n")


def test_the_slow_parser_gives_the_same_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GOOD.replace("port:", "prot:")
    fast = complaint(tmp_path, text)
    monkeypatch.setattr("hil.rigfile.binding.LOADER", yaml.SafeLoader)
    assert isinstance(parse(tmp_path / "bench.yaml").start_mark.line, int)
    assert complaint(tmp_path, text) == fast
