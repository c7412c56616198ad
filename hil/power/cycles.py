"""How often a relay was switched on in its life: contacts wear out, whoever switches them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from hil.errors import ConfigError
from hil.homes import made

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CycleCounter"]


class CycleCounter:
    """The count of one relay output, kept in a file of the user's.

    Args:
        folder: where the counters of all relays are.
        relay: what tells the relay from others, e.g. its port.
        channel: its output.

    Raises:
        ConfigError: the file is damaged.
    """

    def __init__(self, folder: Path, relay: str, channel: int) -> None:
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{relay}-{channel}").strip("-")
        self._path = folder / f"{name}.json"
        self.total = self._read()

    def add(self) -> None:
        """Count one more; the file is replaced as a whole."""
        self.total += 1
        made(self._path.parent)
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps({"cycles": self.total}) + "\n", encoding="utf-8")
        draft.replace(self._path)

    def _read(self) -> int:
        if not self._path.exists():
            return 0
        try:
            return int(json.loads(self._path.read_text(encoding="utf-8"))["cycles"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._path} is damaged: {error}", hint="remove it to count anew") from error
