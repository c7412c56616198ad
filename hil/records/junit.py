"""JUnit XML from the journal, for the screens of CI systems.

The format has no word for half of our verdicts. They are mapped so that no CI shows green for
something that needs attention, and each keeps its own word in ``type`` or ``message``:

==================  =========================================
verdict             JUnit
==================  =========================================
pass                (nothing)
pass with warnings  (nothing), warnings in ``system-out``
fail                ``failure``
rig error, aborted  ``error``
blocked             ``skipped``; what it stands on is red
skipped             ``skipped``
quarantined         ``skipped``
==================  =========================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from hil.measure.verdict import Verdict
from hil.records.journal import utc

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run, SuiteRecord, TestRecord

__all__ = ["junit_tree", "write_junit"]

_TAGS = {
    Verdict.FAIL: "failure",
    Verdict.RIG_ERROR: "error",
    Verdict.ABORTED: "error",
    Verdict.BLOCKED: "skipped",
    Verdict.SKIPPED: "skipped",
    Verdict.QUARANTINED: "skipped",
}
# XML 1.0, section 2.2: everything else must not occur, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(run: Run, path: Path) -> None:
    """Write the JUnit view of a run."""
    tree = junit_tree(run)
    indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def junit_tree(run: Run) -> ElementTree[Element]:
    """The JUnit view of a run as an XML tree."""
    what = "hil REHEARSAL (qualifies nothing)" if run.rehearsal else "hil"
    root = Element("testsuites", name=_text(f"{what} {run.name}"), time=_seconds(run.wall_us))
    _counts(root, run.tests)
    for suite in run.suites:
        root.append(_suite(run, suite))
    orphans = [failure for failure in run.rig_errors if failure.test is None]
    if orphans or run.aborted:
        problems = [(f.rig or "rig", f.message, f.error) for f in orphans]
        if run.aborted:
            problems.append(("run", "the run ended before it was finished", "aborted"))
        root.append(_problems(problems))
        for count in ("tests", "errors"):
            root.set(count, str(int(root.get(count, "0")) + len(problems)))
    return ElementTree(root)


def _problems(problems: list[tuple[str, str, str]]) -> Element:
    """A suite of its own for what belongs to no test: name, message and kind of each."""
    element = Element("testsuite", name="rig", time="0.000", failures="0", skipped="0")
    for count in ("tests", "errors"):
        element.set(count, str(len(problems)))
    for name, message, kind in problems:
        case = SubElement(element, "testcase", name=_text(name), classname="rig", time="0.000")
        SubElement(case, "error", message=_text(message), type=_text(kind or "rig error"))
    return element


def _suite(run: Run, suite: SuiteRecord) -> Element:
    name = suite.suite if suite.rig is None else f"{suite.suite} [{suite.rig}]"
    element = Element("testsuite", name=_text(name), time=_seconds(suite.wall_us), timestamp=utc(run.started))
    _counts(element, suite.tests)
    rig = run.rigs.get(suite.rig or "")
    if rig is not None:
        properties = SubElement(element, "properties")
        _property(properties, "rig", rig.rig)
        _property(properties, "rig.kind", rig.kind)
        for part in rig.parts:
            identity = ", ".join(f"{key} {value}" for key, value in part.identity.items())
            kind = "physical" if part.physical else "emulated"
            _property(properties, f"rig.{part.part}", f"{part.kind} ({kind}) {identity}".rstrip())
    for test in suite.tests:
        element.append(_case(test))
    return element


def _case(test: TestRecord) -> Element:
    classname = f"hil.{test.suite}" if test.rig is None else f"hil.{test.suite}.{test.rig}"
    case = Element(
        "testcase", name=_text(test.title), classname=_text(classname), time=_seconds(test.wall_us)
    )
    properties = Element("properties")
    _property(properties, "test", test.test)
    for requirement in test.requirements:
        _property(properties, "requirement", requirement)
    if test.clock_us is not None:
        _property(properties, "clock_us", str(test.clock_us))
    for figure in test.figures:
        limit = f", limit {figure.limit_text}" if figure.limit else ""
        _property(
            properties, figure.name, f"{figure.shown} {figure.provenance or ''}{limit}, {figure.verdict}"
        )
    case.append(properties)
    tag = _TAGS.get(test.verdict)
    if tag is not None:
        message = f"{test.verdict}: {test.reason}" if test.reason else str(test.verdict)
        outcome = SubElement(case, tag, message=_text(message), type=_text(str(test.verdict)))
        outcome.text = _text("\n\n".join(part for part in (test.cause, test.trace) if part)) or None
    if test.warnings:
        SubElement(case, "system-out").text = _text("\n".join(test.warnings))
    return case


def _counts(element: Element, tests: list[TestRecord]) -> None:
    tags = [_TAGS.get(test.verdict) for test in tests]
    element.set("tests", str(len(tests)))
    element.set("failures", str(tags.count("failure")))
    element.set("errors", str(tags.count("error")))
    element.set("skipped", str(tags.count("skipped")))


def _property(parent: Element, name: str, value: str) -> None:
    SubElement(parent, "property", name=_text(name), value=_text(value))


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _seconds(us: int) -> str:
    return f"{us / 1e6:.3f}"
