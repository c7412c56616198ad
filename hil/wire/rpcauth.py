"""Digest authentication of mg_rpc: the challenge in error 401, and the ``auth`` member that answers it.

The scheme is HTTP digest (RFC 7616, section 3.4) with a made-up method and URI.
Source: mongoose-os-libs/rpc-common ``src/mg_rpc.c`` (``mg_rpc_check_digest_auth``).
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from hil.errors import FrameError

__all__ = ["UNAUTHENTICATED", "Challenge", "answer", "digest_response", "parse_challenge"]

UNAUTHENTICATED = 401
"""Code of the error whose message is a challenge."""

Algorithm = Literal["MD5", "SHA-256"]


class Challenge(msgspec.Struct, frozen=True):
    """What the firmware asks for."""

    auth_type: str
    nonce: int | str
    nc: int = 1
    realm: str = ""
    algorithm: Algorithm = "MD5"


def parse_challenge(message: str) -> Challenge:
    """Read the message of an error 401.

    Raises:
        FrameError: it is no digest challenge.
    """
    try:
        challenge = msgspec.json.decode(message, type=Challenge)
    except msgspec.MsgspecError as error:
        raise FrameError(f"the firmware's challenge cannot be read: {error}") from error
    if challenge.auth_type != "digest":
        raise FrameError(f"the firmware wants authentication {challenge.auth_type!r}; only digest is known")
    return challenge


def digest_response(challenge: Challenge, user: str, password: str, cnonce: str) -> str:
    """The proof, in hex."""
    algorithm = hashlib.md5 if challenge.algorithm == "MD5" else hashlib.sha256

    def h(text: str) -> str:
        return algorithm(text.encode()).hexdigest()

    secret = h(f"{user}:{challenge.realm}:{password}")
    request = h("dummy_method:dummy_uri")
    return h(f"{secret}:{challenge.nonce}:{challenge.nc}:{cnonce}:auth:{request}")


def answer(challenge: Challenge, user: str, password: str, cnonce: str) -> dict[str, object]:
    """The ``auth`` member of the repeated request."""
    return {
        "realm": challenge.realm,
        "username": user,
        "nonce": challenge.nonce,
        "cnonce": cnonce,
        "response": digest_response(challenge, user, password, cnonce),
        "algorithm": challenge.algorithm,
    }
