"""The report: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from hil.measure.verdict import MEANINGS, Verdict
from hil.records.connectviews import connect_views
from hil.records.journal import utc
from hil.records.qualification import WAIVED, judge
from hil.records.svg import (
    account_picture,
    limit_picture,
    share_picture,
    timeline_picture,
    verdict_class,
    wiring_picture,
)
from hil.records.terminal import span

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Attachment, Irreversible, RigRecord, Run, TestRecord
    from hil.records.qualification import Qualification

__all__ = ["render_report", "write_report"]

# What a failed test shows of each attached text; the rest is in the file beside the report.
SHOWN_CHARACTERS = 12_000
SHOWN_OBJECTIONS = 12
_TEXT_TYPES = ("text/", "application/json", "application/jsonl", "application/x-hil")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Excerpt:
    """The end of an attached text, as the report shows it."""

    attachment: Attachment
    text: str
    left_out: int
    problem: str


def write_report(run: Run, path: Path) -> None:
    """Write the report of a run."""
    path.write_text(render_report(run), encoding="utf-8", errors="replace")


def render_report(run: Run) -> str:
    """The report of a run as HTML."""
    release = judge(run) if run.release else None
    return _template().render(
        run=run,
        release=release,
        shown_objections=SHOWN_OBJECTIONS,
        headline=run.verdict if release is None else release.verdict,
        tone=_tone(run, release),
        wrong=_failed(run) or run.rig_errors or run.blocks or run.aside,
        quarantined=[test for test in run.tests if test.verdict is Verdict.QUARANTINED],
        css=Markup((files("hil.records") / "report.css").read_text(encoding="utf-8")),
        sentence=_sentence(run) if release is None else _sentence_of(release),
        share=Markup(share_picture(_shares(run))),
        shares=_shares(run),
        meanings=MEANINGS,
        failed=_failed(run),
        excerpts={id(test): _excerpts(run, test) for test in _failed(run)},
        rigs=[_rig_view(run, rig) for rig in run.rigs.values()],
        rig_kind={name: rig.kind for name, rig in run.rigs.items()},
        requirements=run.requirements(),
        skipped=_skipped(run),
        operations=_operations(run),
        limit_picture=lambda figure: Markup(limit_picture(figure)),
        figures=[(test, figure) for test in run.tests for figure in test.figures],
        connects=connect_views(run),
        slowest=[pair for pair in run.slowest(8) if pair[1].duration_us > 0],
        facts=_facts(run),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters.update(span=span, utc=utc, vclass=verdict_class, ident=_identity, pyid=id)
    return environment.from_string((files("hil.records") / "report.html").read_text(encoding="utf-8"))


def _printable(value: object) -> object:
    """What cannot be printed becomes a replacement character, in every output of the template."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNPRINTABLE.sub("\ufffd", value)


def _sentence(run: Run) -> str:
    total = len(run.tests)
    bad = [test for test in run.tests if test.verdict is Verdict.FAIL]
    match run.verdict:
        case Verdict.ABORTED:
            return "The run ended before it was finished. What follows is incomplete and proves nothing."
        case Verdict.RIG_ERROR:
            return "The bench broke. Nothing is said about the device where it did."
        case Verdict.FAIL:
            also = " The bench broke too." if run.rig_errors else ""
            return f"{len(bad)} of {total} tests failed.{also}"
        case Verdict.BLOCKED:
            return "Some suites could not run, because something they depend on failed."
        case Verdict.WARN:
            return f"All of {total} tests held their limits; some came close."
        case Verdict.SKIPPED:
            return "No test was run."
        case _:
            skipped = run.counts[Verdict.SKIPPED]
            return f"All of {total - skipped} tests passed." + (
                f" {skipped} did not apply." if skipped else ""
            )


def _sentence_of(release: Qualification) -> str:
    if release.objections:
        more = f" {len(release.objections) - 1} more below." if release.objections[1:] else ""
        return f"Release {release.release}: {release.objections[0]}.{more}"
    waived = sum(row.state == WAIVED for row in release.requirements)
    covered = f"{len(release.requirements) - waived} requirements are covered, {waived} waived."
    if release.rehearsal:
        return f"Rehearsal of {release.release} on emulated rigs: {covered} It qualifies nothing."
    return f"Release {release.release} on physical rigs: {covered}"


def _tone(run: Run, release: Qualification | None) -> str:
    if release is None:
        return verdict_class(run.verdict)
    if release.objections:
        return verdict_class(Verdict.ABORTED if run.aborted else Verdict.FAIL)
    return verdict_class(Verdict.WARN if release.rehearsal else Verdict.PASS)


def _shares(run: Run) -> list[tuple[Verdict, int]]:
    return [(verdict, run.counts[verdict]) for verdict in reversed(Verdict) if run.counts[verdict]]


def _failed(run: Run) -> list[TestRecord]:
    grave = (Verdict.FAIL, Verdict.RIG_ERROR, Verdict.ABORTED)
    return [test for test in run.tests if test.verdict in grave]


def _skipped(run: Run) -> list[tuple[str, list[TestRecord]]]:
    """Tests that were not run, by reason."""
    found: dict[str, list[TestRecord]] = {}
    for test in run.tests:
        if test.verdict in (Verdict.SKIPPED, Verdict.BLOCKED):
            found.setdefault(test.reason or MEANINGS[test.verdict], []).append(test)
    return list(found.items())


def _operations(run: Run) -> list[tuple[Irreversible, list[int], int]]:
    """Irreversible operations: one of each sort with its slots and how often it was done."""
    found: dict[tuple[object, ...], list[Irreversible]] = {}
    for operation in run.irreversible:
        key = (operation.rig, operation.serial, operation.operation, operation.result)
        found.setdefault(key, []).append(operation)
    return [
        (same[0], sorted({one.slot for one in same if one.slot is not None}), len(same))
        for same in found.values()
    ]


def _rig_view(run: Run, rig: RigRecord) -> dict[str, Any]:
    tests = [test for test in run.tests if test.rig == rig.rig]
    account: dict[str, int] = {}
    for test in tests:
        for name, us in test.account.items():
            account[name] = account.get(name, 0) + us
    return {
        "rig": rig,
        "kind": rig.kind,
        "wiring": Markup(wiring_picture(rig)),
        "timeline": Markup(timeline_picture(tests, wall=rig.clock == "wall")),
        "account": Markup(account_picture(account)),
        "changed": _changes(rig),
        "clock_us": sum(test.clock_us or 0 for test in tests),
    }


def _changes(rig: RigRecord) -> list[tuple[str, str, str, str]]:
    """Part, property, before, after: what the run changed in the identity of a part."""
    before = {part.part: part.identity for part in rig.parts}
    return [
        (part.part, name, _shown(before.get(part.part, {}).get(name)), _shown(value))
        for part in rig.after
        for name, value in part.identity.items()
        if before.get(part.part, {}).get(name) != value
    ]


def _excerpts(run: Run, test: TestRecord) -> list[Excerpt]:
    texts = [a for a in test.attachments if a.media_type.startswith(_TEXT_TYPES)]
    return [_excerpt(run.folder, attachment) for attachment in texts]


def _excerpt(folder: Path, attachment: Attachment) -> Excerpt:
    path = folder / attachment.path
    try:
        data = path.read_bytes()
    except OSError as error:
        return Excerpt(attachment, "", 0, f"cannot be read: {error.strerror or error}")
    changed = hashlib.sha256(data).hexdigest() != attachment.sha256
    text = _ESCAPES.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"))
    left_out = max(len(text) - SHOWN_CHARACTERS, 0)
    if left_out:
        text = text[left_out:].partition("\n")[2] or text[left_out:]
    return Excerpt(
        attachment, text.rstrip(), left_out, "changed since the run: its hash differs" if changed else ""
    )


def _identity(identity: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _shown(value)) for name, value in identity.items()]


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _facts(run: Run) -> list[tuple[str, str]]:
    """The header's fields for the section on how the run was made."""
    header = run.header
    suites = header.get("suites", {})
    dirty = " with uncommitted changes" if suites.get("dirty") else ""
    facts = [
        ("run", run.name),
        ("started", utc(run.started)),
        ("command", " ".join(map(str, header.get("command", ())))),
        ("by", ", ".join(f"{name} {value}" for name, value in header.get("by", {}).items())),
        ("host", ", ".join(str(value) for value in header.get("host", {}).values())),
        ("suites", f"{suites['commit']}{dirty}" if suites.get("commit") else ""),
        ("plan", str(header.get("plan", ""))),
        ("named faults", ", ".join(map(str, header.get("faults", ())))),
        ("exit status", "" if run.end is None else str(run.end.get("exit_status", ""))),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in header.get("versions", {}).items())
    return [(name, value) for name, value in [*facts, ("versions", versions)] if value]
