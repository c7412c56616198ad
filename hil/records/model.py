"""A run as the views see it: plain data, and what can be said of it.

``rebuild.py`` makes it from a journal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from hil.measure.measurement import Limit, format_value
from hil.measure.verdict import Verdict, worst

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Attachment",
    "Block",
    "Figure",
    "Flashing",
    "Irreversible",
    "Part",
    "RigFailure",
    "RigRecord",
    "Run",
    "Step",
    "SuiteRecord",
    "TestRecord",
]


class Part(msgspec.Struct, frozen=True):
    """One part of a rig: what it is, whether it is physical, and who it says it is."""

    part: str
    kind: str
    physical: bool
    port: str
    identity: dict[str, Any]


@dataclass
class RigRecord:
    """One rig of the run, as it was opened and, where recorded, as it was left."""

    rig: str
    emulated: bool
    clock: str
    description: str = ""
    parts: list[Part] = field(default_factory=list)
    wiring: list[dict[str, Any]] = field(default_factory=list)
    after: list[Part] = field(default_factory=list)

    def identity(self, part: str) -> dict[str, Any]:
        """What a part said of itself when the rig was opened; empty if there is no such part."""
        return next((one.identity for one in self.parts if one.part == part), {})

    @property
    def kind(self) -> str:
        """``physical``, ``emulated`` or ``mixed``, by the parts on the bench; the cloud is none."""
        kinds = {part.physical for part in self.parts if part.part != "cloud"}
        if self.emulated or kinds == {False}:
            return "emulated"
        return "mixed" if False in kinds else "physical"


class Step(msgspec.Struct, frozen=True):
    """One step of a test on the rig's clock."""

    title: str
    start_us: int
    duration_us: int
    wall_us: int | None
    depth: int
    outcome: str
    detail: str


class Figure(msgspec.Struct, frozen=True):
    """One measurement as it stands in the journal."""

    name: str
    value: float | int | str | bool | None
    unit: str
    limit: dict[str, Any]
    clock: str
    provenance: str | None
    source: str | None
    verdict: Verdict
    key: bool
    band: tuple[float, float] | None = None
    samples: int = 1

    @property
    def shown(self) -> str:
        """The value with its unit, and the band of a prediction, for people."""
        if self.value is None:
            return "never set"
        value = format_value(self.value, self.unit)
        if self.band is None:
            return value
        return f"{value} ({format_value(self.band[0], '')} … {format_value(self.band[1], self.unit)})"

    @property
    def bounds(self) -> str:
        """The limit without its warnings, or nothing."""
        return Limit(**self.limit).bounds if self.limit else ""

    @property
    def limit_text(self) -> str:
        """The limit in words, or nothing."""
        return str(Limit(**self.limit)) if self.limit else ""


class Attachment(msgspec.Struct, frozen=True):
    """A file beside the journal."""

    name: str
    path: str
    media_type: str
    sha256: str
    size: int
    test: str | None


@dataclass
class TestRecord:
    """One test on one rig."""

    __test__ = False  # not a test of pytest's

    test: str
    suite: str
    title: str
    rig: str | None
    requirements: list[str]
    node: str = ""
    started: float = 0.0
    verdict: Verdict = Verdict.ABORTED
    reason: str = ""
    cause: str = ""
    trace: str = ""
    quarantine: str = ""
    warnings: list[str] = field(default_factory=list)
    attempt: int = 1
    clock_us: int | None = None
    wall_us: int = 0
    account: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)


class Block(msgspec.Struct, frozen=True):
    """A suite that was not run because something it depends on failed."""

    suite: str
    rig: str | None
    by: str
    reason: str


class RigFailure(msgspec.Struct, frozen=True):
    """The bench broke."""

    rig: str | None
    error: str
    message: str
    hint: str
    test: str | None
    retried: bool = False


@dataclass
class Irreversible:
    """An irreversible operation: its intent, and the result once there is one."""

    rig: str | None
    serial: str
    operation: str
    slot: int | None
    intent: int | None
    emulated: bool
    actions: list[str]
    result: str = "no result: needs inspection"


@dataclass
class Flashing:
    """Firmware written into a board: its intent, and the result once there is one.

    Attributes:
        sha256: of the image, hex.
        offset: where in the flash it begins, in bytes.
        size: its length in bytes.
        chip, mac: of the board that answered; before that, what the rig file says.
        result: ``done`` means written, read back and equal.
    """

    rig: str
    emulated: bool
    sha256: str
    offset: int
    size: int
    chip: str
    mac: str
    result: str = "no result: what the flash holds is not known"


@dataclass
class SuiteRecord:
    """The tests of one suite on one rig."""

    suite: str
    rig: str | None
    tests: list[TestRecord] = field(default_factory=list)
    block: Block | None = None

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of its tests."""
        own = [Verdict.BLOCKED] if self.block is not None else []
        return worst([*own, *(test.verdict for test in self.tests)])

    @property
    def counts(self) -> Counter[Verdict]:
        """How many tests had which verdict."""
        return Counter(test.verdict for test in self.tests)

    @property
    def wall_us(self) -> int:
        """Wall time of all its tests."""
        return sum(test.wall_us for test in self.tests)


@dataclass
class Run:
    """A run; ``end`` is None when it was aborted.

    Attributes:
        tests: the last attempt of each test.
        retried: attempts that ended in a rig error and were followed by another one.
        aside: rigs that were set aside, with the reason.
        release: what a qualification is held against, as in the journal; empty without one.
    """

    folder: Path
    header: dict[str, Any]
    started: float
    rigs: dict[str, RigRecord] = field(default_factory=dict)
    tests: list[TestRecord] = field(default_factory=list)
    retried: list[TestRecord] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    rig_errors: list[RigFailure] = field(default_factory=list)
    irreversible: list[Irreversible] = field(default_factory=list)
    flashed: list[Flashing] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    last: float = 0.0

    @property
    def name(self) -> str:
        """The run's id."""
        return str(self.header.get("run", self.folder.name))

    @property
    def aborted(self) -> bool:
        """True when the journal has no end, or says that the run was stopped."""
        return self.end is None or self.end.get("verdict") == Verdict.ABORTED

    @property
    def verdict(self) -> Verdict:
        """The gravest of everything that was recorded; aborted if it did not come to its end."""
        return Verdict.ABORTED if self.aborted else self.judged

    @property
    def judged(self) -> Verdict:
        """The gravest of everything so far; a rig error that went away with another try is none."""
        errors = [Verdict.RIG_ERROR] * any(not failure.retried for failure in self.rig_errors)
        aside = [Verdict.RIG_ERROR] * bool(self.aside)
        blocked = [Verdict.BLOCKED] * bool(self.blocks)
        return worst([*errors, *aside, *blocked, *(test.verdict for test in self.tests)])

    def verdict_of(self, rig: str | None) -> Verdict:
        """The gravest of everything on one rig."""
        broken = any(failure.rig == rig and not failure.retried for failure in self.rig_errors)
        errors = [Verdict.RIG_ERROR] * (broken or rig in self.aside)
        return worst([*errors, *(test.verdict for test in self.tests if test.rig == rig)])

    @property
    def plan(self) -> str:
        """``nightly``, ``qualification``, or nothing for an ordinary run."""
        return str(self.header.get("plan", ""))

    @property
    def rehearsal(self) -> bool:
        """True for a rehearsal of a qualification: it qualifies nothing."""
        return bool(self.header.get("rehearsal"))

    @property
    def counts(self) -> Counter[Verdict]:
        """How many tests had which verdict."""
        return Counter(test.verdict for test in self.tests)

    @property
    def suites(self) -> list[SuiteRecord]:
        """Suites per rig in the order in which they were met."""
        found: dict[tuple[str, str | None], SuiteRecord] = {}
        for test in self.tests:
            key = (test.suite, test.rig)
            found.setdefault(key, SuiteRecord(*key)).tests.append(test)
        for block in self.blocks:
            key = (block.suite, block.rig)
            found.setdefault(key, SuiteRecord(*key)).block = block
        return list(found.values())

    @property
    def wall_us(self) -> int:
        """Wall time of the run; of an aborted one, from its first event to its last."""
        if self.end is not None and "wall_us" in self.end:
            return int(self.end["wall_us"])
        return round((self.last - self.started) * 1_000_000)

    @property
    def virtual_us(self) -> int:
        """Time that passed on virtual clocks during tests."""
        virtual = {rig.rig for rig in self.rigs.values() if rig.clock == "virtual"}
        return sum(test.clock_us or 0 for test in self.tests if test.rig in virtual)

    @property
    def kind(self) -> str:
        """``physical``, ``emulated`` or ``mixed``, by the rigs; ``no rig`` without any."""
        kinds = {rig.kind for rig in self.rigs.values()}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "no rig"

    def requirements(self) -> dict[str, list[TestRecord]]:
        """Every requirement id with the tests that name it, sorted by id."""
        found: dict[str, list[TestRecord]] = {}
        for test in self.tests:
            for requirement in test.requirements:
                found.setdefault(requirement, []).append(test)
        return dict(sorted(found.items()))

    def slowest(self, count: int = 5) -> list[tuple[TestRecord, Step]]:
        """The longest steps on the rigs' clocks."""
        steps = ((test, step) for test in self.tests for step in test.steps)
        return sorted(steps, key=lambda pair: -pair[1].duration_us)[:count]
