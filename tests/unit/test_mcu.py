from __future__ import annotations

import pytest

from hil.clock import World
from hil.emulator.mcu import CostModel, Mcu, cost_model_names, load_costs, parse_costs
from hil.errors import ConfigError

OPERATIONS = {
    "p256_keygen",
    "p256_sign",
    "p256_verify",
    "p256_ecdh",
    "p384_verify",
    "rsa2048_verify",
    "rsa2048_sign",
    "sha256_4k",
    "host_overhead",
    "rpc",
}

MODEL = """
name: test
part: a test part
arch: esp8266
frequency_mhz: 100
default_source: counted
sources:
  counted:
    provenance: counted in a test
    cpi: {value: 2.0, low: 1.0, high: 4.0, provenance: assumed}
    operations:
      p256_sign: {minstructions: 10, provenance: a test}
  typed:
    provenance: typed in
    operations:
      p256_sign: {ms: 7, provenance: a test}
overheads:
  rpc: {ms: 0.2, provenance: a test}
delays:
  boot_rom: {ms: 30, provenance: a test}
i2c_gap_us: {value: 3, provenance: a test}
"""


def model(text: str = MODEL, source: str | None = None, cpi: float | None = None) -> CostModel:
    return parse_costs(text, "test.yaml", source=source, cpi=cpi)


def test_shipped_models_are_the_three_published_ones() -> None:
    assert cost_model_names() == ["esp32-240mhz", "esp8266-160mhz", "esp8266-80mhz"]


@pytest.mark.parametrize("name", ["esp32-240mhz", "esp8266-160mhz", "esp8266-80mhz"])
@pytest.mark.parametrize("source", ["instructions", "constants"])
def test_both_sources_of_a_shipped_model_cost_every_operation_and_say_where_from(
    name: str, source: str
) -> None:
    costs = load_costs(name, source=source)
    assert set(costs.operations) == OPERATIONS
    assert all(us > 0 for us in costs.operations.values())
    assert set(costs.provenance) == OPERATIONS | set(costs.delays) | {""}
    assert all(costs.provenance.values())


def test_instruction_counts_become_time_by_cpi_and_frequency() -> None:
    assert model().us("p256_sign") == 200_000  # 10e6 x 2.0 / 100 MHz


def test_another_cpi_scales_instruction_counts_and_leaves_overheads_alone() -> None:
    slower = model(cpi=4.0)
    assert slower.us("p256_sign") == 400_000
    assert slower.cpi == 4.0
    assert slower.us("rpc") == model().us("rpc") == 200


def test_published_sign_at_cpi_1_on_an_esp8266_is_the_published_117_ms() -> None:
    assert round(load_costs("esp8266-80mhz", cpi=1.0).us("p256_sign") / 1000, 1) == 117.5


def test_the_two_sources_disagree_by_what_was_published() -> None:
    counted, chosen = load_costs("esp8266-80mhz"), load_costs("esp8266-80mhz", source="constants")
    assert 3 <= chosen.us("p256_sign") / counted.us("p256_sign") <= 10


def test_small_window_build_makes_signing_dearer_and_rsa_not() -> None:
    default = load_costs("esp8266-80mhz")
    small = load_costs("esp8266-80mhz", source="instructions-small-window")
    assert small.us("p256_sign") > 2 * default.us("p256_sign")
    assert small.us("rsa2048_verify") == default.us("rsa2048_verify")


def test_a_source_of_constants_has_no_cpi() -> None:
    assert model(source="typed").cpi is None
    with pytest.raises(ConfigError, match="takes no cpi"):
        model(source="typed", cpi=2.0)


@pytest.mark.parametrize("cpi", [0.0, -1.0])
def test_cpi_must_be_positive(cpi: float) -> None:
    with pytest.raises(ConfigError, match="takes no cpi"):
        model(cpi=cpi)


def test_unknown_model_names_the_close_one_and_all() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'esp8266-80mhz'.*esp32-240mhz"):
        load_costs("esp8266-80mh")


def test_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="counted, typed"):
        model(source="measured")


def test_unknown_operation_names_the_known_ones() -> None:
    with World() as world, pytest.raises(ConfigError, match=r"did you mean 'p256_sign'.*p256_sign, rpc"):
        Mcu(world, model()).spend("p265_sign")


def test_unknown_delay_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="boot_rom"):
        model().delay("boot")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("minstructions: 10", "minstructions: 10, ms: 3"),
        ("{ms: 7, provenance: a test}", "{provenance: a test}"),
        ("ms: 7", "ms: -7"),
        ("{ms: 30, provenance: a test}", "{ms: 30}"),
        ("arch: esp8266", "arch: avr"),
        ("frequency_mhz: 100", "frequency_mhz: fast"),
        ("part: a test part", "part: a test part\ncolour: red"),
        ("    cpi: {value: 2.0, low: 1.0, high: 4.0, provenance: assumed}\n", ""),
        ("name: test", "name: ["),
    ],
)
def test_a_model_that_breaks_its_schema_is_refused_by_name(old: str, new: str) -> None:
    assert old in MODEL
    with pytest.raises(ConfigError, match=r"test\.yaml"):
        model(MODEL.replace(old, new))


def test_spend_takes_the_time_and_counts() -> None:
    with World() as world:
        mcu = Mcu(world, model())
        assert mcu.spend("p256_sign", 2) == 400_000
        assert world.now == 400_000
        assert world.account["mcu"] == 400_000
        assert mcu.performed["p256_sign"] == 2


def test_two_tasks_queue_for_one_processor() -> None:
    with World() as world:
        mcu = Mcu(world, model())
        ends: list[tuple[str, int]] = []

        def task(name: str, operation: str) -> None:
            mcu.spend(operation)
            ends.append((name, world.now))

        world.spawn(lambda: task("sign", "p256_sign"), "sign")
        world.spawn(lambda: task("rpc", "rpc"), "rpc")
        world.run_for(1_000_000)
        assert ends == [("sign", 200_000), ("rpc", 200_200)]


def test_reset_forgets_who_queued() -> None:
    with World() as world:
        mcu = Mcu(world, model())

        def sign() -> None:
            mcu.spend("p256_sign")

        task = world.spawn(sign, "sign")
        world.run_for(1_000)
        task.halt("no power")
        mcu.reset()
        start = world.now
        mcu.spend("rpc")
        assert world.now - start == 200
        assert mcu.performed == {"rpc": 1}
