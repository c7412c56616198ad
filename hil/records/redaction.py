"""Keeps secrets out of everything that a run leaves behind.

A secret is registered when it is read; afterwards it is replaced in every text, as it is, in hex
and in base64. Private keys in PEM are replaced whether registered or not.
"""

from __future__ import annotations

import base64
import re
from typing import Any

__all__ = ["REDACTED", "Redactor"]

REDACTED = "«redacted»"
_PEM_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)", re.DOTALL
)
_SHORTEST = 4


class Redactor:
    """Replaces secrets in texts, bytes and nested values."""

    def __init__(self) -> None:
        self._spellings: dict[str, None] = {}
        self._raw: dict[bytes, None] = {}
        self._pattern: re.Pattern[str] | None = None

    @property
    def armed(self) -> bool:
        """True once a secret was registered."""
        return self._pattern is not None

    def add(self, secret: str | bytes) -> None:
        """Register a secret.

        Anything shorter than 4 bytes is not registered: it is no secret, and replacing it
        everywhere would destroy the record.
        """
        raw = secret.encode() if isinstance(secret, str) else secret
        if len(raw) < _SHORTEST:
            return
        self._raw[raw] = None
        spellings = [raw.hex(), raw.hex(" "), raw.hex(":")]
        for encoded in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
            spellings += [encoded, encoded.rstrip("=")]
        if isinstance(secret, str):
            spellings.append(secret)
        self._spellings.update((spelling, None) for spelling in spellings)
        # The longest first, so that no tail of a longer spelling stays behind.
        ordered = sorted(self._spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        return _PEM_KEY.sub(REDACTED, text) if "PRIVATE KEY" in text else text

    def data(self, data: bytes) -> bytes:
        """``data`` without secrets, as bytes and as text; other bytes stay as they are."""
        for raw in sorted(self._raw, key=len, reverse=True):
            data = data.replace(raw, REDACTED.encode())
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def value(self, value: Any) -> Any:  # noqa: ANN401  (any JSON value)
        """A JSON value with every string in it redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value
