"""Attestations: what is signed, and every way to forge one."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from hil.errors import CertificateError, ConfigError, UsageError
from hil.records.attestation import (
    ATTESTATION,
    DigestSigner,
    FileSigner,
    Signer,
    attest,
    load_public_key,
    verify,
)
from hil.records.views import write_views
from tests.unit import record_samples as samples

if TYPE_CHECKING:
    from pathlib import Path


def key_file(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    path = folder / "test.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return FileSigner(key_file(tmp_path, ed25519.Ed25519PrivateKey.generate()))


@pytest.fixture
def run(tmp_path: Path, signer: Signer) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    samples.mixed(folder)
    write_views(folder)
    attest(folder, signer)
    return folder


def payload(run: Path) -> dict[str, object]:
    envelope = json.loads((run / ATTESTATION).read_text())
    found = json.loads(base64.b64decode(envelope["payload"]))
    assert isinstance(found, dict)
    return found


def test_what_was_attested_is_told_in_one_line(run: Path, signer: Signer) -> None:
    attested = verify(run, signer.public_key)
    assert attested.sentence == (
        f"FAILED: 8 tests of run run on {samples.RIG}, {samples.EDUKIT} on EMULATED rigs, "
        "which qualifies no hardware"
    )
    assert (attested.result, attested.emulated) == ("FAILED", True)


def test_it_is_an_in_toto_test_result(run: Path) -> None:
    statement = payload(run)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    assert {name: len(predicate[name]) for name in ("passedTests", "warnedTests", "failedTests")} == {
        "passedTests": 4, "warnedTests": 1, "failedTests": 2,
    }  # fmt: skip
    assert [item["name"] for item in predicate["evidence"]] == [
        "attachments/console.txt", "attachments/i2c-trace.txt", "journal.jsonl", "junit.xml", "report.html",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["journal.jsonl", "junit.xml", "report.html", "attachments/console.txt"])
def test_a_changed_byte_is_found(run: Path, signer: Signer, name: str) -> None:
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(CertificateError, match=f"{name} was changed"):
        verify(run, signer.public_key)


def test_a_missing_and_an_added_file_are_found(run: Path, signer: Signer) -> None:
    (run / "extra.txt").write_text("")
    with pytest.raises(CertificateError, match=r"extra\.txt was added"):
        verify(run, signer.public_key)
    (run / "extra.txt").unlink()
    (run / "junit.xml").unlink()
    with pytest.raises(CertificateError, match=r"junit\.xml is attested but missing"):
        verify(run, signer.public_key)


def test_a_forgery_that_is_signed_again_has_another_key(run: Path, signer: Signer, tmp_path: Path) -> None:
    journal = run / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"verdict":"fail"', '"verdict":"pass"'))
    other = FileSigner(key_file(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    attest(run, other)
    assert verify(run, other.public_key).result == "FAILED"
    with pytest.raises(
        CertificateError, match=r"was not signed by the key [0-9a-f]{16}… but by [0-9a-f]{16}…"
    ):
        verify(run, signer.public_key)


def test_a_changed_statement_is_found(run: Path, signer: Signer) -> None:
    envelope = json.loads((run / ATTESTATION).read_text())
    text = base64.b64decode(envelope["payload"]).replace(b"FAILED", b"PASSED")
    envelope["payload"] = base64.b64encode(text).decode()
    (run / ATTESTATION).write_text(json.dumps(envelope))
    with pytest.raises(CertificateError, match="the statement was changed after it was signed"):
        verify(run, signer.public_key)


def test_a_statement_that_the_journal_does_not_bear_out_is_refused_though_signed(
    run: Path, signer: Signer
) -> None:
    envelope = json.loads((run / ATTESTATION).read_text())
    text = base64.b64decode(envelope["payload"]).replace(b"FAILED", b"PASSED")
    kind = envelope["payloadType"].encode()
    signature = signer.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(text), text))
    envelope["payload"] = base64.b64encode(text).decode()
    envelope["signatures"] = [{"keyid": "", "sig": base64.b64encode(signature).decode()}]
    (run / ATTESTATION).write_text(json.dumps(envelope))
    with pytest.raises(CertificateError, match="does not say what the journal says"):
        verify(run, signer.public_key)


def test_another_type_of_payload_is_no_attestation(run: Path, signer: Signer) -> None:
    envelope = json.loads((run / ATTESTATION).read_text())
    envelope["payloadType"] = "text/plain"
    (run / ATTESTATION).write_text(json.dumps(envelope))
    with pytest.raises(CertificateError, match="the statement was changed after it was signed"):
        verify(run, signer.public_key)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"payload": "%%", "signatures": [], "payloadType": ""}'])
def test_a_damaged_envelope_is_one_message(run: Path, signer: Signer, text: str) -> None:
    (run / ATTESTATION).write_text(text)
    with pytest.raises(ConfigError, match="no DSSE envelope"):
        verify(run, signer.public_key)
    (run / ATTESTATION).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        verify(run, signer.public_key)


def test_an_aborted_run_is_not_attested(tmp_path: Path, signer: Signer) -> None:
    folder = tmp_path / "aborted"
    folder.mkdir()
    samples.begin(folder).close()
    with pytest.raises(UsageError, match="was aborted"):
        attest(folder, signer)
    assert not (folder / ATTESTATION).exists()


def test_a_key_that_signs_digests_only_will_do(run: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())

    def sign_digest(digest: bytes) -> bytes:
        der = private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(der))

    numbers = private.public_key().public_numbers()
    element = DigestSigner(numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"), sign_digest)
    attest(run, element)
    assert verify(run, private.public_key()).result == "FAILED"


def test_openssl_agrees_with_a_p256_signature(run: Path, tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    attest(run, FileSigner(key_file(tmp_path, private)))
    envelope = json.loads((run / ATTESTATION).read_text())
    body = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    public = tmp_path / "public.pem"
    public.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    command = ["openssl", "dgst", "-sha256", "-verify", public.name, "-signature", "signature", "message"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "Verified OK"
    assert verify(run, load_public_key(public)).result == "FAILED"


def test_an_encrypted_key_needs_its_password(run: Path, tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "encrypted.pem"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open"),
        )
    )
    for wrong in (None, b"shut"):
        with pytest.raises(ConfigError, match=r"encrypted\.pem: no private key that can be used"):
            FileSigner(path, wrong)
    attest(run, FileSigner(path, b"open"))
    assert verify(run, private.public_key()).result == "FAILED"


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no private key"):
        FileSigner(tmp_path / "no.pem")
    with pytest.raises(ConfigError, match="no public key"):
        load_public_key(tmp_path / "no.pem")
