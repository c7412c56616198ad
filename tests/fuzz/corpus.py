"""The inputs that reach every part of the targets, one hex line each in ``corpus/TARGET.hex``.

``python -m tests.fuzz.corpus TARGET SECONDS`` fuzzes on from them, keeps the smallest set that covers
as much, and writes it back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FOLDER = Path(__file__).parent / "corpus"
LONGEST = 1024


def read(target: str) -> list[bytes]:
    """The corpus of a target."""
    return [
        bytes.fromhex(line)
        for line in (FOLDER / f"{target}.hex").read_text(encoding="ascii").split("\n")[:-1]
    ]


def write(target: str, inputs: set[bytes]) -> None:
    """Replace the corpus; short inputs first."""
    lines = [data.hex() + "\n" for data in sorted(inputs, key=lambda data: (len(data), data))]
    (FOLDER / f"{target}.hex").write_text("".join(lines), encoding="ascii")


def unpack(inputs: list[bytes], folder: Path) -> None:
    """One file an input, as libFuzzer wants them."""
    folder.mkdir(exist_ok=True)
    for data in inputs:
        (folder / sha256(data).hexdigest()).write_bytes(data)


def fuzz(target: str, *options: str, patience_s: int) -> subprocess.CompletedProcess[str]:
    """Run atheris in a process of its own; its code is not 0 if an input broke the target."""
    module = [sys.executable, "-m", "tests.fuzz.run"]
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        again.write_text(f'#!/bin/sh\nexec {" ".join(module)} "$0" {target} "$@"\n', encoding="utf-8")
        again.chmod(0o700)
        command = [*module, str(again), target, f"-max_len={LONGEST}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience_s)


def main(arguments: list[str]) -> int:
    """Extend and shrink the corpus of one target."""
    target, seconds = arguments[0], int(arguments[1])
    assert target in TARGETS, f"there are {', '.join(TARGETS)}"
    with tempfile.TemporaryDirectory() as name:
        found, small = Path(name) / "found", Path(name) / "small"
        unpack([*seeds(target), *(read(target) if (FOLDER / f"{target}.hex").is_file() else ())], found)
        done = fuzz(target, f"-max_total_time={seconds}", str(found), patience_s=seconds + 300)
        if done.returncode == 0:
            small.mkdir()
            done = fuzz(target, "-merge=1", str(small), str(found), patience_s=seconds + 300)
        if done.returncode != 0:
            print(done.stderr[-3000:], file=sys.stderr)
            return done.returncode
        inputs = {path.read_bytes() for path in small.iterdir()}
    write(target, inputs)
    print(f"{target}: {len(inputs)} inputs, {sum(map(len, inputs))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
