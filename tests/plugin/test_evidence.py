"""What a failed test leaves behind: the decoded bus, and no key in any spelling."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

pytest_plugins = ["pytester"]

SCALAR = b"a test key, twice 16 bytes: 0123"
KEK = b"a test kek, twice 16 bytes: 4567"

FAILING = f"""
import pytest
from hil import provision

SCALAR, KEK = {SCALAR!r}, {KEK!r}

@pytest.mark.needs("provision", element="config-locked")
@pytest.mark.irreversible("write-slot", "write-otp", "lock-data", "write-private-key")
def test_that_fails(rig, element):
    provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
    provision.install_key(element, rig.guard, SCALAR, KEK)
    secret = element.ecdh(0, element.public_key(0))
    with open("secret.hex", "w") as file:
        file.write(secret.hex())
    assert rig.name == "another"
"""


def spellings(secret: bytes) -> list[bytes]:
    texts = [secret.hex(), secret.hex(" "), secret.hex().upper(), base64.b64encode(secret).decode()]
    return [secret, repr(secret)[2:-1].encode(), *(text.encode() for text in texts)]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_report_shows_the_decoded_bus_and_no_key(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=FAILING)
    options = ("--rig", "emulated-esp8266-atecc508a", "--runs", "runs", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(failed=1)
    secret = bytes.fromhex((pytester.path / "secret.hex").read_text())
    kept = everything(pytester.path / "runs") | {"terminal": result.stdout.str().encode()}
    assert {name.rpartition("/")[2] for name in kept} >= {"report.html", "journal.jsonl", "junit.xml"}
    for name, content in kept.items():
        for value in (SCALAR, KEK, secret):
            assert not any(spelling in content for spelling in spellings(value)), name
    report = next(content for name, content in kept.items() if name.endswith("report.html")).decode()
    for words in ("wake pulse", "PrivWrite mode 0x40", "data hidden", "ECDH mode 0x00", "Lock mode 0x01"):
        assert words in report, words
    journal = next(content for name, content in kept.items() if name.endswith("journal.jsonl"))
    assert any(json.loads(line)["kind"] == "test-end" for line in journal.splitlines())
