"""``hil qualify`` and ``hil verify`` as a user runs them, and every way to pass for more than one is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from hil.board.esptool import is_installed
from hil.cli import run as hil
from hil.errors import BoardIdentityError, UsageError
from hil.records.attestation import ATTESTATION, FileSigner, attest
from hil.records.journal import read_events
from hil.records.rebuild import load_run
from hil.release.gate import refuse_emulated
from hil.release.qualify import element_signer
from hil.rig.oneshot import one_rig
from tests.e2e.test_emulated_board import SERVED, emulate
from tests.unit import release_samples as samples

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "rigs" / "firmware" / "emulated" / "mongoose-os-esp8266.bin").read_bytes()
SIGNS = "emulated-esp32-atecc608b"
RELEASE = f"""\
release: sensor-2.4.0
boards:
  - name: nodemcu
    kind: mongoose-os
    mcu: esp8266
    image: sensor.bin
    sha256: {hashlib.sha256(IMAGE).hexdigest()}
chips: [{{part: atecc508a, revision: "00005000"}}]
suites: [own]
requirements: [{{id: OWN-001, text: Only the element answers on the bus.}}]
"""
SUITE = """\
import pytest

@pytest.mark.req("OWN-001")
def test_only_the_element_answers(board):
    assert board.i2c_scan() == [96]
"""
needs_esptool = pytest.mark.skipif(not is_installed(), reason="esptool is not installed")


def project(folder: Path) -> Path:
    """A release with a suite of its own, and a key."""
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "test_own.py").write_text(SUITE)
    (folder / "sensor.bin").write_bytes(IMAGE)
    (folder / "release.yaml").write_text(RELEASE)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    write_key(folder / "key.pem")
    return folder


def write_key(path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.with_suffix(".pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def qualify(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from hil.cli import main; main()", "qualify", "release.yaml"]
    command += ["--runs", "runs", *options]
    environment = {**os.environ, "HIL_HOME": str(folder / "home"), "PYTEST_ADDOPTS": "-k nothing"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose release was rehearsed and signed by an element."""
    folder = project(tmp_path_factory.mktemp("rehearsal") / "project")
    done = qualify(folder, "--rehearsal", "--key-element", SIGNS, "--public", "element.pub", "--rig", SERVED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "REHEARSAL PASSED: release sensor-2.4.0, 1 requirement" in done.stdout
    assert "release: sensor-2.4.0 (REHEARSAL, qualifies nothing)" in done.stdout
    return folder


@pytest.fixture
def evidence(rehearsed: Path, tmp_path: Path) -> Path:
    """A copy of what the rehearsal left."""
    (run,) = (rehearsed / "runs").iterdir()
    return Path(shutil.copytree(run, tmp_path / run.name))


def public(rehearsed: Path) -> str:
    return str(rehearsed / "element.pub")


@needs_esptool
def test_a_rehearsal_leaves_one_folder_that_says_what_it_is(
    rehearsed: Path, evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.name for path in evidence.iterdir() if path.is_file()} == {
        "journal.jsonl", "junit.xml", "report.html", "requirements.csv", ATTESTATION,
    }  # fmt: skip
    assert hil(["verify", str(evidence), "--key", public(rehearsed)]) == 23, "authentic, and no release"
    said = capsys.readouterr().out
    assert said.startswith("REHEARSAL PASSED: release sensor-2.4.0, 1 requirement, 1 tests of run ")
    assert said.endswith("on EMULATED rigs, which qualifies no hardware\n")
    assert said.count("\n") == 1
    payload = json.loads(base64.b64decode(json.loads((evidence / ATTESTATION).read_text())["payload"]))
    assert [item["name"] for item in payload["subject"]] == ["journal.jsonl"], "nobody finds the image by it"
    assert payload["predicate"]["verdict"] == "rehearsal passed"
    firmware = str(rehearsed / "sensor.bin")
    assert hil(["verify", str(evidence), "--key", public(rehearsed), "--firmware", firmware]) == 16
    assert "is no firmware that this evidence speaks of" in capsys.readouterr().err


@needs_esptool
def test_views_that_are_made_again_are_the_ones_that_were_signed(rehearsed: Path, evidence: Path) -> None:
    for name in ("report.html", "junit.xml", "requirements.csv"):
        (evidence / name).unlink()
    assert hil(["report", str(evidence)]) == 0
    assert hil(["verify", str(evidence), "--key", public(rehearsed)]) == 23, "authentic"


@needs_esptool
def test_the_firmware_is_written_read_back_and_what_was_there_put_back(evidence: Path) -> None:
    run = load_run(evidence)
    (written,) = run.flashed
    assert (written.sha256, written.result) == (
        hashlib.sha256(IMAGE).hexdigest(),
        "done, and what was in flash before was put back",
    )
    assert [test.title for test in run.tests] == ["only the element answers"], (
        "-k of the environment is ignored"
    )


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def statement(folder: Path) -> None:
    envelope = json.loads((folder / ATTESTATION).read_text())
    text = base64.b64decode(envelope["payload"]).replace(b"rehearsal passed", b"release qualified")
    envelope["payload"] = base64.b64encode(text).decode()
    (folder / ATTESTATION).write_text(json.dumps(envelope))


def forge(folder: Path) -> None:
    """Make it look as if a bench had passed, and sign that anew."""
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"rehearsal":true', '"rehearsal":false'))
    write_key(folder.parent / "forger.pem")
    attest(folder, FileSigner(folder.parent / "forger.pem"))


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "attachment": (
        lambda folder: flip(next((folder / "attachments").iterdir())),
        "attachments/console was changed after the attestation",
    ),
    "journal": (lambda f: flip(f / "journal.jsonl"), "journal.jsonl was changed after the attestation"),
    "matrix": (lambda f: flip(f / "requirements.csv"), "requirements.csv was changed after the attestation"),
    "statement": (statement, "the statement was changed after it was signed"),
    "signed again": (forge, "was not signed by the key"),
    "missing": (lambda f: (f / "junit.xml").unlink(), "junit.xml is attested but missing"),
    "extra": (lambda f: (f / "extra.txt").write_text(""), "extra.txt was added after the attestation"),
    "hidden": (
        lambda f: (f / "attachments" / ATTESTATION).write_text(""),
        f"attachments/{ATTESTATION} was added after the attestation",
    ),
    "link": (lambda f: (f / "linked").symlink_to("/etc"), "linked is no file of its own"),
    "unsigned": (lambda f: (f / ATTESTATION).unlink(), "cannot be read: No such file"),
}  # fmt: skip


@needs_esptool
@pytest.mark.parametrize("attack", ATTACKS)
def test_every_change_is_refused_in_its_own_words(
    attack: str, rehearsed: Path, evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = ATTACKS[attack]
    change(evidence)
    assert hil(["verify", str(evidence), "--key", public(rehearsed)]) in (12, 16)
    assert words in capsys.readouterr().err


@needs_esptool
def test_a_signed_statement_that_the_journal_does_not_bear_out_is_refused(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even its own signer cannot say more than the journal."""
    forge(evidence)
    key = str(evidence.parent / "forger.pub")
    assert hil(["verify", str(evidence), "--key", key]) == 23
    assert "NOT QUALIFIED: release sensor-2.4.0" in capsys.readouterr().out


def test_a_key_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hil(["verify", str(tmp_path)]) == 11
    assert "Missing option '--key'" in capsys.readouterr().err


def test_evidence_of_a_physical_bench_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = {**samples.RELEASE["boards"][0], "sha256": hashlib.sha256(IMAGE).hexdigest()}
    samples.write(tmp_path / "run", samples.Bench(firmware=(board["sha256"],)), boards=[board])
    write_key(tmp_path / "key.pem")
    attest(tmp_path / "run", FileSigner(tmp_path / "key.pem"))
    (tmp_path / "sensor.bin").write_bytes(IMAGE)
    command = ["verify", str(tmp_path / "run"), "--key", str(tmp_path / "key.pub")]
    assert hil([*command, "--firmware", str(tmp_path / "sensor.bin")]) == 0
    assert capsys.readouterr().out == (
        "QUALIFIED: release sensor-2.4.0, 2 requirements, 2 tests of run run on bench-1\n"
    )


# -- emulated parts that pass for physical -----------------------------------------------------------


BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: {board}, mac: 02:e0:7e:00:50:8a}}
power: {{kind: lcus, port: {relay}, minimum_off_ms: 100}}
element: {{part: atecc508a, state: blank, revision: "00005000"}}
"""


@needs_esptool
def test_an_emulated_rig_behind_a_terminal_is_refused_as_physical(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    board, relay = folder / "board", folder / "relay"
    with emulate("--board-pty", str(board), "--relay-pty", str(relay)):
        (folder / "bench.yaml").write_text(BENCH.format(board=board, relay=relay))
        done = qualify(folder, "--rig", "bench.yaml", "--key", "key.pem")
    assert done.returncode == 13, done.stdout + done.stderr
    (run_folder,) = (folder / "runs").iterdir()
    run = load_run(run_folder)
    reason = run.aside["bench"]
    assert "bench is refused as physical" in reason
    assert "MAC address 02:e0:7e:00:50:8a is of the range of emulated boards" in reason
    assert "serial number 0123e07e00000508ee is of the range of emulated parts" in reason
    assert run.flashed == [], "nothing was written into it"
    assert "NOT QUALIFIED: release sensor-2.4.0" in done.stdout
    assert hil(["verify", str(run_folder), "--key", str(folder / "key.pub")]) == 23


def test_the_factory_of_emulated_parts_is_known_by_its_signature() -> None:
    with one_rig("emulated-edukit-trustgo") as rig, pytest.raises(BoardIdentityError) as caught:
        refuse_emulated(rig)
    for words in ("emu://", "serial number", "MAC address", "signed by the factory of emulated parts"):
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--key", "key.pem"], "no physical rig shows nodemcu with 00005000"),
        (["--key", "key.pem", "--rig", SERVED], "no physical rig shows nodemcu with 00005000"),
        (["--key", "key.pem", "--rig", SIGNS, "--rehearsal"], "shows no combination of the release"),
        (["--rehearsal"], "name what signs: --key FILE or --key-element RIG"),
        (["--rehearsal", "--key", "nowhere.pem"], "nowhere.pem: no private key that can be used"),
        (["--rehearsal", "--key-element", SERVED], f"{SERVED} is under test: it cannot vouch for itself"),
    ],
)
def test_what_cannot_qualify_is_told_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    folder = project(tmp_path / "project")
    monkeypatch.chdir(folder)
    assert hil(["qualify", "release.yaml", *options]) in (11, 12)
    assert words in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_a_bench_that_names_no_mac_address_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path / "project")
    text = BENCH.format(board="/dev/ttyUSB0", relay="/dev/ttyUSB1").replace(", mac: 02:e0:7e:00:50:8a", "")
    (folder / "bench.yaml").write_text(text)
    command = ["qualify", str(folder / "release.yaml"), "--key", str(folder / "key.pem")]
    assert hil([*command, "--rig", str(folder / "bench.yaml")]) == 11
    assert "the rig file of bench names no MAC address" in capsys.readouterr().err


def test_an_element_under_test_and_an_emulated_one_cannot_sign() -> None:
    with one_rig(SIGNS, prepare="provisioned") as rig:
        serial = rig.element.serial_number().hex()
    under_test = element_signer(SIGNS, 0, rehearsal=True, under_test={serial})
    with pytest.raises(UsageError, match=f"the element {serial} of {SIGNS} is under test"), under_test:
        pytest.fail("it signs for itself")
    emulated = element_signer(SIGNS, 0, rehearsal=False, under_test=set())
    with pytest.raises(UsageError, match="is emulated: anybody could make its signatures"), emulated:
        pytest.fail("an emulated element signs")


# -- the plan in pytest -------------------------------------------------------------------------------


def session(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--runs", "runs", *options, "own"]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "HIL_HOME": str(folder / "home")}, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip


PLAN = ("--plan", "qualification", "--release", "release.yaml", "--rehearsal")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        pytest.param(PLAN[:2], 11, "--plan qualification needs --release FILE", marks=pytest.mark.long),
        pytest.param(
            ["--release", "release.yaml"],
            11,
            "--release and --rehearsal belong to --plan qualification",
            marks=pytest.mark.long,
        ),
        ([*PLAN, "--quarantine", "q.yaml"], 11, "the plan qualification tolerates no quarantine"),
        ([*PLAN, "-k", "nothing"], 11, "deselected: 1, the first is own/test_own.py::test_only"),
    ],
)
def test_what_a_qualification_does_not_allow(
    tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    done = session(project(tmp_path / "project"), *options)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr


@pytest.mark.long
@needs_esptool
def test_what_is_not_covered_and_what_is_quarantined_does_not_pass(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    more = "requirements:\n  - {id: OWN-001}\n  - {id: OWN-002}\n"
    (folder / "release.yaml").write_text(RELEASE[: RELEASE.index("requirements:")] + more)
    tolerated = '@pytest.mark.quarantine(reason="known", issue="#1", until="2099-12-31")\n'
    (folder / "own" / "test_own.py").write_text(
        SUITE
        + f'\n{tolerated}@pytest.mark.req("OWN-003")\ndef test_tolerated(rig):\n    assert rig is None\n'
    )
    done = session(folder, *PLAN)
    assert done.returncode == 1, done.stdout
    assert "release sensor-2.4.0: rehearsal failed" in done.stdout
    assert "OWN-002: no test of it ran on a rig that counts" in done.stdout
    (run,) = (folder / "runs").iterdir()
    ends = [event for event in read_events(run) if event["kind"] == "test-end"]
    assert [event["verdict"] for event in ends] == ["pass", "fail"], "a mark tolerates nothing here"
