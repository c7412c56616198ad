"""A page in a real browser: what it complains about, what stands in it, how it looks and prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["SCREENSHOTS", "Shown", "needs_browser", "show"]

SCREENSHOTS = Path(os.environ.get("HIL_SCREENSHOTS", Path(__file__).parents[2] / "build" / "screenshots"))
"""Where the pictures are kept; CI may name a folder that it keeps."""

needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")


@dataclass(frozen=True)
class Shown:
    """What the browser made of a page.

    Attributes:
        complaints: its console, line by line; empty if it has nothing to say.
        dom: the document as HTML.
        picture: the screenshot.
        pdf: the printed page.
    """

    complaints: list[str]
    dom: str
    picture: Path
    pdf: bytes


def show(page: Path, name: str, *, width: int = 1280, height: int = 2400) -> Shown:
    """Open a page from its file and keep a picture of it as ``name``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture, printed = SCREENSHOTS / f"{name}.png", page.with_suffix(".pdf")
    picture.unlink(missing_ok=True)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    options += [f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},{height}"]
    options += [f"--screenshot={picture}", f"--print-to-pdf={printed}", "--dump-dom"]
    done = subprocess.run(
        ["chromium", *options, page.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    complaints = [line for line in done.stderr.splitlines() if re.search(r"\bCONSOLE\b", line)]
    return Shown(complaints, done.stdout, picture, printed.read_bytes())
