"""Files of lines that survive a kill: each line is written at once, half a line is cut off later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["append_line", "whole_lines"]


def append_line(path: Path, text: str) -> None:
    """Append ``text`` and a newline; the folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def whole_lines(path: Path) -> list[str]:
    """The lines of the file, none if there is no file; half a line at the end is cut off the file."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(path, whole)
    return content[:whole].decode("utf-8").splitlines()
