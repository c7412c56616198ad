"""``hil element`` and ``hil cert extract``: one element by hand, checked by ``cryptography`` and openssl."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from hil import cli
from hil.errors import CertificateError, DeviceError, UsageError
from hil.rigfile import load_rig
from tests.conformance.peers import needs_openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

KEYED = ("emulated-esp8266-atecc508a", "--prepare", "provisioned")
BLANK = "emulated-esp8266-atecc508a"
TRUST = "emulated-edukit-trustgo"
SERIAL = "0123e07e"
"""Serial numbers of emulated parts begin so."""


@pytest.fixture
def hil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_info_says_who_it_is_what_is_locked_and_that_it_is_emulated(hil: Run) -> None:
    code, out, _ = hil("element", "info", *KEYED)
    assert code == 0
    assert out.startswith("EMULATED\npart      atecc508a\nserial    " + SERIAL)
    assert "configuration locked, data locked" in out
    assert "slot  0: P-256 private key" in out
    facts = json.loads(hil("element", "info", BLANK, "--json")[1])
    assert (facts["serial"], facts["config_locked"]) == (load_rig(BLANK).element.serial, False)


def test_info_of_an_element_behind_a_console_that_knows_less(hil: Run) -> None:
    facts = json.loads(hil("element", "info", TRUST, "--json")[1])
    assert facts["serial"].startswith(SERIAL)
    assert facts["emulated"] is True


def test_pubkey_is_a_key_that_anybody_can_load(hil: Run) -> None:
    code, out, _ = hil("element", "pubkey", *KEYED, "--json")
    answer = json.loads(out)
    key = load_pem_public_key(answer["pem"].encode())
    assert code == 0
    assert key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex() == "04" + answer["xy"]


def test_random_gives_as_many_bytes_as_asked_for_and_never_twice_the_same(hil: Run) -> None:
    code, out, _ = hil("element", "random", *KEYED, "70")
    data = bytes.fromhex(out)
    assert (code, len(data)) == (0, 70)
    assert len({data[at : at + 7] for at in range(0, 70, 7)}) == 10


def test_random_of_an_element_that_is_not_configured_is_refused(hil: Run) -> None:
    code, out, err = hil("element", "random", BLANK)
    assert (code, out) == (DeviceError.exit_code, "")
    assert "not configured" in err


def test_sign_signs_the_digest_of_the_file(hil: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"to be signed")
    code, out, _ = hil("element", "sign", *KEYED, "file", "--json", "-o", "file.sig")
    answer = json.loads(out)
    r, s = decode_dss_signature((tmp_path / "file.sig").read_bytes())
    assert code == 0
    assert answer["digest"] == hashlib.sha256(b"to be signed").hexdigest()
    assert f"{r:064x}{s:064x}" == answer["rs"]


@pytest.mark.parametrize(("digest", "words"), [("zz", "no hex"), ("00", "32 bytes")])
def test_a_digest_that_is_none_is_refused_before_the_rig_is_opened(hil: Run, digest: str, words: str) -> None:
    code, out, err = hil("element", "sign", *KEYED, "--digest", digest)
    assert (code, out) == (UsageError.exit_code, "")
    assert words in err


@needs_openssl
def test_openssl_verifies_the_certificate_that_the_element_signs_for_itself(hil: Run, tmp_path: Path) -> None:
    """The first article's certificate; its key never leaves the element."""
    subject = "/C=IE/L=Dublin/O=ACME Ltd/OU=Testing/CN=test.acme.com"
    code, out, _ = hil("element", "cert", *KEYED, "--self-signed", subject, "--days", "30")
    (tmp_path / "own.pem").write_text(out)
    done = subprocess.run(
        ["openssl", "verify", "-check_ss_sig", "-CAfile", "own.pem", "own.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (code, done.returncode, done.stdout) == (0, 0, "own.pem: OK\n"), done.stderr


def test_the_delivered_certificates_are_printed_and_judged_and_their_root_is_named_synthetic(
    hil: Run,
) -> None:
    code, out, err = hil("element", "cert", TRUST)
    device, signer, root = x509.load_pem_x509_certificates(out.encode())
    assert code == 0
    assert err.startswith("chain good, root: synthetic (emulated parts)")
    device.verify_directly_issued_by(signer)
    signer.verify_directly_issued_by(root)


def test_extracted_files_are_a_good_chain_under_their_root_only(hil: Run, tmp_path: Path) -> None:
    assert hil("cert", "extract", TRUST, "-o", "chain")[0] == 0
    files = [str(tmp_path / "chain" / f"{name}.pem") for name in ("device", "signer", "root")]
    assert hil("cert", "verify", *files)[0] == 0
    assert hil("cert", "verify", *files[:2])[0] == CertificateError.exit_code
    answer = json.loads(hil("cert", "extract", TRUST, "--json")[1])
    assert answer["ok"]
    assert answer["certificates"]["device"]["pem"] == Path(files[0]).read_text()


def test_what_a_rig_cannot_do_is_said(hil: Run) -> None:
    code, _, err = hil("element", "sign", TRUST, "--digest", "00" * 32)
    assert code == UsageError.exit_code
    assert f"{TRUST} has no sign" in err


# -- the shell ----------------------------------------------------------------------------------

SCRIPT = """
import hashlib
from hil.tls.software import SoftwareVerify
digest = hashlib.sha256(b"by hand").digest()
print(SoftwareVerify().verify(element.public_key(0), digest, element.sign_digest(0, digest)))
print(element.public_key(0).hex())
print(cloud.register(element).pem)
"""


def test_the_shell_has_the_element_and_the_cloud_at_hand(hil: Run) -> None:
    """A signature of the element, and the cloud's certificate for its key."""
    code, out, err = hil("element", "shell", *KEYED, "-c", SCRIPT)
    verifies, point, pem = out.split("\n", 2)
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert (code, verifies) == (0, "True"), err
    assert isinstance(key, EllipticCurvePublicKey)
    assert key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex() == "04" + point


def test_the_shell_asks_and_answers_and_keeps_its_journal(
    hil: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("len(certificates.device)\n1 / 0\nprint('after')\n"))
    code, out, err = hil("element", "shell", TRUST)
    assert code == 0
    assert "certificates  device, signer and root" in err, "the banner says what is there"
    assert "547\n" in out
    assert "ZeroDivisionError" in err
    assert "after" in out, "an error does not end it"
    assert list(tmp_path.glob("**/journal.jsonl"))
