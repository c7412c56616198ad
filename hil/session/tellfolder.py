"""A pytest plugin that says where the run lies; named with ``-p`` by who starts a session.

The folder's path goes into the file that the environment variable ``HIL_TELL_FOLDER`` names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["VARIABLE"]

VARIABLE = "HIL_TELL_FOLDER"


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session is over: its journal and views are written."""
    from hil.plugin import finished_folder

    folder = finished_folder(config)
    note = os.environ.get(VARIABLE)
    if folder is not None and note:
        Path(note).write_text(str(folder), encoding="utf-8")
