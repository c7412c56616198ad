"""508A, 608A, 608B and one that nobody has seen, against what Microchip documents of their differences.

The tables were written by hand from the documents, never from the chip profiles:

* AN3539 "Migrating from the ATECC508A to the ATECC608B" (Microchip online documentation),
* the migration note from the ATECC608A to the ATECC608B (Microchip online documentation, AN2237),
* the data sheets DS20005927A (ATECC508A, "DS508") and DS40002138A (ATECC608A-TFLXTLS, "DSTFLX").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.records.baseline import Change, Timing
from hil.silicon.characterize import characterize
from hil.silicon.differences import compare_parts
from hil.silicon.observe import config_entries
from tests.unit.silicon_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.baseline import Baseline
    from hil.silicon.differences import Comparison

CHAIN = ("atecc508a", "atecc608a", "atecc608b", "atecc608-next")
NOTHING = None

FROM_508A_TO_608A: tuple[tuple[str, str, str | None, str | None, str], ...] = (
    # What is documented, observation, on the 508A, on the 608, source. None: not observed there.
    ("revision", "Info | revision", "00005000", "00006002", "AN3539 1.2.4: byte 2 is 60"),
    ("HMAC is gone", "HMAC | mode 04, TempKey from input", "32 bytes", "status 03", "AN3539, DSTFLX 5"),
    ("Pause is gone", "Pause | for others", "no answer", "status 03", "AN3539, DSTFLX 5"),
    ("AES is new", "AES | encrypt, 15 bytes", "status 03", "status 03", "DSTFLX 5.3.1: 16 bytes"),
    ("AES is new", "AES | encrypt, no TempKey", "status 03", "status 0f", "DSTFLX 5.3.1"),
    ("KDF is new", "KDF | PRF to output", "status 03", None, "DSTFLX 5.3.4"),
    ("SelfTest is new", "SelfTest | mode 3d", "status 03", "ok", "DSTFLX 5.1.7"),
    ("SecureBoot is new, off as shipped", "SecureBoot | full", "status 03", "status 0f", "DSTFLX 5.2.3"),
    ("TempKey has 64 bytes", "Nonce | mode 23, 64 bytes", "status 03", "ok", "DSTFLX 3.1, 5.1.4"),
    ("MsgDigBuf", "Nonce | mode 43, 32 bytes", "status 03", "ok", "DSTFLX 3.2, 5.1.4"),
    ("AltKeyBuf", "Nonce | mode 83, 32 bytes", "status 03", "ok", "DSTFLX 3.3, 5.1.4"),
    ("Sign from MsgDigBuf", "Sign | from MsgDigBuf, private slot, mode a0", "status 03", "64 bytes",
     "DSTFLX 5.2.4"),
    ("Verify from MsgDigBuf", "Verify | external, MsgDigBuf", "status 03", "ok", "DSTFLX 5.2.5"),
    ("Verify with MAC, IO key not enabled", "Verify | external, MAC, nonce in MsgDigBuf", "status 03",
     "status 0f", "DSTFLX 5.2.5"),
    ("ephemeral keys; a 508A is not asked", "GenKey | ephemeral", NOTHING, "64 bytes", "DSTFLX 5.2.2"),
    ("SHA takes 1 to 64 bytes", "SHA | update of 5 bytes", "status 03", "ok", "DS508 9.17, DSTFLX 5.1.8"),
    ("SHA ends with up to 64", "SHA | end after 64 bytes", "status 03", None, "DS508 9.17, DSTFLX 5.1.8"),
    ("HMAC of SHA ends with mode 02", "SHA | end of HMAC without start", "status 0f", "status 03",
     "DSTFLX 5.1.8"),
    ("SHA contexts can be read", "SHA | read context without start", "status 03", "status 0f",
     "DSTFLX 5.1.8"),
    ("the SHA context is a register of its own", "SHA | a Random in between", "status 0f", None,
     "DS508 9.17, DSTFLX 3.4"),
    ("a persistent latch", "Info | latch", "status 03", "00000000", "DSTFLX 5.1.3"),
    ("a Read ends TempKey on a 508A", "Sign | external, private slot, a Read in between", "status 0f",
     "64 bytes", "DS508 2.5.1, DSTFLX 3.1"),
    ("a Random too", "Sign | external, private slot, a Random in between", "status 0f", "64 bytes",
     "DS508 2.5.1, DSTFLX 3.1"),
    ("an Info does not", "Sign | external, private slot, an Info in between", "64 bytes", "64 bytes",
     "DS508 2.5.1, DSTFLX 3.1"),
    ("TempKey is used up by Sign on both", "Sign | external, private slot, twice", "status 0f", "status 0f",
     "DS508 2.5.1, DSTFLX 3.1"),
    ("idle keeps TempKey on both", "Survival | TempKey over idle", "valid from input", "valid from input",
     "DS508 2.5, DSTFLX 3.1"),
    ("sleep does not", "Survival | TempKey over sleep", "not valid", "not valid", "DS508 2.5, DSTFLX 3.1"),
    ("nor the watchdog", "Survival | TempKey over watchdog", "not valid", "not valid", "DS508 8, DSTFLX 3.1"),
    ("external verification is the same", "Verify | external, right signature", "ok", "ok",
     "DS508 9.20, DSTFLX 5.2.5"),
    ("so is its miscompare", "Verify | external, wrong signature", "status 01", "status 01",
     "DS508 9.20, DSTFLX 5.2.5"),
    ("Info refuses unknown modes", "Info | mode 07", "status 03", "status 03", "DS508 9.9"),
    ("counters are 0 and 1", "Counter | read 0002", "status 03", "status 03", "DS508 9.3"),
)  # fmt: skip

AS_SHIPPED: tuple[tuple[str, str, str], ...] = (
    # Bytes of the configuration zone that mean something else, as the parts come from the factory.
    ("Configuration | byte 18", "55", "00"),  # OTPmode: CountMatch (AN3539, DSTFLX table 2-3)
    ("Configuration | bytes 68 to 83", " ".join(["ff"] * 16), " ".join(["00"] * 16)),  # LastKeyUse: gone
    ("Configuration | AES enabled, byte 13 bit 0", "0", "1"),
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Baseline]:
    found = {}
    for number, name in enumerate(CHAIN):
        with Bench(tmp_path_factory.mktemp(name), name, "config-locked", seed=number + 1) as bench:
            found[name] = characterize(bench.subject, samples=20 if number else 12).observed
    return found


def differing(found: Comparison) -> dict[str, Change]:
    return {one.key: one.change for one in found.differences if one.change is not Change.IDENTICAL}


@pytest.mark.parametrize(
    ("what", "key", "before", "after", "source"), FROM_508A_TO_608A, ids=[row[1] for row in FROM_508A_TO_608A]
)
def test_a_documented_difference_from_508a_to_608a_is_seen(
    seen: dict[str, Baseline], what: str, key: str, before: str | None, after: str | None, source: str
) -> None:
    base, new = seen["atecc508a"].entries.get(key), seen["atecc608a"].entries.get(key)
    assert base == before, (what, source)
    if after is not None:
        assert new == after, (what, source)
    else:
        assert isinstance(new, str)
        assert not new.startswith("status"), (what, source)


def test_the_comparison_says_what_the_migration_to_the_608_means(seen: dict[str, Baseline]) -> None:
    found = compare_parts(seen["atecc508a"], seen["atecc608a"])
    groups = {group.heading.partition(":")[0]: group.lines for group in found.groups}
    assert groups["commands that are gone"] == (
        "HMAC: every call answers 03",
        "Pause: every call answers 03",
    )
    assert groups["commands that are new"] == tuple(
        f"{name}: answered 03 before" for name in ("AES", "KDF", "SecureBoot", "SelfTest")
    )
    slower = " ".join(groups["fixed-delay drivers break"])
    assert "Sign maximum" in slower, "AN3539: execution times differ significantly; use polling"
    assert not found.same


def test_the_608b_differs_from_the_608a_in_its_revision_alone(seen: dict[str, Baseline]) -> None:
    """The migration note: same features; timing changes are relatively minor."""
    found = compare_parts(seen["atecc608a"], seen["atecc608b"])
    assert set(differing(found)) == {
        "Info | revision",
        "Info | revision, param2 FFFF",
        "Configuration | RevNum",
    }
    assert seen["atecc608b"].entries["Info | revision"] == "00006003"


def test_an_unseen_revision_is_slower_and_names_itself_otherwise(seen: dict[str, Baseline]) -> None:
    """RevNum need not be what Info answers (AN3539 1.2.4), and bytes 13 and 14 vary by die: no difference."""
    found = compare_parts(seen["atecc608b"], seen["atecc608-next"])
    changed = differing(found)
    slower = {key for key in changed if key.endswith("| execution time")}
    assert set(changed) - slower == {"Info | revision", "Info | revision, param2 FFFF"}
    assert {f"{name} | execution time" for name in ("Sign", "Verify", "ECDH", "GenKey public")} <= slower
    (group,) = [group for group in found.groups if group.heading == "fixed-delay drivers break"]
    (sign,) = [line for line in group.lines if line.startswith("Sign ")]
    before, after = (
        seen["atecc608b"].entries["Sign | execution time"],
        seen["atecc608-next"].entries["Sign | execution time"],
    )
    assert isinstance(before, Timing)
    assert isinstance(after, Timing)
    tops = [max(one.sample.values) / 1000 for one in (before, after)]
    assert f"Sign maximum {tops[0]:.0f} → {tops[1]:.0f} ms" in sign
    assert 1.2 < tops[1] / tops[0] < 2.2
    assert "p " in sign


def test_a_part_compared_with_another_die_of_its_kind_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    dies = []
    for seed in (21, 22):
        with Bench(tmp_path_factory.mktemp("die"), "atecc508a", "config-locked", seed=seed) as bench:
            bench.memory.config[13:15] = bytes((0x40 + 0x80 * (seed % 2), 0x41 + 2 * seed))
            dies.append(characterize(bench.subject, samples=12).observed)
    found = compare_parts(*dies)
    assert differing(found) == {}
    assert found.same


def test_the_zone_as_shipped_differs_where_bytes_mean_something_else(tmp_path: Path) -> None:
    shipped = []
    for name in ("atecc508a", "atecc608a"):
        with Bench(tmp_path, name) as bench:
            shipped.append(config_entries(bytes(bench.memory.config)))
    for key, before, after in AS_SHIPPED:
        assert (shipped[0][key], shipped[1][key]) == (before, after)
    differ = {key for key in shipped[0] if shipped[0][key] != shipped[1][key]}
    assert differ == {"Configuration | RevNum", *(key for key, _, _ in AS_SHIPPED)}
    assert shipped[0]["Configuration | serial number"] == "01 23 .. .."
