"""The configuration lint: each finding, what triggers it, and that sound configurations have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hil.emulator.chip import Memory, load_profile
from hil.guard.lint import lint, unknown_ids
from hil.rig.policy import named_config

from .guard_bench import CONFIG

if TYPE_CHECKING:
    from hil.guard.findings import Finding

SAMPLE_608 = b"\x01\x23\xf3\xac\x00\x00\x60\x02\xfd\x2a\x82\x6b\xee\xc1\x55\x00"
CONFIG_608 = SAMPLE_608 + named_config("hil-test-608").to_bytes()[16:]


def found(config: bytes, **facts: Any) -> dict[str, Finding]:
    part = "atecc608a" if config[6:7] == b"\x60" else "atecc508a"
    settings: dict[str, Any] = {"part": part, "address": 0x60, "production": False} | facts
    findings = lint(config, **settings)
    assert len({f.id for f in findings}) == len(findings), "each finding once"
    return {f.id: f for f in findings}


def blocking(config: bytes, **facts: Any) -> set[str]:
    return {name for name, finding in found(config, **facts).items() if finding.blocks}


def changed(offset: int, *values: int, base: bytes = CONFIG) -> bytes:
    return base[:offset] + bytes(values) + base[offset + len(values) :]


def slot(n: int, slot_config: int, key_config: int | None = None, *, base: bytes = CONFIG) -> bytes:
    base = changed(20 + 2 * n, slot_config & 0xFF, slot_config >> 8, base=base)
    return base if key_config is None else changed(96 + 2 * n, key_config & 0xFF, key_config >> 8, base=base)


def test_the_sample_configuration_has_one_blemish_on_its_own_part() -> None:
    """Slot 15 encrypts slot 14 and can be read by anybody."""
    assert blocking(CONFIG) == {"readable-kek:15"}


def test_our_configuration_for_the_608_has_none() -> None:
    assert blocking(CONFIG_608) == set()


@pytest.mark.parametrize("part", ["atecc508a", "atecc608a", "atecc608b"])
def test_parts_as_they_are_shipped_have_none(part: str) -> None:
    memory = Memory.blank(load_profile(part), bytes.fromhex("0123f3acfd2a826bee"))
    assert blocking(bytes(memory.config), part=part) == set()


def test_a_file_without_an_identity_is_judged_by_the_rest() -> None:
    assert blocking(bytes(16) + CONFIG[16:]) == {"readable-kek:15"}


CASES: list[tuple[str, bytes, dict[str, Any]]] = [
    ("length", CONFIG[:127], {}),
    ("length", CONFIG + b"\0", {}),
    ("identity", changed(0, 0x23, 0x01), {}),
    ("identity", changed(15, 0x01), {}),
    ("trust-part", changed(12, 0x01), {}),
    ("other-part", changed(6, 0x60), {"part": "atecc508a"}),
    ("other-part", CONFIG, {"part": "atecc608b"}),
    ("address", changed(16, 0x6A), {}),
    ("address-bit-0", changed(16, 0xC1), {}),
    ("address-from-extra", changed(19, 0x01, base=CONFIG_608), {}),
    ("reserved-17", changed(17, 0x01), {}),
    ("reserved-90", changed(90, 0x01), {}),
    ("chip-mode", changed(19, 0x08), {}),
    ("chip-mode", changed(19, 0x08, base=CONFIG_608), {}),
    ("lock-bytes", changed(87, 0x00), {}),
    ("lock-bytes", changed(86, 0x00), {}),
    ("slot-locked:3", changed(88, 0xF7), {}),
    ("slot-locked:15", changed(89, 0x7F), {}),
    ("otp-mode", changed(18, 0x00), {}),
    ("508-on-608", SAMPLE_608 + CONFIG[16:], {}),
    ("508-on-608", changed(18, 0xAA, base=CONFIG_608), {}),
    ("count-match", changed(18, 0x51, base=CONFIG_608), {}),
    ("use-lock", changed(68, 0x5A, base=CONFIG_608), {}),
    ("volatile-key", changed(69, 0x85, base=CONFIG_608), {}),
    ("secure-boot", changed(70, 0x03, base=CONFIG_608), {}),
    ("reserved-75", changed(80, 0x01, base=CONFIG_608), {}),
    ("chip-options", changed(90, 0x10, base=CONFIG_608), {}),
    ("readable-io-key", changed(90, 0x02, 0xA0, base=CONFIG_608), {}),
    ("counter-0", changed(55, 0x7F), {}),
    ("counter-1", changed(63, 0x00), {}),
    ("last-key-use", slot(15, 0x0FAF, base=changed(68, *bytes(16))), {}),
    ("last-key-use-form", changed(70, 0xFE), {}),
    ("test-configuration", CONFIG, {"production": True}),
    ("private-not-secret:0", slot(0, 0x6407), {}),
    ("private-key-type:0", slot(0, 0x6487, 0x001D), {}),
    ("key-type:5", slot(5, 0x8F8F, 0x0018), {}),
    ("key-type:5", slot(5, 0x8F8F, 0x0004, base=CONFIG_608), {}),
    ("public-key-small:5", slot(5, 0x8F8F, 0x0010), {}),
    ("aes-disabled:5", changed(13, 0xC0, base=CONFIG_608), {}),
    ("useless-key:0", slot(0, 0x6480), {}),
    ("ecdh-next-odd:1", slot(1, 0x648F), {}),
    ("ecdh-readable:11", slot(10, 0x648C, 0x0033), {}),
    ("encrypted-not-secret:10", slot(10, 0x0F4F), {}),
    ("readable-aes:5", slot(5, 0x440F, 0x0038, base=CONFIG_608), {}),
    ("kek-is-private:1", slot(8, 0x4142), {}),
    ("readable-kek:4", slot(4, 0x0F0F), {}),
    ("open-kek:4", CONFIG, {"production": True}),
    ("auth-key-unused:0", slot(0, 0x6487, 0x0533), {}),
    ("auth-impossible:0", slot(0, 0x6487, 0x01B3), {}),
    ("auth-impossible:5", slot(5, 0x8F8F, 0x059C), {}),
    ("readable-auth-key:10", slot(0, 0x6487, 0x0AB3), {}),
    ("key-reserved:0", slot(0, 0x6487, 0x2033), {}),
    ("disabled:0", slot(0, 0x6487, 0x1033), {}),
    ("disabled:0", slot(0, 0x6487, 0x1033, base=CONFIG_608), {}),
    ("x509-id:0", slot(0, 0x6487, 0x4033), {}),
    ("limited-use:0", slot(0, 0x64A7), {}),
    ("open-data:10", CONFIG, {"production": True}),
    ("not-lockable:8", CONFIG, {"production": True}),
]


@pytest.mark.parametrize(("finding", "config", "facts"), CASES, ids=[name for name, _, _ in CASES])
def test_the_lint_finds_and_blocks(finding: str, config: bytes, facts: dict[str, Any]) -> None:
    assert finding in blocking(config, **facts)


def test_every_finding_has_a_test() -> None:
    """The rules' ids as they stand in the source."""
    import inspect
    import re

    from hil.guard import lint as entry
    from hil.guard import lintslots, lintzone

    text = "".join(inspect.getsource(module) for module in (entry, lintslots, lintzone))
    ids = {re.sub(r":?\{.*", "", name) for name in re.findall(r'Finding\(\s*f?"([^"]+)"', text)}
    tested = {re.sub(r":\d+$", "", name) for name, _, _ in CASES}
    tested = {"counter-" if name.startswith("counter-") else name for name in tested}
    tested = {"reserved-" if name in ("reserved-17", "reserved-90") else name for name in tested}
    notes = {"never-keyed", "not-secret-write"}
    assert ids - notes == tested


NOTES = {
    "never-keyed:14": slot(14, 0x0083),
    "not-secret-write:5": slot(5, 0x8F0F),
    "test-configuration": CONFIG,
    "open-kek:4": CONFIG,
    "open-data:10": CONFIG,
    "not-lockable:14": CONFIG,
}


@pytest.mark.parametrize("finding", NOTES)
def test_a_note_is_said_and_does_not_block(finding: str) -> None:
    assert found(NOTES[finding])[finding].severity == "note"


def test_only_a_production_rig_refuses_the_test_configuration() -> None:
    """`for tests only`: the article says so, and a rig marked production means it."""
    assert found(CONFIG)["test-configuration"].severity == "note"
    assert found(CONFIG, production=True)["test-configuration"].severity == "error"


def test_what_a_608_reads_into_a_508_configuration_is_one_finding() -> None:
    on_608 = blocking(SAMPLE_608 + CONFIG[16:])
    assert on_608 == {"508-on-608", "readable-kek:15"}


def test_a_finding_names_slot_bytes_consequence_fix_and_source() -> None:
    finding = found(CONFIG)["readable-kek:15"]
    assert finding.slot == 15
    assert finding.where == (50, 51)
    for text in (finding.meaning, finding.consequence, finding.fix, finding.source):
        assert text
        assert text in str(finding)
    assert found(changed(16, 0x6A))["address"].slot is None


def test_an_accepted_finding_that_is_not_there_is_named() -> None:
    findings = found(CONFIG).values()
    assert unknown_ids({"readable-kek:15", "readable-kek:5"}, list(findings)) == ["readable-kek:5"]
