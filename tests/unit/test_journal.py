"""The journal: what is written, what a crash leaves, what never gets in."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.clock import Calendar
from hil.errors import ConfigError, UsageError
from hil.measure.measurement import Limit, Measured
from hil.measure.verdict import Verdict
from hil.records.header import git_state, new_run, run_header
from hil.records.journal import FORMAT, KINDS, Journal, new_run_folder, read_events
from hil.records.rebuild import load_run
from hil.records.redaction import REDACTED, Redactor
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "test-passphrase-42"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_event_is_a_numbered_line_that_is_readable_at_once(tmp_path: Path) -> None:
    journal = samples.begin(tmp_path)
    journal.event("skip", test="t", suite="s", reason="ünïcode")
    rows = lines(tmp_path)  # the journal is still open
    assert [(row["n"], row["kind"]) for row in rows] == [(0, "run-start"), (1, "skip")]
    assert rows[1] == {
        "n": 1,
        "at": samples.NOON,
        "kind": "skip",
        "test": "t",
        "suite": "s",
        "reason": "ünïcode",
    }
    journal.close()


def test_an_event_that_is_not_in_the_table_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        with pytest.raises(UsageError, match="no journal event 'sikp'"):
            journal.event("sikp")
        with pytest.raises(UsageError, match="lacks reason, suite"):
            journal.event("skip", test="t")
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            journal.event("skip", test="t", suite="s", reason=b"bytes")
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            journal.event("skip", test="t", suite="s", reason="r", value=float("nan"))
    assert len(lines(tmp_path)) == 1


def test_a_journal_is_never_overwritten(tmp_path: Path) -> None:
    samples.begin(tmp_path).close()
    with pytest.raises(ConfigError, match="cannot be written"):
        samples.begin(tmp_path)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [new_run_folder(tmp_path / "runs", Calendar(samples.NOON)).name for _ in range(3)]
    assert names == ["2025-06-15T150640", "2025-06-15T150640-2", "2025-06-15T150640-3"]


def test_runs_that_cannot_be_written_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ConfigError, match="runs cannot be made"):
        new_run(tmp_path / "runs", Calendar())


# -- reading ------------------------------------------------------------------------------------


def test_without_an_end_the_run_and_its_open_test_are_aborted(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
        journal.event("test-start", test="a::test_two", suite="power", requirements=[])
    run = load_run(tmp_path)
    assert (run.aborted, run.verdict) == (True, Verdict.ABORTED)
    assert [test.verdict for test in run.tests] == [Verdict.PASS, Verdict.ABORTED]


def test_an_interrupted_run_is_aborted_though_it_has_an_end(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
        journal.end(exit_status=2, interrupted=True)
    assert load_run(tmp_path).verdict is Verdict.ABORTED


@settings(max_examples=60)
@given(cut=st.integers(min_value=0))
def test_a_journal_cut_at_any_byte_is_readable_and_not_a_pass(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with samples.begin(folder) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
        journal.end(exit_status=0)
    whole = (folder / "journal.jsonl").read_bytes()
    assert load_run(folder).verdict is Verdict.PASS
    (folder / "journal.jsonl").write_bytes(whole[: cut % (len(whole) - 1)])
    assert load_run(folder).verdict is Verdict.ABORTED


def test_damage_in_the_middle_is_an_error_with_its_line(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
    path = tmp_path / "journal.jsonl"
    rows = path.read_bytes().split(b"\n")
    rows[1] = rows[1][:-4]
    path.write_bytes(b"\n".join(rows))
    with pytest.raises(ConfigError, match=r"journal\.jsonl:2: damaged"):
        load_run(tmp_path)


@pytest.mark.parametrize("first", [b'{"kind":"run-start","format":2}\n', b'{"kind":"step"}\n'])
def test_a_newer_or_foreign_file_is_refused(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(first)
    with pytest.raises(ConfigError, match="not a journal of format 1"):
        list(read_events(tmp_path))


def test_a_run_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_run(tmp_path)


def test_unknown_events_and_fields_are_left_out(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"n":3,"at":1,"kind":"from-the-future","test":"a::test_one"}\n')
        file.write('{"n":4,"at":1,"kind":"run-end","verdict":"pass","exit_status":0,"mood":"good"}\n')
    assert load_run(tmp_path).verdict is Verdict.PASS


def test_a_verdict_that_is_not_known_is_no_pass(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        journal.event("test-start", test="t", suite="s", requirements=[])
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"n":2,"at":1,"kind":"test-end","test":"t","verdict":"splendid","wall_us":1}\n')
    assert load_run(tmp_path).tests[0].verdict is Verdict.ABORTED


def test_another_attempt_of_a_test_is_a_record_of_its_own(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        samples.passing(journal, "a::test_one", "power", 5, verdict="rig error")
        samples.passing(journal, "a::test_one", "power", 7)
        samples.passing(journal, "a::test_two", "power", 5, verdict="fail")
        samples.passing(journal, "a::test_two", "power", 7)
        journal.end(exit_status=0)
    run = load_run(tmp_path)
    assert [(t.verdict, t.clock_us, t.attempt) for t in run.tests] == [
        (Verdict.WARN, 7, 2),
        (Verdict.FAIL, 5, 1),
        (Verdict.WARN, 7, 2),
    ]
    assert run.tests[0].warnings == ["passed at attempt 2"]
    assert [(t.verdict, t.clock_us) for t in run.retried] == [(Verdict.RIG_ERROR, 5)]
    assert run.verdict is Verdict.FAIL


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    run = load_run(samples.mixed(tmp_path))
    assert run.verdict is Verdict.FAIL
    assert {str(v): n for v, n in run.counts.items()} == {
        "pass": 4, "fail": 1, "pass with warnings": 1, "blocked": 1, "skipped": 1,
    }  # fmt: skip
    failed = run.tests[2]
    assert failed.title == "only the element answers on the bus"
    assert [(step.title, step.depth) for step in failed.steps] == [
        ("I2C.Scan", 0),
        ("I2C.Scan with exchanged pins", 1),
    ]
    assert [a.name for a in failed.attachments] == ["console.txt", "i2c trace.txt"]
    connect = next(test for test in run.tests if test.suite == "connect")
    assert [(f.name, f.shown, f.provenance, f.limit_text) for f in connect.figures] == [
        ("connect time", "946.3 ms", "predicted", "≤ 1000, warns above 900")
    ]
    rig = run.rigs[samples.RIG]
    assert [(part.part, part.physical) for part in rig.parts] == [
        ("board", False), ("element", False), ("power", False), ("cloud", False),
    ]  # fmt: skip
    assert rig.after[1].identity["config_locked"] is True
    assert (run.kind, run.virtual_us) == ("emulated", 4_444_700)
    assert run.slowest(1)[0][1].title == "Sign"
    assert next(iter(run.requirements())) == "HIL-CERTIFICATES-001"
    assert [(row.rig, row.chip, row.offset, row.result) for row in run.flashed] == [
        (samples.RIG, "esp8266", 0x1000, "done"),
        (samples.EDUKIT, "esp8266", 0x1000, "no result: what the flash holds is not known"),
    ]
    assert [(op.operation, op.slot, op.result) for op in run.irreversible] == [
        ("write-slot", 0, "done"),
        ("write-slot", 4, "done"),
        ("lock-config", None, "no result: needs inspection"),
    ]
    assert run.end is not None
    assert run.end["verdict"] == "fail"


def test_measured_on_hardware_stays_measured(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        journal.event("test-start", test="t", suite="connect", requirements=[])
        samples.measured(journal, "t", 812.0, Limit(high=1000), Measured("console timestamps"))
        samples.measured(journal, "t", None, Limit(high=1000), Measured("console timestamps"))
    figures = load_run(tmp_path).tests[0].figures
    assert [(f.provenance, f.clock, f.shown, str(f.verdict)) for f in figures] == [
        ("measured", "wall", "812 ms", "pass"),
        (None, "wall", "never set", "fail"),
    ]


def test_a_killed_process_leaves_a_readable_record_that_says_aborted(tmp_path: Path) -> None:
    program = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from tests.unit import record_samples as s\n"
        "journal = s.begin(Path(sys.argv[1]))\n"
        "s.passing(journal, 'a::test_one', 'power', 5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    run = load_run(tmp_path)
    assert (run.verdict, len(run.tests)) == (Verdict.ABORTED, 1)


# -- attachments, header ------------------------------------------------------------------------


def test_attachments_are_hashed_files_with_safe_names(tmp_path: Path) -> None:
    with samples.begin(tmp_path) as journal:
        first = journal.attach("../../etc/passwd", b"\x00\xff", "application/octet-stream")
        second = journal.attach("console of bench/1.txt", "hello", test="t")
        third = journal.attach("console of bench/1.txt", "again", test="t")
    assert [path.name for path in (first, second, third)] == [
        "etc-passwd",
        "console-of-bench-1.txt",
        "console-of-bench-1-2.txt",
    ]
    assert first.read_bytes() == b"\x00\xff"
    row = lines(tmp_path)[2]
    assert row["path"] == "attachments/console-of-bench-1.txt"
    assert (row["sha256"], row["size"]) == (hashlib.sha256(b"hello").hexdigest(), 5)


def test_a_console_that_sends_no_text_does_not_break_the_journal(tmp_path: Path) -> None:
    noise = b"ets\xfe\x00\xff".decode("utf-8", "surrogateescape")
    with samples.begin(tmp_path) as journal:
        journal.event("skip", test="t", suite="s", reason=noise)
        path = journal.attach("console", noise)
    assert lines(tmp_path)[1]["reason"] == noise
    assert path.read_bytes() == b"ets\xfe\x00\xff"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name whose answer the test writes; nothing else is on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    program = folder / "git"
    program.write_text("#!/bin/sh\nexit 128\n")
    program.chmod(0o755)
    return program


@pytest.mark.usefixtures("git")
def test_the_header_names_who_where_and_which_versions() -> None:
    header = run_header("r", environment={"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "77"})
    assert header["by"] == {"ci": "GitHub Actions", "job": "77"}
    assert header["format"] == FORMAT
    assert {"python", "cryptography", "pytest"} <= header["versions"].keys()
    assert run_header("r", environment={})["by"].keys() == {"operator"}


@pytest.mark.parametrize(("answer", "dirty"), [("0123abcd", False), ("0123abcd-dirty", True)])
def test_the_commit_says_if_it_was_changed(git: Path, tmp_path: Path, answer: str, dirty: bool) -> None:
    git.write_text(f"#!/bin/sh\necho {answer}\n")
    assert git_state(tmp_path) == {"commit": "0123abcd", "dirty": dirty}
    assert run_header("r", environment={})["suites"] == git_state(tmp_path)


def test_without_a_checkout_or_without_git_there_is_no_commit(git: Path, tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
    git.unlink()
    assert git_state(tmp_path) == {}


# -- the schema -----------------------------------------------------------------------------------


def schema() -> dict[str, dict[str, Any]]:
    text = (files("hil.records") / "journal-v1.schema.json").read_text(encoding="utf-8")
    return {kind["title"]: kind for kind in json.loads(text)["oneOf"]}


def test_the_schema_and_the_writer_ask_for_the_same_fields() -> None:
    asked = {title: set(kind["required"]) - {"n", "at", "kind"} for title, kind in schema().items()}
    assert asked == {title: set(fields) for title, fields in KINDS.items()}


def test_every_field_that_we_write_is_described(tmp_path: Path) -> None:
    kinds = schema()
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "object": (dict,),
        "array": (list,),
        "null": (type(None),),
    }
    met = set()
    for row in lines(samples.mixed(tmp_path)):
        described = kinds[row["kind"]]["properties"]
        met.add(row["kind"])
        for name, value in row.items():
            assert name in described, (row["kind"], name)
            rule = described[name]
            assert "enum" not in rule or value in rule["enum"], (row["kind"], name, value)
            wanted = rule.get("type", ())
            wanted = wanted if isinstance(wanted, list) else [wanted] if wanted else []
            assert not wanted or any(isinstance(value, types[kind]) for kind in wanted), (name, value)
    assert met == KINDS.keys()


def test_every_field_of_the_schema_is_explained() -> None:
    for title, kind in schema().items():
        for name, rule in kind["properties"].items():
            assert "const" in rule or rule.get("description"), (title, name)


# -- secrets --------------------------------------------------------------------------------------


def test_a_secret_gets_into_nothing_in_no_spelling(tmp_path: Path) -> None:
    raw = SECRET.encode()
    redactor = Redactor()
    redactor.add(SECRET)
    spellings = [SECRET, SECRET.upper(), raw.hex(), raw.hex(" "), base64.b64encode(raw).decode()]
    journal = Journal(tmp_path, Calendar(samples.NOON), redactor)
    journal.event("run-start", format=1, run="r", command=["--wifi", SECRET], versions={})
    for spelling in spellings:
        journal.event(
            "skip", test=f"t {spelling}", suite="s", reason=[{"nested": f"a{spelling}b", spelling: 1}]
        )
        journal.attach(f"log {spelling}", f"wifi {spelling} ok")
    journal.attach("binary", b"\x00\xff" + raw + b"\xfe", "application/octet-stream")
    journal.close()
    for path in tmp_path.rglob("*"):
        for spelling in spellings:
            assert spelling not in str(path)
            if path.is_file():
                assert spelling.encode() not in path.read_bytes()
    assert lines(tmp_path)[0]["command"] == ["--wifi", REDACTED]
    assert (tmp_path / "attachments" / "binary").read_bytes() == b"\x00\xff" + REDACTED.encode() + b"\xfe"


@pytest.mark.parametrize("kind", ["", "EC ", "RSA ", "ENCRYPTED "])
def test_private_keys_are_redacted_without_being_registered(tmp_path: Path, kind: str) -> None:
    pem = f"-----BEGIN {kind}PRIVATE KEY-----\nMHcCAQ\n-----END {kind}PRIVATE KEY-----\n"
    with samples.begin(tmp_path) as journal:
        journal.event("skip", test="t", suite="s", reason=f"before {pem} after")
        journal.attach("log", f"before {pem} after, and one that is cut off: {pem[:40]}")
    assert lines(tmp_path)[1]["reason"] == f"before {REDACTED}\n after"
    assert b"MHcC" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_word_that_is_too_short_to_be_a_secret_destroys_nothing() -> None:
    redactor = Redactor()
    redactor.add("e")
    assert (redactor.armed, redactor.text("element")) == (False, "element")


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    if secret not in REDACTED:
        assert secret not in redactor.text(before + secret + after).replace(REDACTED, "\0")
