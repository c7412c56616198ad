"""Digest authentication: HTTP's (RFC 7616, section 3.4) and that of mg_rpc, which borrows it.

mg_rpc puts a made-up method and URI into the scheme; the challenge is the message of error 401.
Source: mongoose-os-libs/rpc-common ``src/mg_rpc.c`` (``mg_rpc_check_digest_auth``).
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

from hil.discretion import discreet
from hil.errors import FrameError

__all__ = [
    "UNAUTHENTICATED",
    "Algorithm",
    "Challenge",
    "digest_response",
    "http_authorization",
    "http_challenge",
    "rpc_auth",
    "rpc_challenge",
]

UNAUTHENTICATED = 401
"""Status of HTTP and code of mg_rpc's error that carry a challenge."""

Algorithm = Literal["MD5", "SHA-256"]
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Challenge(msgspec.Struct, frozen=True):
    """What the other end asks for."""

    auth_type: str
    nonce: int | str
    nc: int = 1
    realm: str = ""
    algorithm: Algorithm = "MD5"


@discreet
def digest_response(
    challenge: Challenge, user: str, password: str, cnonce: str, *, nc: str, method: str, uri: str
) -> str:
    """The proof, in hex, for quality of protection ``auth``."""
    algorithm = hashlib.md5 if challenge.algorithm == "MD5" else hashlib.sha256

    def h(text: str) -> str:
        return algorithm(text.encode()).hexdigest()

    secret = h(f"{user}:{challenge.realm}:{password}")
    return h(f"{secret}:{challenge.nonce}:{nc}:{cnonce}:auth:{h(f'{method}:{uri}')}")


# -- mg_rpc -------------------------------------------------------------------------------------


def rpc_challenge(message: str) -> Challenge:
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


@discreet
def rpc_auth(challenge: Challenge, user: str, password: str, cnonce: str) -> dict[str, object]:
    """The ``auth`` member of the repeated request."""
    return {
        "realm": challenge.realm,
        "username": user,
        "nonce": challenge.nonce,
        "cnonce": cnonce,
        "response": digest_response(
            challenge, user, password, cnonce, nc="1", method="dummy_method", uri="dummy_uri"
        ),
        "algorithm": challenge.algorithm,
    }


# -- HTTP ---------------------------------------------------------------------------------------


def http_challenge(header: str) -> Challenge:
    """Read a ``WWW-Authenticate`` header.

    Raises:
        FrameError: it asks for something else than digest with a known algorithm.
    """
    scheme, _, rest = header.partition(" ")
    fields = {name.lower(): quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
    algorithm = fields.get("algorithm", "MD5")
    if scheme.lower() != "digest" or "nonce" not in fields or algorithm not in ("MD5", "SHA-256"):
        raise FrameError(f"authentication {header[:60]!r} is not supported; only digest is")
    known: Algorithm = "MD5" if algorithm == "MD5" else "SHA-256"
    return Challenge("digest", fields["nonce"], realm=fields.get("realm", ""), algorithm=known)


@discreet
def http_authorization(
    challenge: Challenge, user: str, password: str, cnonce: str, *, method: str, uri: str
) -> str:
    """The ``Authorization`` header of the repeated request."""
    nc = "00000001"
    proof = digest_response(challenge, user, password, cnonce, nc=nc, method=method, uri=uri)
    return (
        f'Digest username="{user}", realm="{challenge.realm}", nonce="{challenge.nonce}", uri="{uri}", '
        f'algorithm={challenge.algorithm}, qop=auth, nc={nc}, cnonce="{cnonce}", response="{proof}"'
    )
