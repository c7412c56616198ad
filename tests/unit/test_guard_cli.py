"""``hil config`` and ``hil ledger``: what they say, what they keep, and what they refuse."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hil.cli.config import command as config
from hil.cli.ledger import command as ledger
from hil.clock import Calendar
from hil.errors import ConfigError, HilError, UsageError
from hil.guard.ledger import Ledger
from hil.guard.operations import Operation
from hil.guard.requirements import config_digest
from hil.homes import find_homes
from hil.rig.policy import approvals, approved, inspection_needed, named_config
from hil.rigfile import load_rig

from .guard_bench import CONFIG, EMULATED_SERIAL, OTHER_SERIAL, SERIAL

SAMPLE = "mongoose-os-test"
DIGEST = config_digest(named_config(SAMPLE).to_bytes())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*words: str, answer: str | None = None) -> Result:
    verb = {"config": config, "ledger": ledger}[words[0]]
    return CliRunner().invoke(verb, words[1:], input=answer)


def hexed(folder: Path, content: bytes) -> str:
    path = folder / "board.hex"
    path.write_text(content.hex())
    return str(path)


# -- hil config ---------------------------------------------------------------------------------


def test_show_says_what_each_slot_is_for_and_the_digest() -> None:
    shown = run("config", "show", SAMPLE)
    assert shown.exit_code == 0
    assert f"digest {DIGEST}" in shown.output
    assert "slot  0: P-256 private key" in shown.output


def test_lint_names_what_stops_a_lock_and_can_accept_it() -> None:
    found = run("config", "lint", SAMPLE, "--part", "atecc508a")
    assert isinstance(found.exception, ConfigError)
    assert "readable-kek:15" in str(found.exception)
    assert "readable-kek:15" in found.output
    good = run("config", "lint", SAMPLE, "--part", "atecc508a", "--accept", "readable-kek:15")
    assert good.exit_code == 0
    assert "(accepted)" in good.output
    slip = run("config", "lint", SAMPLE, "--part", "atecc508a", "--accept", "readable-kek:16")
    assert "no finding is called 'readable-kek:16'" in slip.output + slip.stderr


def test_lint_is_stricter_for_a_product_and_for_another_part() -> None:
    product = run("config", "lint", SAMPLE, "--part", "atecc508a", "--production")
    assert "test-configuration" in str(product.exception)
    other = run("config", "lint", SAMPLE, "--part", "atecc608b")
    assert "508-on-608" in str(other.exception)
    address = run("config", "lint", SAMPLE, "--part", "atecc508a", "--address", "53")
    assert "address" in str(address.exception)


def test_diff_lists_fields_and_says_so_by_its_exit_code(home: Path) -> None:
    assert run("config", "diff", SAMPLE, SAMPLE).exit_code == 0
    other = hexed(home, CONFIG[:92] + b"\x01" + CONFIG[93:])
    differing = run("config", "diff", SAMPLE, other)
    assert differing.exit_code == 1
    assert "X509format" in differing.output


def test_approve_asks_and_remembers_exactly_these_bytes(home: Path) -> None:
    no = run("config", "approve", SAMPLE, "--part", "atecc508a", answer="n\n")
    assert no.exit_code != 0
    assert approved() == frozenset()
    assert "readable-kek:15" in no.output, "the findings are part of the review"
    yes = run("config", "approve", SAMPLE, "--part", "atecc508a", answer="y\n")
    assert yes.exit_code == 0
    assert approved() == {DIGEST}
    assert approvals()[DIGEST]["name"] == SAMPLE
    assert DIGEST in run("config", "approved").output
    changed = config_digest(CONFIG[:92] + b"\x01" + CONFIG[93:])
    assert changed not in approved()


def test_an_approval_can_be_taken_back_by_an_unambiguous_beginning(home: Path) -> None:
    run("config", "approve", SAMPLE, "--part", "atecc508a", "--yes")
    run("config", "approve", hexed(home, CONFIG[:92] + b"\x01" + CONFIG[93:]), "--part", "atecc508a", "--yes")
    assert len(approved()) == 2
    assert isinstance(run("config", "revoke", "").exception, UsageError), "it matches both"
    assert isinstance(run("config", "revoke", "zz").exception, UsageError)
    assert run("config", "revoke", DIGEST[:12]).exit_code == 0
    assert DIGEST not in approved()
    assert len(approved()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}'])
def test_damaged_approvals_approve_nothing(home: Path, text: str) -> None:
    run("config", "approve", SAMPLE, "--part", "atecc508a", "--yes")
    (find_homes().ledgers / "approved-configurations.json").write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        approved()


@pytest.mark.parametrize("file", ["no-such-name", "no-such-file.hex"])
def test_a_file_that_is_not_there_is_an_error_of_ours(file: str) -> None:
    assert isinstance(run("config", "show", file).exception, HilError)


# -- hil ledger ---------------------------------------------------------------------------------


def kept() -> Ledger:
    return Ledger(find_homes().ledgers, Calendar(1_700_000_000.0))


def test_without_any_ledger_that_is_said() -> None:
    assert run("ledger").output == "no element has a ledger\n"
    assert isinstance(run("ledger", "show", SERIAL).exception, UsageError)


def test_it_lists_elements_and_what_is_open_and_what_to_do() -> None:
    book = kept()
    book.close(book.intend(OTHER_SERIAL, Operation.COUNTER, None, ("Counter",), rig="bench-2"), "done")
    book.intend(SERIAL, Operation.LOCK_SLOT, 10, ("Lock mode 2A",), rig="bench-1")
    lines = run("ledger").output.splitlines()
    assert lines == [
        f"{SERIAL}     1 operations  NEEDS INSPECTION",
        "  2023-11-14 22:13:20Z  #1 intent  lock-slot slot 10 on bench-1: Lock mode 2A",
        "    to find out: hil ledger resolve bench-1",
        f"{OTHER_SERIAL}     1 operations",
    ]


def test_show_tells_the_whole_story_oldest_first() -> None:
    book = kept()
    book.close(book.intend(SERIAL, Operation.COUNTER, None, ("Counter",), rig="bench-1"), "done")
    book.intend(SERIAL, Operation.LOCK_CONFIG, None, ("Lock", "Lock"))
    book.resolve(SERIAL, 2, "the configuration zone is locked", "somebody")
    story = run("ledger", "show", SERIAL.upper()).output.splitlines()
    assert [line.split("  ", 1)[1] for line in story] == [
        "#1 intent  counter on bench-1: Counter",
        "#1 result  done",
        "#2 intent  lock-config on an unnamed rig: 2 packets",
        "#2 resolution  resolved by somebody: the configuration zone is locked",
    ]


def test_a_part_that_is_gone_is_withdrawn_and_frees_its_rig_but_not_itself() -> None:
    file = load_rig("example-bench-esp8266")
    own = str(file.element.serial)
    book = kept()
    book.intend(SERIAL, Operation.LOCK_CONFIG, None, ("Lock",), rig=file.rig)
    assert f"lock-config on element {SERIAL}" in str(inspection_needed(file))
    gone = run("ledger", "withdraw", SERIAL, "--why", "scrapped", "--by", "somebody")
    assert gone.exit_code == 0
    assert inspection_needed(file) is None, "another part may be put in"
    assert len(book.open_intents(SERIAL)) == 1, "the part itself stays refused"
    assert "#1 withdrawal  by somebody: scrapped" in run("ledger", "show", SERIAL).output
    book.intend(own, Operation.COUNTER, None, ("Counter",), rig="another-bench")
    run("ledger", "withdraw", own, "--why", "lost", "--by", "somebody")
    assert f"counter on element {own}" in str(inspection_needed(file)), "the rig file still names it"


def test_behind_a_provisioning_console_keys_are_read_back_and_nothing_else(home: Path) -> None:
    shipped = Path(str(files("hil.rigs"))) / "emulated-edukit-trustgo.yaml"
    text = shipped.read_text().replace("emulated-edukit-trustgo", "kept-edukit")
    path = home / "kept-edukit.yaml"
    path.write_text(text.replace("emulation:\n", "emulation:\n  state_file: part.json\n"))
    file = load_rig(str(path))
    serial = str(file.element.serial)
    book = kept()
    book.intend(serial, Operation.GENERATE_KEY, 2, ("generate-keys slot 2",), rig=file.rig)
    book.intend(serial, Operation.LOCK_SLOT, 10, ("program-dev-cert slot 10",), rig=file.rig)
    refused = run("ledger", "resolve", str(path), answer="n\n")
    assert refused.exit_code != 0
    assert len(book.open_intents(serial)) == 2
    done = run("ledger", "resolve", str(path), "--yes")
    assert done.exit_code == 0, done.output
    assert "slot 2 holds the key with the public key " in done.output
    assert "lock-slot cannot be read back over a provisioning console" in done.output
    assert book.open_intents(serial) == []


def test_an_element_that_is_not_in_the_rig_is_named(home: Path) -> None:
    shipped = Path(str(files("hil.rigs"))) / "emulated-esp8266-atecc508a.yaml"
    text = shipped.read_text().replace("emulated-esp8266-atecc508a", "kept-rig")
    path = home / "kept-rig.yaml"
    path.write_text(text.replace("emulation:\n", "emulation:\n  state_file: part.json\n"))
    kept().intend(SERIAL, Operation.COUNTER, None, (), rig="kept-rig")
    said = run("ledger", "resolve", str(path)).output
    assert "every operation has a result" in said
    assert f"element {SERIAL}, which is not in the rig now, has an open operation" in said
    assert f"hil ledger withdraw {SERIAL}" in said


def test_nothing_is_withdrawn_that_is_not_open() -> None:
    book = kept()
    book.close(book.intend(SERIAL, Operation.COUNTER, None, ()), "done")
    assert isinstance(run("ledger", "withdraw", SERIAL, "--why", "x").exception, ConfigError)
    assert run("ledger", "withdraw", SERIAL).exit_code == 2, "a reason is asked for"


def test_a_rig_whose_parts_end_with_the_process_needs_no_inspection() -> None:
    file = load_rig("emulated-esp8266-atecc508a")
    kept().intend(EMULATED_SERIAL, Operation.COUNTER, None, (), rig=file.rig)
    assert inspection_needed(file) is None


def test_more_than_one_open_operation_is_counted() -> None:
    file = load_rig("example-bench-esp8266")
    for _ in range(3):
        kept().intend(SERIAL, Operation.COUNTER, None, (), rig=file.rig)
    assert "and 2 more" in str(inspection_needed(file))
