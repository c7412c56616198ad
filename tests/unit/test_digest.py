from __future__ import annotations

import pytest

from hil.errors import FrameError
from hil.wire.digest import (
    Algorithm,
    Challenge,
    digest_response,
    http_authorization,
    http_challenge,
    rpc_auth,
    rpc_challenge,
)

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: Algorithm, proof: str) -> None:
    challenge = Challenge("digest", NONCE, realm="http-auth@example.org", algorithm=algorithm)
    uri = "/dir/index.html"
    found = digest_response(
        challenge, "Mufasa", "Circle of Life", CNONCE, nc="00000001", method="GET", uri=uri
    )
    assert found == proof
    header = http_authorization(challenge, "Mufasa", "Circle of Life", CNONCE, method="GET", uri=uri)
    assert f'response="{proof}"' in header
    assert f"algorithm={algorithm}" in header


def test_a_header_challenge_is_read() -> None:
    header = f'Digest realm="r, with comma", qop="auth, auth-int", algorithm=SHA-256, nonce="{NONCE}"'
    assert http_challenge(header) == Challenge("digest", NONCE, realm="r, with comma", algorithm="SHA-256")
    assert http_challenge('Digest nonce="1"').algorithm == "MD5"


@pytest.mark.parametrize(
    "header", ['Basic realm="x"', "Digest", 'Digest realm="x"', 'Digest nonce="1", algorithm=SHA-512-256']
)
def test_other_header_challenges_are_refused(header: str) -> None:
    with pytest.raises(FrameError):
        http_challenge(header)


def test_the_firmwares_challenge_is_read_and_answered() -> None:
    message = '{"auth_type":"digest","nonce":1700000000,"nc":1,"realm":"esp","algorithm":"SHA-256"}'
    challenge = rpc_challenge(message)
    auth = rpc_auth(challenge, "admin", "test-password", "abc")
    assert auth["nonce"] == 1700000000
    assert auth["algorithm"] == "SHA-256"
    assert auth["response"] == digest_response(
        challenge, "admin", "test-password", "abc", nc="1", method="dummy_method", uri="dummy_uri"
    )
    assert "test-password" not in str(auth)


@pytest.mark.parametrize("message", ["", "unauthorized", '{"auth_type":"basic","nonce":1}', '{"nonce":1}'])
def test_other_challenges_of_the_firmware_are_refused(message: str) -> None:
    with pytest.raises(FrameError):
        rpc_challenge(message)
