"""``hil manifest`` and ``hil cloud``: from a live element to an account, and out of it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hil import cli
from hil.cloud.local.server import LocalCloudServer
from hil.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

TRUST = "emulated-edukit-trustgo"
BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: /dev/ttyUSB0}}
element: {{part: atecc508a, state: blank}}
cloud: {{mode: moto-server, endpoint_url: "{url}", name_prefix: bench7-}}
"""
SIGNED = ("--signer", "signer.pem", "--root", "chain/root.pem")


@pytest.fixture
def hil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def manifest(hil: Run, tmp_path: Path) -> Path:
    """A manifest of the Trust&GO rig's element; signer and chain beside it."""
    assert hil("cert", "extract", TRUST, "-o", "chain")[0] == 0
    write = ("manifest", "write", TRUST, "-o", "m.json", "--key", "key.pem", "--signer", "signer.pem")
    assert hil(*write, "--new-signer")[0] == 0
    code, _, err = hil(*write, "--new-signer")
    assert code == UsageError.exit_code, "a signer's key is never overwritten"
    assert hil(*write, "--add")[1].endswith(", 1 entries\n"), f"the same element is replaced: {err}"
    return tmp_path / "m.json"


def test_a_manifest_is_written_shown_and_judged(hil: Run, manifest: Path) -> None:
    (row,) = json.loads(hil("manifest", "show", "m.json", "--json")[1])
    assert row["serial"].startswith("0123e07e")
    assert (row["part"], row["certificates"]) == ("ATECC608B-TNGTLS", 2)

    code, out, err = hil("manifest", "verify", "m.json", *SIGNED)
    assert (code, out.split()) == (0, ["good", row["serial"]])
    assert "1 entries, 0 refused" in err

    code, out, _ = hil("manifest", "verify", "m.json", "--signer", "signer.pem")
    assert code == CertificateError.exit_code, "no genuine chain ends in our root"
    assert "not among the accepted roots" in out
    code, out, _ = hil("manifest", "verify", "m.json")
    assert code == CertificateError.exit_code, "Microchip has not signed it"


def test_a_bad_entry_hides_no_good_one_and_the_account_is_clean_afterwards(
    hil: Run, manifest: Path, tmp_path: Path
) -> None:
    good = json.loads(manifest.read_text())[0]
    bad = good | {"signature": "AAAA"}
    manifest.write_text(json.dumps([bad, good]))
    serial = good["header"]["uniqueId"]
    with LocalCloudServer() as server:
        (tmp_path / "rigs").mkdir()
        (tmp_path / "rigs" / "bench.yaml").write_text(BENCH.format(url=server.url))
        register = ("manifest", "register", "m.json", "bench", *SIGNED)

        code, out, _ = hil(*register)
        assert code == CertificateError.exit_code
        assert "signature" in out
        assert out.endswith("1 bad, 1 registered\n")
        things = server.cloud.backend.things
        assert [thing.thing_name for thing in things.values()] == [f"bench7-{serial}"]

        code, out, _ = hil(*register, "--json")
        assert json.loads(out)["counts"] == {"bad": 1, "kept": 1}, "a second run goes on where it was"

        kinds = {line.split()[0] for line in hil("cloud", "ledger", "bench")[1].splitlines()}
        assert kinds == {"certificate", "policy", "policy-attachment", "thing", "thing-attachment"}
        code, out, _ = hil("cloud", "clean-up", "bench", "--dry-run")
        assert code == 0
        assert things, "a dry run deletes nothing"
        code, out, _ = hil("cloud", "clean-up", "bench")
        assert (code, {line.split()[0] for line in out.splitlines()}) == (0, {"deleted"})
        assert not things
        assert not server.cloud.backend.certificates
        assert hil("cloud", "ledger", "bench")[1] == "nothing stands\n"


def test_the_account_of_a_rig_that_ends_with_the_command_is_a_rehearsal(hil: Run, manifest: Path) -> None:
    code, out, err = hil("manifest", "register", "m.json", TRUST, *SIGNED)
    assert (code, out) == (0, "1 registered\n")
    assert "rehearsal" in err
    code, _, err = hil("manifest", "register", "m.json", TRUST, *SIGNED, "--record", "fates.jsonl")
    assert code == UsageError.exit_code
    assert "nothing to resume" in err
    assert "nothing to clean up" in hil("cloud", "clean-up", TRUST)[1]


@pytest.mark.parametrize("file", ["missing.json", "empty.json"])
def test_what_is_no_manifest_is_one_message(hil: Run, tmp_path: Path, file: str) -> None:
    (tmp_path / "empty.json").write_text("")
    for verb in ("show", "verify"):
        code, _, err = hil("manifest", verb, file)
        assert code in (UsageError.exit_code, CertificateError.exit_code)
        assert err.startswith("hil: ")
        assert file in err or "manifest" in err
