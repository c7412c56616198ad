"""``python -m tests.fuzz.run PROGRAM TARGET [libFuzzer options] FOLDER…``: coverage-guided fuzzing.

PROGRAM is what libFuzzer starts again when it merges folders; ``-`` if nothing is merged. New inputs
go into the first folder. An input that breaks the target is written to ``crash-…`` in the present
folder (``-artifact_prefix`` says otherwise), and the process ends with code 77.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["hil"]):
    from tests.fuzz.targets import TARGETS


def main(arguments: list[str]) -> None:
    """Fuzz one target; ends the process."""
    program, name, *options = arguments
    atheris.Setup([program, *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
