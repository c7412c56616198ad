"""The roots of Amazon Trust Services that a board needs for AWS IoT Core.

Root CA 1 (RSA) and 3 (P-256) sign what devices meet; 2 and 4 are reserved (developer guide, "Server
authentication"). They are taken from the bundle that botocore brings, by their fingerprints.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from importlib.resources import files

from hil.errors import ConfigError

__all__ = ["AMAZON_ROOTS", "amazon_roots"]

AMAZON_ROOTS = {
    "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e": "Amazon Root CA 1",
    "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4": "Amazon Root CA 3",
}
"""SHA-256 of the DER bytes → name."""

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


def amazon_roots() -> bytes:
    """Both roots in PEM.

    Raises:
        ConfigError: botocore's bundle does not hold them any more.
    """
    bundle = (files("botocore") / "cacert.pem").read_text(encoding="utf-8")
    found = {
        AMAZON_ROOTS.get(hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest(), ""): text
        for text in _PEM.findall(bundle)
    }
    lacking = [name for name in AMAZON_ROOTS.values() if name not in found]
    if lacking:
        raise ConfigError(
            f"botocore's bundle of authorities lacks {', '.join(lacking)}",
            hint="name a file with Amazon's roots in the rig file: cloud: {server_roots: …}",
        )
    return "".join(found[name] for name in AMAZON_ROOTS.values()).encode()
