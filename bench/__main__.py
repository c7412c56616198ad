"""``python -m bench [NAME …]`` runs the benchmarks and prints one table."""

from __future__ import annotations

import importlib
import sys

from bench.figures import Figure, table

BENCHES = {
    "board": "bench.board",
    "cloud": "bench.cloud",
    "connect": "bench.connect",
    "element": "bench.element",
    "handshake": "bench.handshake",
    "plugin": "bench.plugin_overhead",
    "run": "bench.default_run",
    "world": "bench.world",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names or BENCHES:
        figures += importlib.import_module(BENCHES[name]).measure()
    print(table(figures))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
