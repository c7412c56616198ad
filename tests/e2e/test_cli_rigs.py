"""The ``hil`` command as people and scripts meet it: output, messages, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from hil import cli
from hil.errors import EXIT_CODES
from tests.unit import record_samples as samples

BROKEN = "rig: a\nboard: {kind: mongoose-os, prot: /dev/ttyUSB0}\nelement: {part: atecc508a, state: blank}\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIL_HOME", raising=False)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_shipped_rigs_are_listed_from_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "rigs")
    assert (code, err) == (0, "")
    kinds = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert kinds["emulated-edukit-trustgo"] == "emulated"
    assert kinds["example-bench-esp8266"] == "physical"


def test_the_list_for_machines_says_what_a_rig_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "rigs", "--json")
    rigs = {entry["rig"]: entry for entry in json.loads(out)}
    assert code == 0
    assert rigs["emulated-edukit-trustgo"]["element"] == {
        "part": "atecc608b",
        "address": 53,
        "state": "trust",
    }
    assert "i2c" in rigs["emulated-esp8266-atecc508a"]["capabilities"]


def test_a_rig_of_the_project_is_listed_and_a_broken_one_marked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rigs").mkdir()
    Path("rigs/a.yaml").write_text(BROKEN)
    code, out, _ = run(capsys, "rigs")
    line = next(line for line in out.splitlines() if line.startswith("a "))
    assert code == 0
    assert "broken" in line
    assert "rigs/a.yaml:2:28: unknown key 'prot' in board (did you mean 'port'?)" in line


def test_check_accepts_paths_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.yaml").write_text(BROKEN.replace("rig: a", "rig: b").replace("prot", "mcu: esp32, port"))
    code, out, err = run(capsys, "rigs", "check", "b.yaml", "emulated-edukit-trustgo")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("b.yaml: good, physical rig; can do: atca, ")
    assert "good, emulated rig" in second


def test_check_says_file_line_and_column_once_and_exits_with_12(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text(BROKEN)
    code, out, err = run(capsys, "rigs", "check", "a.yaml")
    assert (code, out) == (12, "")
    assert err == "hil: a.yaml:2:28: unknown key 'prot' in board (did you mean 'port'?)\n"


def test_check_for_machines_names_the_error_of_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text(BROKEN)
    code, out, _ = run(capsys, "rigs", "check", "--json", "a.yaml", "emulated-edukit-trustgo")
    assert code == 12
    assert ["error" in entry for entry in json.loads(out)] == [True, False]


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "rigs", "schema")
    assert code == 0
    assert json.loads(out)["additionalProperties"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rigs", "check", "emulated-edukit-trustog"], "(did you mean 'emulated-edukit-trustgo'?)"),
        (["rigs", "check"], "Missing argument 'FILE…'"),
        (["rigs", "chekc"], "No such command 'chekc'"),
        (["rgis"], "No such command 'rgis'"),
        (["rigs", "--jsno"], "No such option"),
        (["report"], "there are no runs in runs"),
        (["report", "nothing"], "there is no run 'nothing'"),
    ],
)
def test_a_command_that_makes_no_sense_exits_with_11(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (11, "")
    assert message in err
    assert "Traceback" not in err


def test_ctrl_c_is_one_word_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hil.rigfile.list_rigs", interrupted)
    code, _, err = run(capsys, "rigs")
    assert (code, err.strip()) == (130, "hil: interrupted")


def test_help_lists_every_verb_and_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    for verb, (module, line) in cli.COMMANDS.items():
        assert verb in out
        assert line.split(",")[0] in " ".join(out.split())
        assert isinstance(import_module(module).command, click.Command)
        assert run(capsys, verb, "--help")[0] == 0


def test_a_verb_is_imported_only_when_it_is_used() -> None:
    program = (
        "import sys; from hil import cli; cli.run(['--version']);"
        "print(sorted(m for m in sys.modules if m.startswith('hil.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[1] == "['hil.cli', 'hil.errors']"


def test_the_installed_program_exits_with_a_documented_code() -> None:
    program = Path(sys.executable).with_name("hil")
    done = subprocess.run(
        [program, "rigs", "check", "x.yaml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 11
    assert done.returncode in EXIT_CODES
    assert done.stderr == "hil: there is no rig file x.yaml\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{Path(sys.executable).with_name('hil')} rigs schema | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- hil report ---------------------------------------------------------------------------------


@pytest.fixture
def runs() -> Path:
    folder = Path("runs/2025-06-15T150640")
    folder.mkdir(parents=True)
    samples.mixed(folder)
    return folder


def test_report_makes_the_views_of_the_last_run_again(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "report")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith(f"report: {runs}/report.html")
    assert (runs / "junit.xml").is_file()
    assert (runs / "report.html").is_file()


@pytest.mark.parametrize(
    "name", ["2025-06-15T150640", "runs/2025-06-15T150640", "runs/2025-06-15T150640/journal.jsonl"]
)
def test_report_takes_an_id_a_folder_or_a_journal(
    runs: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, _ = run(capsys, "report", name, "--json", "--no-html")
    summary = json.loads(out)
    assert code == 0
    assert (summary["verdict"], summary["kind"], summary["report"]) == ("fail", "emulated", None)
    assert summary["counts"]["blocked"] == 1
    assert not (runs / "report.html").exists()


def test_a_damaged_journal_is_one_message(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "journal.jsonl").write_text("no journal\n")
    code, _, err = run(capsys, "report")
    assert code == 12
    assert "journal.jsonl:1: damaged journal line" in err
