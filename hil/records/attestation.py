"""A signed statement of what a run showed, that somebody else can check.

The statement is an in-toto Statement v1 with the test-result predicate, in a DSSE envelope.
It names the journal and every file of the run by hash, so that a changed byte is found, and it is
checked against a key that the verifier brings along: whoever re-signs a forgery has another key.

Sources: in-toto/attestation ``spec/v1/statement.md`` and ``spec/predicates/test-result.md``;
secure-systems-lab/dsse ``protocol.md``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from hil.discretion import discreet
from hil.errors import CertificateError, ConfigError, UsageError
from hil.measure.verdict import Verdict
from hil.records.journal import JOURNAL
from hil.records.matrix import MATRIX
from hil.records.qualification import judge
from hil.records.rebuild import load_run
from hil.records.views import JUNIT, REPORT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hil.records.model import Run

__all__ = [
    "ATTESTATION",
    "Attested",
    "DigestSigner",
    "FileSigner",
    "PublicKey",
    "Signer",
    "attest",
    "keyid",
    "load_public_key",
    "signed_by",
    "verify",
    "write_public_key",
]

ATTESTATION = "attestation.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_VIEWS = (JUNIT, MATRIX, REPORT)
_ESSENTIAL = frozenset({"result", "passedTests", "warnedTests", "failedTests", "run", "kind", "evidence"})
_RESULTS = {Verdict.PASS: "PASSED", Verdict.WARN: "WARNED"}


class Signer(Protocol):
    """Signs messages with a key that it need not show."""

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the signatures."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature: Ed25519, or ECDSA with SHA-256 in DER."""
        ...


class FileSigner:
    """Signs with a private key in PEM, Ed25519 or P-256.

    Raises:
        ConfigError: the file cannot be read or holds another kind of key.
    """

    @discreet
    def __init__(self, path: Path, password: bytes | None = None) -> None:
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: no private key that can be used: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise ConfigError(f"{path}: attestations are signed with Ed25519 or P-256")
        self._key = key

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the signatures."""
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


class DigestSigner:
    """Signs with a key that signs digests only, such as one in a secure element.

    Args:
        public_key: 64 bytes, X and Y on P-256.
        sign_digest: takes the SHA-256 digest and returns 64 bytes, R and S.
    """

    def __init__(self, public_key: bytes, sign_digest: Callable[[bytes], bytes]) -> None:
        self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public_key)
        self._sign_digest = sign_digest

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies the signatures."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`."""
        raw = self._sign_digest(hashlib.sha256(message).digest())
        return utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


@dataclass(frozen=True)
class Attested:
    """What a verified attestation says.

    Attributes:
        sentence: in one line, for people.
        result: ``PASSED``, ``WARNED`` or ``FAILED``.
        emulated: True if any rig of the run was emulated: the result qualifies no hardware.
        keyid: SHA-256 of the public key (DER, SubjectPublicKeyInfo).
        qualified: the release that is qualified, or empty: it failed, it is a rehearsal, it is no release.
        firmware: SHA-256 of the images that the statement speaks of; none if it speaks of the run only.
    """

    sentence: str
    result: str
    emulated: bool
    keyid: str
    qualified: str = ""
    firmware: frozenset[str] = frozenset()


def attest(folder: Path, signer: Signer) -> Path:
    """Write the signed statement of a finished run beside its journal.

    Every file in the folder is named in it, so views are to be written before.

    Raises:
        UsageError: the run was aborted, or a view of a release's run is missing; nothing is signed.
        ConfigError: the journal is damaged.
    """
    run = load_run(folder)
    if run.aborted:
        raise UsageError(f"run {run.name} was aborted; nothing can be attested of it")
    lacking = [name for name in _VIEWS if run.release and not (folder / name).is_file()]
    if lacking:
        raise UsageError(f"run {run.name} lacks {', '.join(lacking)}", hint="hil report makes them again")
    payload = json.dumps(_statement(run), ensure_ascii=False, sort_keys=True).encode()
    signature = signer.sign(_pre_authentication(payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": keyid(signer.public_key), "sig": base64.b64encode(signature).decode()}],
    }
    path = folder / ATTESTATION
    path.write_text(json.dumps(envelope, indent=2) + "\n", encoding="utf-8")
    return path


def verify(folder: Path, key: PublicKey) -> Attested:
    """Check signature, hashes and completeness of an attested run.

    Args:
        folder: the run's folder.
        key: the key that must have signed; never taken from the folder.

    Raises:
        ConfigError: there is no attestation, or it is damaged.
        CertificateError: another key signed, a byte was changed, or a file is missing or extra.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", hint="give the folder that `hil qualify` printed")
    statement = _signed_statement(folder / ATTESTATION, key)
    named = {item["name"]: item["digest"]["sha256"] for item in statement["predicate"]["evidence"]}
    found = _digests(folder)
    for name in sorted(named.keys() | found.keys()):
        if name not in found:
            raise CertificateError(f"{folder}: {name} is attested but missing")
        if name not in named:
            raise CertificateError(f"{folder}: {name} was added after the attestation")
        if named[name] != found[name]:
            raise CertificateError(f"{folder}: {name} was changed after the attestation")
    run = load_run(folder)
    if not _borne_out(statement, _statement(run)):
        raise CertificateError(f"{folder}: the statement does not say what the journal says")
    if run.aborted:
        raise CertificateError(f"{folder}: the run was aborted, and yet it is attested")
    for attachment in [*run.attachments, *(a for test in run.tests for a in test.attachments)]:
        if found.get(attachment.path) != attachment.sha256:
            raise CertificateError(f"{folder}: {attachment.path} is not what the journal says was attached")
    return _attested(run, statement, key)


def _borne_out(statement: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether a statement says what the journal says: members that other versions add are no matter."""
    said, found = statement.get("predicate"), ours["predicate"]
    if not isinstance(said, dict) or not said.keys() >= _ESSENTIAL or statement["subject"] != ours["subject"]:
        return False
    return all(found[name] == value for name, value in said.items() if name in found)


def _attested(run: Run, statement: dict[str, Any], key: PublicKey) -> Attested:
    result, emulated = statement["predicate"]["result"], run.kind != "physical"
    rigs = ", ".join(run.rigs) or "no rig"
    sentence = f"{result}: {len(run.tests)} tests of run {run.name} on {rigs}"
    qualified = ""
    if run.release:
        release = judge(run)
        count = len(release.requirements)
        covered = f"{count} requirement{'s' * (count != 1)}, {sentence.partition(': ')[2]}"
        sentence = f"{release.verdict.upper()}: release {release.release}, {covered}"
        qualified = release.release if release.qualified else ""
    if emulated and not qualified:
        sentence += (
            f" on {'' if run.kind == 'emulated' else 'partly '}EMULATED rigs, which qualifies no hardware"
        )
    firmware = frozenset(item["digest"]["sha256"] for item in statement["subject"] if item["name"] != JOURNAL)
    return Attested(sentence, result, emulated, keyid(key), qualified, firmware)


def load_public_key(path: Path) -> PublicKey:
    """A public key in PEM, Ed25519 or P-256.

    Raises:
        ConfigError: the file cannot be read or holds something else.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no public key that can be used: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise ConfigError(f"{path}: attestations are signed with Ed25519 or P-256")
    return key


def write_public_key(key: PublicKey, path: Path) -> None:
    """Write a public key as PEM.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        path.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def keyid(key: PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo in DER, hex."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _pre_authentication(payload: bytes) -> bytes:
    """What is signed: ``DSSEv1``, then length and text of type and payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signed_statement(path: Path, key: PublicKey) -> dict[str, Any]:
    try:
        envelope = json.loads(path.read_bytes())
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(entry["sig"], validate=True) for entry in envelope["signatures"]]
        named = {str(entry.get("keyid", "")) for entry in envelope["signatures"]}
        kind = envelope["payloadType"]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ConfigError(f"{path} is no DSSE envelope: {error!r}") from error
    message = _pre_authentication(payload)
    if kind != PAYLOAD_TYPE or not any(signed_by(key, signature, message) for signature in signatures):
        if keyid(key) in named:
            raise CertificateError(f"{path}: the statement was changed after it was signed")
        raise CertificateError(
            f"{path} was not signed by the key {keyid(key)[:16]}… but by {_short(named)}",
            hint="whoever signs a forgery again has another key; ask the signer for theirs on another way",
        )
    statement = json.loads(payload)
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise CertificateError(f"{path} attests something else than test results")
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise CertificateError(f"{path} attests something else than test results")
    return statement


def _short(keyids: set[str]) -> str:
    return ", ".join(sorted(f"{one[:16]}…" for one in keyids if one)) or "nobody who says so"


def signed_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a signature of a message is by this key."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _statement(run: Run) -> dict[str, Any]:
    """The statement; its subject is the firmware that was tested, or the journal where none is known.

    What ran on emulated rigs, a rehearsal above all, speaks of its journal only: nobody who looks for
    the hash of an image may find a result that no hardware has shown.
    """
    if run.release:
        firmware = [
            {"name": str(board["image"]), "digest": {"sha256": str(board["sha256"])}}
            for board in run.release["boards"]
            if not run.rehearsal
        ]
    else:
        firmware = [
            {"name": f"firmware of {rig.rig}", "digest": {"sha256": str(part.identity["firmware_sha256"])}}
            for rig in run.rigs.values()
            if rig.kind == "physical"
            for part in rig.parts
            if "firmware_sha256" in part.identity
        ]
    journal = {"name": JOURNAL, "digest": {"sha256": _digests(run.folder)[JOURNAL]}}
    return {
        "_type": STATEMENT_TYPE,
        "subject": firmware or [journal],
        "predicateType": PREDICATE_TYPE,
        "predicate": _predicate(run),
    }


def _predicate(run: Run) -> dict[str, Any]:
    by_verdict: dict[Verdict, list[str]] = {}
    for test in run.tests:
        by_verdict.setdefault(test.verdict, []).append(test.test)
    grave = (Verdict.FAIL, Verdict.RIG_ERROR, Verdict.ABORTED, Verdict.BLOCKED)
    release: dict[str, Any] = {}
    configuration: list[dict[str, Any]] = [
        {"name": rig.rig, "annotations": {"kind": rig.kind}} for rig in run.rigs.values()
    ]
    result = _RESULTS.get(run.verdict, "FAILED")
    if run.release:
        found = judge(run)
        result = result if found.passed else "FAILED"
        release = {"release": found.release, "verdict": found.verdict}
        digest = {"sha256": str(run.release["file_sha256"])}
        configuration.append({"name": str(run.release["file"]), "digest": digest})
    return {
        "result": result,
        "configuration": configuration,
        "passedTests": by_verdict.get(Verdict.PASS, []),
        "warnedTests": by_verdict.get(Verdict.WARN, []),
        "failedTests": [test for verdict in grave for test in by_verdict.get(verdict, [])],
        # Beyond the predicate's own fields, which readers of in-toto ignore:
        "run": run.name,
        "kind": run.kind,
        **release,
        "evidence": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in _digests(run.folder).items()
        ],
    }


def _digests(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of every file of the run but the attestation.

    Raises:
        CertificateError: something that is neither a file nor a folder, such as a link to elsewhere.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CertificateError(f"{folder}: {name} is no file of its own, it leads elsewhere")
        if path.is_file() and name != ATTESTATION:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
