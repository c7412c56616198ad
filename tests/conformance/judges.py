"""Two implementations of the element's cryptography that this project did not write, behind one face.

``cryptography`` (its primitives, put together here only where it lacks a function) and the
``openssl`` program. Nothing of the emulator or of the host driver is used.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SHA256 = hashes.SHA256()
PUBLIC_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of a P-256 point, up to its coordinates (RFC 5480)."""
PRIVATE_HEAD, PRIVATE_TAIL = bytes.fromhex("30310201010420"), bytes.fromhex("a00a06082a8648ce3d030107")
"""ECPrivateKey of a P-256 scalar, around it (RFC 5915)."""


class Judge(Protocol):
    """What the element computes; points are X and Y, signatures R and S."""

    def sha256(self, message: bytes) -> bytes: ...
    def hmac(self, key: bytes, message: bytes) -> bytes: ...
    def aes(self, key: bytes, block: bytes, *, decrypt: bool = False) -> bytes: ...
    def prf(self, secret: bytes, seed: bytes, length: int) -> bytes: ...
    def hkdf_extract(self, salt: bytes, material: bytes) -> bytes: ...
    def hkdf_expand(self, key: bytes, info: bytes) -> bytes: ...
    def sign(self, scalar: bytes, digest: bytes) -> bytes: ...
    def verify(self, point: bytes, digest: bytes, signature: bytes) -> bool: ...
    def ecdh(self, scalar: bytes, point: bytes) -> bytes: ...


class Cryptography:
    """The Python package ``cryptography``."""

    def sha256(self, message: bytes) -> bytes:
        digest = hashes.Hash(SHA256)
        digest.update(message)
        return digest.finalize()

    def hmac(self, key: bytes, message: bytes) -> bytes:
        code = hmac.HMAC(key, SHA256)
        code.update(message)
        return code.finalize()

    def aes(self, key: bytes, block: bytes, *, decrypt: bool = False) -> bytes:
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        worker = cipher.decryptor() if decrypt else cipher.encryptor()
        return worker.update(block) + worker.finalize()

    def prf(self, secret: bytes, seed: bytes, length: int) -> bytes:
        """P_SHA256 of RFC 5246 section 5, which ``cryptography`` does not offer by itself."""
        output, link = b"", seed
        while len(output) < length:
            link = self.hmac(secret, link)
            output += self.hmac(secret, link + seed)
        return output[:length]

    def hkdf_extract(self, salt: bytes, material: bytes) -> bytes:
        return self.hmac(salt, material)  # RFC 5869 section 2.2

    def hkdf_expand(self, key: bytes, info: bytes) -> bytes:
        return HKDFExpand(SHA256, 32, info).derive(key)

    def sign(self, scalar: bytes, digest: bytes) -> bytes:
        r, s = decode_dss_signature(_private(scalar).sign(digest, ec.ECDSA(Prehashed(SHA256))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, point: bytes, digest: bytes, signature: bytes) -> bool:
        try:
            _public(point).verify(_der(signature), digest, ec.ECDSA(Prehashed(SHA256)))
        except InvalidSignature:
            return False
        return True

    def ecdh(self, scalar: bytes, point: bytes) -> bytes:
        return _private(scalar).exchange(ec.ECDH(), _public(point))


class OpenSsl:
    """The ``openssl`` program, version 3."""

    def sha256(self, message: bytes) -> bytes:
        return _openssl("dgst", "-sha256", "-binary", data=message)

    def hmac(self, key: bytes, message: bytes) -> bytes:
        return _openssl(
            "dgst", "-sha256", "-binary", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", data=message
        )

    def aes(self, key: bytes, block: bytes, *, decrypt: bool = False) -> bytes:
        way = "-d" if decrypt else "-e"
        return _openssl("enc", "-aes-128-ecb", way, "-nopad", "-K", key.hex(), data=block)

    def prf(self, secret: bytes, seed: bytes, length: int) -> bytes:
        return _kdf("TLS1-PRF", length, f"hexsecret:{secret.hex()}", f"hexseed:{seed.hex()}")

    def hkdf_extract(self, salt: bytes, material: bytes) -> bytes:
        return _kdf("HKDF", 32, "mode:EXTRACT_ONLY", f"hexsalt:{salt.hex()}", f"hexkey:{material.hex()}")

    def hkdf_expand(self, key: bytes, info: bytes) -> bytes:
        return _kdf("HKDF", 32, "mode:EXPAND_ONLY", f"hexkey:{key.hex()}", f"hexinfo:{info.hex()}")

    def sign(self, scalar: bytes, digest: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            key = _file(name, "key", PRIVATE_HEAD + scalar + PRIVATE_TAIL)
            der = _openssl("pkeyutl", "-sign", "-keyform", "DER", "-inkey", key, "-pkeyopt", "digest:sha256",
                           data=digest)  # fmt: skip
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, point: bytes, digest: bytes, signature: bytes) -> bool:
        with tempfile.TemporaryDirectory() as name:
            key = _file(name, "key", PUBLIC_HEAD + point)
            signed = _file(name, "signature", _der(signature))
            said = _openssl("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key,
                            "-sigfile", signed, "-pkeyopt", "digest:sha256",
                            data=digest, ok=False)  # fmt: skip
        assert said.strip() in (b"Signature Verified Successfully", b"Signature Verification Failure")
        return b"Successfully" in said

    def ecdh(self, scalar: bytes, point: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            key = _file(name, "key", PRIVATE_HEAD + scalar + PRIVATE_TAIL)
            peer = _file(name, "peer", PUBLIC_HEAD + point)
            return _openssl("pkeyutl", "-derive", "-keyform", "DER", "-inkey", key,
                            "-peerform", "DER", "-peerkey", peer)  # fmt: skip


@cache
def why_not_openssl() -> str | None:
    """Why the program cannot judge here."""
    program = shutil.which("openssl")
    if program is None:
        return "the openssl program is not installed"
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    if not said.startswith("OpenSSL") or int(said.split()[1].split(".")[0]) < 3:
        return f"{said.strip()} has no `kdf` command: OpenSSL 3 is needed"
    return None


def judges() -> list[object]:
    """Parameters for a fixture: both judges, the second skipped visibly where it is missing."""
    reason = why_not_openssl()
    skip = pytest.mark.skipif(reason is not None, reason=reason or "")
    return [
        pytest.param(Cryptography(), id="cryptography"),
        pytest.param(OpenSsl(), id="openssl", marks=skip),
    ]


def _private(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def _public(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _kdf(name: str, length: int, *options: str) -> bytes:
    given = [word for option in ("digest:SHA256", *options) for word in ("-kdfopt", option)]
    return _openssl("kdf", "-binary", "-keylen", str(length), *given, name)


def _file(folder: str, name: str, content: bytes) -> str:
    path = Path(folder) / name
    path.write_bytes(content)
    return str(path)


def _openssl(*words: str, data: bytes = b"", ok: bool = True) -> bytes:
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, check=False)
    assert done.returncode == 0 or not ok, done.stderr.decode()
    return done.stdout
