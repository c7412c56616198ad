"""Whether a run qualifies a release: read from the journal alone, and from nothing else.

Only results of physical rigs count. A rig counts if the run could know all its parts for physical,
if the release's firmware was written into it and read back, and if it shows one of the combinations.
Whatever other rigs showed is listed apart and moves nothing. In a rehearsal emulated rigs stand where
the physical ones will, so that everything but the hardware is tried; a rehearsal qualifies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.measure.verdict import Verdict
from hil.records.journal import utc
from hil.rigfile import only_hardware
from hil.wire.serials import SERIAL_BYTES, is_reserved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hil.records.model import Figure, RigRecord, Run, TestRecord

__all__ = [
    "SAMPLES",
    "LimitRow",
    "Qualification",
    "RequirementRow",
    "Share",
    "SuiteRow",
    "judge",
    "not_physical",
]

PASSED, FAILED, MISSING, WAIVED = "passed", "failed", "not covered", "waived"
HARDWARE = "left to hardware"
SAMPLES = 59
"""So many without one exceedance show that nineteen of twenty stay below a limit, with 95 % confidence."""
_GOOD = (Verdict.PASS, Verdict.WARN)
_EMULATED_PORT = "emu://"
_EMULATED_MAC = "02:e0:7e:"


@dataclass(frozen=True)
class Share:
    """One rig's part in a qualification.

    Attributes:
        combination: what it shows, in words; empty if it is none of the release's.
        why_not: why its results do not count; empty if they do.
    """

    rig: RigRecord
    combination: str
    why_not: str

    @property
    def counts(self) -> bool:
        """Whether its results count."""
        return not self.why_not


@dataclass(frozen=True)
class RequirementRow:
    """One line of the requirement matrix.

    Attributes:
        state: ``passed``, ``failed``, ``not covered``, ``waived``, or in a rehearsal ``left to hardware``.
        why: what is missing, or who waived it and until when.
        tests: those that count.
        apart: those that do not: emulated, or of a rig that was refused.
    """

    id: str
    text: str
    state: str
    why: str
    tests: tuple[TestRecord, ...]
    apart: tuple[TestRecord, ...]

    def verdict_on(self, rig: str) -> Verdict | None:
        """The gravest verdict of its tests on one rig; a skip says less than a pass; None without tests."""
        order = list(Verdict)
        found = [test.verdict for test in (*self.tests, *self.apart) if test.rig == rig]
        return max(found, key=order.index, default=None)


@dataclass(frozen=True)
class SuiteRow:
    """A required suite on a required combination."""

    suite: str
    combination: str
    state: str
    why: str


@dataclass(frozen=True)
class LimitRow:
    """A limit of the release on a required combination."""

    measurement: str
    combination: str
    bounds: str
    state: str
    why: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Qualification:
    """What a run says of a release.

    Attributes:
        objections: why it does not pass, in words; empty if it does.
        notes: what a reader should know though it changes nothing.
    """

    release: str
    rehearsal: bool
    shares: tuple[Share, ...]
    requirements: tuple[RequirementRow, ...]
    suites: tuple[SuiteRow, ...]
    limits: tuple[LimitRow, ...]
    objections: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Nothing speaks against it; a rehearsal may pass as well."""
        return not self.objections

    @property
    def qualified(self) -> bool:
        """The release is qualified."""
        return self.passed and not self.rehearsal

    @property
    def verdict(self) -> str:
        """In two words."""
        if self.rehearsal:
            return "rehearsal passed" if self.passed else "rehearsal failed"
        return "qualified" if self.passed else "not qualified"


def judge(run: Run) -> Qualification:
    """Hold a run against the release that its journal names.

    Args:
        run: of the plan ``qualification``; its ``release`` is not empty.
    """
    release = run.release
    shares = tuple(_share(run, rig) for rig in run.rigs.values())
    counting: dict[str, list[str]] = {}
    for share in shares:
        if share.counts:
            counting.setdefault(share.combination, []).append(share.rig.rig)
    rigs = {rig for names in counting.values() for rig in names}
    today = utc(run.started)[:10]
    waivers = [dict(row) for row in release.get("waivers", ())]
    combinations = [_words(row) for row in release.get("combinations", ())]
    requirements = tuple(_requirement(run, row, rigs, waivers, today) for row in release["requirements"])
    suites = tuple(
        _suite(run, suite, combination, counting.get(combination, ()), waivers, today)
        for combination in combinations
        for suite in release.get("suites", ())
    )
    limits = tuple(
        _limit(run, row, combination, counting.get(combination, ()))
        for combination in combinations
        for row in release.get("limits", ())
    )
    objections = [
        *_against_the_run(run),
        *_small_samples(run, rigs),
        *(f"no rig counts for {one}" for one in combinations if one not in counting),
        *(f"{row.suite} on {row.combination}: {row.why}" for row in suites if _bad(row.state)),
        *(f"{row.id}: {row.why}" for row in requirements if _bad(row.state)),
        *(f"{row.measurement} on {row.combination}: {row.why}" for row in limits if _bad(row.state)),
    ]
    return Qualification(
        release=str(release.get("release", "")),
        rehearsal=run.rehearsal,
        shares=shares,
        requirements=requirements,
        suites=suites,
        limits=limits,
        objections=tuple(objections),
        notes=tuple(_notes(run, shares, waivers, today)),
    )


def not_physical(rig: RigRecord) -> str:
    """Why a rig cannot pass for physical, by what is recorded of its parts; empty if it can."""
    if rig.emulated:
        return "emulated"
    for part in (*rig.parts, *rig.after):
        if part.part == "cloud":
            continue
        serial = str(part.identity.get("serial", ""))
        if part.port.startswith(_EMULATED_PORT):
            return f"its {part.part} is reached through {part.port}"
        if str(part.identity.get("mac", "")).lower().startswith(_EMULATED_MAC):
            return f"its {part.part} has the MAC address {part.identity['mac']} of an emulated board"
        if part.part == "element" and len(serial) == 2 * SERIAL_BYTES and is_reserved(bytes.fromhex(serial)):
            return f"its element has the serial number {serial} of an emulated part"
        if not part.physical:
            return f"its {part.part} is emulated"
    return "" if rig.parts else "nothing is known of its parts"


def _share(run: Run, rig: RigRecord) -> Share:
    emulated = not_physical(rig) or _flashed_emulated(run, rig)
    combination = _combination(run.release, rig)
    if rig.rig in run.aside:
        return Share(rig, combination, f"set aside: {run.aside[rig.rig]}")
    if run.rehearsal and not rig.emulated:
        return Share(rig, combination, "a rehearsal counts emulated rigs only")
    if emulated and not run.rehearsal:
        return Share(rig, combination, emulated)
    if not combination:
        element, board = rig.identity("element"), rig.identity("board")
        met = f"{board.get('mcu', 'no MCU')}, element revision {element.get('revision', 'not read')}"
        return Share(rig, combination, f"what it carries is no combination of the release: {met}")
    return Share(rig, combination, _firmware(run, rig, combination))


def _flashed_emulated(run: Run, rig: RigRecord) -> str:
    """Whether the board's loader told the MAC address of an emulated board when it was written."""
    for one in run.flashed:
        if one.rig == rig.rig and (one.emulated or one.mac.lower().startswith(_EMULATED_MAC)):
            return f"its board was written as an emulated one, MAC address {one.mac or 'not told'}"
    return ""


def _combination(release: Mapping[str, Any], rig: RigRecord) -> str:
    """Which combination a rig shows, by what its parts said of themselves."""
    parts = {part.part: part for part in rig.parts}
    board, element = parts.get("board"), parts.get("element")
    if board is None or element is None:
        return ""
    names = {
        row["name"]
        for row in release.get("boards", ())
        if (row["kind"], row["mcu"]) == (board.kind, board.identity.get("mcu"))
    }
    revision = element.identity.get("revision")
    for row in release.get("combinations", ()):
        if row["board"] in names and (row["part"], row["revision"]) == (element.kind, revision):
            return _words(row)
    return ""


def _words(combination: Mapping[str, Any]) -> str:
    return f"{combination['board']} with {combination['part']} {combination['revision']}"


def _firmware(run: Run, rig: RigRecord, combination: str) -> str:
    """Why the rig's firmware is not known to be the release's; empty if it is."""
    name = next(row["board"] for row in run.release["combinations"] if _words(row) == combination)
    board = next(row for row in run.release["boards"] if row["name"] == name)
    written = [one for one in run.flashed if one.rig == rig.rig]
    if not any(
        (one.sha256, one.offset) == (board["sha256"], board["offset"]) and _done(one.result)
        for one in written
    ):
        return f"the firmware {board['sha256'][:16]}… was not written and read back"
    others = {one.sha256 for one in written} - {board["sha256"]}
    if others and not rig.emulated:
        return f"other firmware was written into it: {min(others)[:16]}…"
    return ""


def _done(result: str) -> bool:
    return result.partition(",")[0] == "done"


def _requirement(
    run: Run, row: Mapping[str, Any], rigs: set[str], waivers: Sequence[Mapping[str, Any]], today: str
) -> RequirementRow:
    named = [test for test in run.tests if row["id"] in test.requirements]
    tests = [test for test in named if test.rig in rigs]
    apart = [test for test in named if test.rig not in rigs]
    state, why = _judged(tests, rehearsal=run.rehearsal)
    if state == MISSING and apart and any(test.verdict in _GOOD for test in apart):
        why = f"{why}; results that do not count: {_on(apart)}"
    if state == MISSING:
        waiver = _waiver(waivers, today, requirement=row["id"])
        if waiver:
            state, why = WAIVED, waiver
    return RequirementRow(row["id"], row.get("text", ""), state, why, tuple(tests), tuple(apart))


def _judged(tests: Sequence[TestRecord], *, rehearsal: bool) -> tuple[str, str]:
    """State and reason of tests that belong together: one that is not good spoils all."""
    bad = [test for test in tests if test.verdict not in (*_GOOD, Verdict.SKIPPED)]
    if bad:
        shown = ", ".join(f"{test.title} on {test.rig}: {test.verdict}" for test in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        return FAILED, shown + more
    if any(test.verdict in _GOOD for test in tests):
        return PASSED, ""
    if rehearsal and any(only_hardware(test.reason) for test in tests):
        return HARDWARE, "only a physical rig can show it"
    if tests:
        return MISSING, f"its tests were skipped: {tests[0].reason}"
    return MISSING, "no test of it ran on a rig that counts"


def _on(tests: Sequence[TestRecord]) -> str:
    return ", ".join(sorted({f"{test.verdict} on {test.rig}" for test in tests}))


def _waiver(waivers: Sequence[Mapping[str, Any]], today: str, **what: str) -> str:
    """Who waives it, in words; empty if nobody does today."""
    for waiver in waivers:
        meant = all(waiver.get(name) == value for name, value in what.items() if name != "board")
        board = waiver.get("board")
        if meant and board in (None, what.get("board")) and waiver["until"] >= today:
            return f"waived by {waiver['who']} until {waiver['until']}: {waiver['why']}"
    return ""


def _suite(
    run: Run,
    suite: str,
    combination: str,
    rigs: Sequence[str],
    waivers: Sequence[Mapping[str, Any]],
    today: str,
) -> SuiteRow:
    tests = [test for test in run.tests if test.suite == suite and test.rig in rigs]
    state, why = _judged(tests, rehearsal=run.rehearsal)
    if not tests:
        why = "none of its tests ran on a rig that counts"
    blocks = [block for block in run.blocks if block.suite == suite and block.rig in rigs]
    if blocks and state != FAILED:
        state, why = FAILED, f"blocked: {blocks[0].reason}"
    if state == MISSING:
        board = next(row["board"] for row in run.release["combinations"] if _words(row) == combination)
        waiver = _waiver(waivers, today, suite=suite, board=board)
        if waiver:
            state, why = WAIVED, waiver
    return SuiteRow(suite, combination, state, why)


def _limit(run: Run, row: Mapping[str, Any], combination: str, rigs: Sequence[str]) -> LimitRow:
    wanted = "predicted" if run.rehearsal else "measured"
    figures = tuple(
        figure
        for test in run.tests
        if test.rig in rigs
        for figure in test.figures
        if figure.name == row["measurement"] and figure.unit == row.get("unit", "")
    )
    low, high = row.get("low"), row.get("high")
    bounds = " and ".join(
        f"{sign} {bound:g} {row.get('unit', '')}".rstrip()
        for sign, bound in (("≥", low), ("≤", high))
        if bound is not None
    )
    state, why = PASSED, ""
    beyond = [figure for figure in figures if not _within(figure.value, low, high)]
    if not figures:
        state, why = MISSING, "it was not measured"
    elif beyond:
        state, why = FAILED, f"{beyond[0].shown} is not {bounds}"
    elif any(figure.provenance != wanted for figure in figures):
        state, why = MISSING, f"its values are not {wanted}"
    elif (count := sum(figure.samples for figure in figures)) < row.get("samples", 1):
        state, why = MISSING, f"{count} samples, {row['samples']} are asked for"
    return LimitRow(row["measurement"], combination, bounds, state, why, figures)


def _within(value: object, low: float | None, high: float | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (low is None or value >= low) and (high is None or value <= high) and value == value


def _bad(state: str) -> bool:
    return state in (FAILED, MISSING)


def _against_the_run(run: Run) -> Iterator[str]:
    """What no qualification may have, whatever its requirements say."""
    if run.aborted:
        yield "the run did not come to its end"
    if run.header.get("faults"):
        yield f"emulated parts were given faults: {', '.join(run.header['faults'])}"
    if run.header.get("quarantine"):
        yield "a quarantine list was in force"
    again = [*run.retried, *(test for test in run.tests if test.attempt > 1)]
    for test in again[:1]:
        yield f"{len(again)} attempts were repeated, among them {test.title} on {test.rig}"
    for test in run.tests:
        if test.verdict is Verdict.QUARANTINED:
            yield f"{test.title} on {test.rig} was quarantined"
    for rig, reason in run.aside.items():
        yield f"{rig} was set aside: {reason}"
    told = set(run.aside)
    for failure in run.rig_errors:
        if failure.rig not in told:
            told.add(failure.rig or "")
            yield f"the bench broke on {failure.rig}: {failure.message}"
    bad = [test for test in run.tests if test.verdict is Verdict.FAIL and not _apart(run, test)]
    for test in bad[:10]:
        yield f"{test.suite} on {test.rig}: {test.title} failed: {test.reason}"
    if len(bad) > 10:
        yield f"{len(bad) - 10} more tests failed"


def _small_samples(run: Run, rigs: set[str]) -> Iterator[str]:
    """Figures of samples that are smaller than a qualification takes; what is predicted has its own band."""
    for test in run.tests:
        for figure in test.figures:
            small = 1 < figure.samples < SAMPLES
            if small and test.rig in rigs and figure.provenance == "measured":
                yield f"{figure.name} on {test.rig} stands for {figure.samples} samples, not for {SAMPLES}"


def _apart(run: Run, test: TestRecord) -> bool:
    """An emulated rig beside the physical ones moves nothing, to no side."""
    rig = run.rigs.get(test.rig or "")
    return rig is not None and rig.emulated and not run.rehearsal


def _notes(
    run: Run, shares: Sequence[Share], waivers: Sequence[Mapping[str, Any]], today: str
) -> Iterator[str]:
    if run.header.get("suites", {}).get("dirty"):
        yield "the suites had uncommitted changes"
    for waiver in waivers:
        if waiver["until"] < today:
            what = waiver.get("requirement") or waiver.get("suite")
            yield f"the waiver of {what} by {waiver['who']} ended on {waiver['until']}"
    for share in shares:
        if not share.counts:
            yield f"{share.rig.rig} does not count: {share.why_not}"
