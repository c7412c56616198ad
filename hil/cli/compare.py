"""``hil compare``: one characterization against another, or against the approved baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hil.errors import DIFFERENT_EXIT, NO_BASELINE_EXIT
from hil.homes import find_homes
from hil.records.baseline import Change, find_baseline

if TYPE_CHECKING:
    from hil.records.baseline import Baseline
    from hil.silicon.differences import Comparison

__all__ = ["command"]

_file = click.Path(path_type=Path, dir_okay=False)


@click.command("compare")
@click.argument("base", type=_file, metavar="[BASE]")
@click.argument("new", type=_file, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "everything", is_flag=True, help="Every line, not only the first of each group.")
def command(base: Path, new: Path | None, as_json: bool, everything: bool) -> int:
    """Compare the characterization NEW with BASE, command by command, and say what it means for firmware.

    Without BASE, NEW is compared with the approved baseline of its part and revision. Exit code 0 only if
    nothing is changed, new or missing; 21 otherwise; 22 if there is no approved baseline.
    """
    from hil.silicon.differences import compare_parts
    from hil.silicon.record import load

    observed = load(new or base).observed
    before: Baseline | None
    if new is None:
        before = find_baseline(find_homes().baselines, observed.part, observed.revision)
        if before is None:
            click.echo(
                f"no baseline: nobody has approved one for {observed.part} revision {observed.revision}"
            )
            click.echo(f"  → look at {base}, then: hil baseline approve {base} --by NAME")
            return NO_BASELINE_EXIT
    else:
        before = load(base).observed
    found = compare_parts(before, observed)
    if as_json:
        click.echo(json.dumps(_json(found), indent=2, ensure_ascii=False))
    else:
        _print(found, 1_000_000 if everything else 12)
    return 0 if found.same else DIFFERENT_EXIT


def _named(part: Baseline) -> str:
    return f"{part.part} {part.revision}" + (" (EMULATED)" if part.emulated else "")


def _print(found: Comparison, most: int) -> None:
    click.echo(f"{_named(found.base)} → {_named(found.new)}")
    counts = found.counts
    click.echo(", ".join(f"{counts[change]} {change}" for change in Change))
    for group in found.groups:
        click.echo(f"\n{group.heading}:")
        for line in group.lines[:most]:
            click.echo(f"  {line}")
        if len(group.lines) > most:
            click.echo(f"  … and {len(group.lines) - most} more: --all")
    click.echo("")
    for name, row in sorted(found.by_command().items()):
        said = ", ".join(f"{row[change]} {change}" for change in Change if row[change])
        click.echo(f"{name:14}  {said}")


def _json(found: Comparison) -> dict[str, Any]:
    return {
        "base": {"part": found.base.part, "revision": found.base.revision, "emulated": found.base.emulated},
        "new": {"part": found.new.part, "revision": found.new.revision, "emulated": found.new.emulated},
        "same": found.same,
        "counts": {str(change): found.counts[change] for change in Change},
        "meanings": [{"heading": group.heading, "lines": group.lines} for group in found.groups],
        "commands": {
            name: {str(change): row[change] for change in Change if row[change]}
            for name, row in found.by_command().items()
        },
        "differences": [
            {"key": one.key, "change": str(one.change), "before": one.before, "after": one.after}
            for one in found.differences
            if one.change is not Change.IDENTICAL
        ],
    }
