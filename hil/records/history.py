"""The runs of a project over time: a SQLite file, made from journals and rebuildable from them.

Nothing is known here that no journal says. Tests are told apart by their id, which is made of
requirement, name, parameters and rig and stays the same in a checkout and an installed package.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hil.errors import ConfigError
from hil.homes import find_homes, made
from hil.measure.verdict import Verdict
from hil.records.journal import JOURNAL
from hil.records.rebuild import load_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from hil.records.model import RigRecord, Run

__all__ = ["Flakiness", "History", "Point", "RigRow", "RunRow", "history_path", "usual_durations"]

_VERSION = 2
_SCHEMA = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, started REAL NOT NULL, verdict TEXT NOT NULL, kind TEXT NOT NULL,
    plan TEXT NOT NULL, commit_id TEXT NOT NULL, wall_us INTEGER NOT NULL, tests INTEGER NOT NULL,
    folder TEXT NOT NULL
);
CREATE TABLE tests (
    run TEXT NOT NULL REFERENCES runs(run) ON DELETE CASCADE, test TEXT NOT NULL, attempt INTEGER NOT NULL,
    suite TEXT NOT NULL, rig TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
    clock_us INTEGER, wall_us INTEGER NOT NULL, PRIMARY KEY (run, test, attempt)
);
CREATE TABLE figures (
    run TEXT NOT NULL REFERENCES runs(run) ON DELETE CASCADE, test TEXT NOT NULL, rig TEXT NOT NULL,
    name TEXT NOT NULL, value REAL NOT NULL, unit TEXT NOT NULL, verdict TEXT NOT NULL,
    provenance TEXT NOT NULL, bounds TEXT NOT NULL
);
CREATE TABLE rigs (
    run TEXT NOT NULL REFERENCES runs(run) ON DELETE CASCADE, rig TEXT NOT NULL, kind TEXT NOT NULL,
    verdict TEXT NOT NULL, rig_errors INTEGER NOT NULL, retried INTEGER NOT NULL, aside TEXT NOT NULL,
    parts TEXT NOT NULL, PRIMARY KEY (run, rig)
);
CREATE INDEX figures_by_name ON figures (name, rig);
CREATE INDEX tests_by_id ON tests (test);
"""
_DROP = "BEGIN; DROP TABLE figures; DROP TABLE tests; DROP TABLE runs; DROP TABLE IF EXISTS rigs; COMMIT;"
# A test says something about the device only with these.
_SPEAKS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)
_GOOD = (Verdict.PASS, Verdict.WARN)


@dataclass(frozen=True)
class RunRow:
    """One run in the list."""

    run: str
    started: float
    verdict: Verdict
    kind: str
    plan: str
    commit: str
    wall_us: int
    tests: int
    folder: str


@dataclass(frozen=True)
class RigRow:
    """One rig in one run.

    Attributes:
        rig_errors: how often the bench broke.
        retried: tests that were tried again because of it.
        aside: why it was set aside, or empty.
        parts: identity of each part, as the run left it.
    """

    run: str
    started: float
    rig: str
    kind: str
    verdict: Verdict
    rig_errors: int
    retried: int
    aside: str
    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Point:
    """One value of a measurement's trend."""

    run: str
    started: float
    rig: str
    name: str
    value: float
    unit: str
    verdict: Verdict
    provenance: str
    limit: dict[str, float]


@dataclass(frozen=True)
class Flakiness:
    """How often a test changed its mind, attempts of one run included.

    Attributes:
        flips: changes between good and bad from one attempt to the next.
    """

    test: str
    attempts: int
    failures: int
    flips: int


class History:
    """The history of a project.

    Args:
        path: the SQLite file; made if it is not there.

    Raises:
        ConfigError: the file is no history, or of another version.
    """

    def __init__(self, path: Path) -> None:
        made(path.parent)
        self._path = path
        hint = "remove it; it is made from journals"
        with ExitStack() as stack:
            try:
                self._db = sqlite3.connect(path, isolation_level=None)
                stack.callback(self._db.close)
                self._db.execute("PRAGMA foreign_keys = ON")
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                if 0 < version < _VERSION:
                    self._db.executescript(_DROP)  # nothing is lost: it is made from journals
                    version = 0
                if version == 0:
                    self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
            except sqlite3.Error as error:
                raise ConfigError(f"{path} is no history: {error}", hint=hint) from error
            if version not in (0, _VERSION):
                raise ConfigError(f"{path} is of version {version}", hint=hint)
            stack.pop_all()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, folder: Path) -> str:
        """Import one run, or import it again; returns its id.

        Raises:
            ConfigError: the journal is damaged, of a newer format, or not there.
        """
        run = load_run(folder)
        with _Transaction(self._db):
            self._db.execute("DELETE FROM runs WHERE run = ?", (run.name,))
            self._insert(run)
        return run.name

    def take_all(self, runs: Path) -> list[str]:
        """Import every run of a folder that is new or was not finished before.

        Returns a message for each journal that cannot be read; the others are imported.
        """
        known = dict(self._db.execute("SELECT folder, verdict FROM runs").fetchall())
        problems = []
        for journal in sorted(runs.glob(f"*/{JOURNAL}")):
            if known.get(str(journal.parent), Verdict.ABORTED) != Verdict.ABORTED:
                continue
            try:
                self.take(journal.parent)
            except ConfigError as error:
                problems.append(error.message)
        return problems

    def runs(
        self,
        *,
        rig: str | None = None,
        plan: str | None = None,
        verdict: str | None = None,
        since: float = 0.0,
        limit: int = 20,
    ) -> list[RunRow]:
        """The last runs, newest first.

        Args:
            rig: only runs with tests on it.
            plan: only runs of that plan.
            verdict: only runs that ended so.
            since: only runs that began at that time or later, seconds since the epoch.
            limit: how many.
        """
        wanted: list[tuple[str, object]] = [("started >= ?", since)]
        if rig is not None:
            wanted.append(("run IN (SELECT run FROM tests WHERE rig = ?)", rig))
        if plan is not None:
            wanted.append(("plan = ?", plan))
        if verdict is not None:
            wanted.append(("verdict = ?", verdict))
        where = " AND ".join(text for text, _ in wanted)
        rows = self._db.execute(
            f"SELECT run, started, verdict, kind, plan, commit_id, wall_us, tests, folder FROM runs "
            f"WHERE {where} ORDER BY started DESC, run DESC LIMIT ?",
            (*(value for _, value in wanted), limit),
        )
        return [RunRow(row[0], row[1], Verdict(row[2]), *row[3:]) for row in rows]

    def rigs(self, *, limit: int = 30) -> dict[str, list[RigRow]]:
        """How each rig fared in its last runs, oldest first."""
        rows = self._db.execute(
            "SELECT g.run, r.started, g.rig, g.kind, g.verdict, g.rig_errors, g.retried, g.aside, g.parts "
            "FROM rigs g JOIN runs r USING (run) ORDER BY g.rig, r.started, r.run"
        )
        found: dict[str, list[RigRow]] = {}
        for row in rows:
            one = RigRow(
                row[0], row[1], row[2], row[3], Verdict(row[4]), row[5], row[6], row[7], json.loads(row[8])
            )
            found.setdefault(one.rig, []).append(one)
        return {rig: those[-limit:] for rig, those in found.items()}

    def failing(self) -> list[tuple[str, str]]:
        """Tests whose last attempt was bad, each with the run since which it is."""
        tests = [row[0] for row in self._db.execute("SELECT DISTINCT test FROM tests ORDER BY test")]
        since = [(test, self.first_bad(test)) for test in tests]
        return [(test, run) for test, run in since if run is not None]

    def measurements(self) -> list[tuple[str, str, int]]:
        """Name, rig and number of values of every measurement."""
        query = "SELECT name, rig, COUNT(*) FROM figures GROUP BY name, rig ORDER BY name, rig"
        return list(self._db.execute(query))

    def trend(self, name: str, rig: str) -> list[Point]:
        """The values of a measurement on one rig, oldest first."""
        rows = self._db.execute(
            "SELECT f.run, r.started, f.rig, f.name, f.value, f.unit, f.verdict, f.provenance, f.bounds "
            "FROM figures f JOIN runs r USING (run) WHERE f.name = ? AND f.rig = ? "
            "ORDER BY r.started, f.rowid",
            (name, rig),
        )
        return [
            Point(run, at, where, label, value, unit, Verdict(verdict), provenance, json.loads(bounds))
            for run, at, where, label, value, unit, verdict, provenance, bounds in rows
        ]

    def first_bad(self, test: str) -> str | None:
        """The run since which a test has failed without a pass in between, or None if it is good."""
        since = None
        for run, verdict in self._attempts(test):
            if verdict in _GOOD:
                since = None
            elif since is None:
                since = run
        return since

    def durations(self) -> dict[str, int]:
        """Average wall time of each test over the runs in which it spoke, in microseconds."""
        marks = ", ".join("?" for _ in _SPEAKS)
        query = f"SELECT test, AVG(wall_us) FROM tests WHERE verdict IN ({marks}) GROUP BY test"
        return {test: round(us) for test, us in self._db.execute(query, tuple(map(str, _SPEAKS)))}

    def flaky(self) -> list[Flakiness]:
        """Tests that failed and passed, those that flip most first."""
        tests = [row[0] for row in self._db.execute("SELECT DISTINCT test FROM tests")]
        found = [self._flakiness(test) for test in tests]
        mixed = [one for one in found if 0 < one.failures < one.attempts]
        return sorted(mixed, key=lambda one: (-one.flips, one.test))

    def _flakiness(self, test: str) -> Flakiness:
        good = [verdict in _GOOD for _, verdict in self._attempts(test)]
        flips = sum(a != b for a, b in pairwise(good))
        return Flakiness(test, len(good), good.count(False), flips)

    def _attempts(self, test: str) -> Sequence[tuple[str, Verdict]]:
        rows = self._db.execute(
            "SELECT t.run, t.verdict FROM tests t JOIN runs r USING (run) WHERE t.test = ? "
            "ORDER BY r.started, t.run, t.attempt",
            (test,),
        )
        return [(run, Verdict(verdict)) for run, verdict in rows if verdict in _SPEAKS]

    def _insert(self, run: Run) -> None:
        suites = run.header.get("suites", {})
        commit = str(suites.get("commit", "")) + ("-dirty" if suites.get("dirty") else "")
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.name,
                run.started,
                str(run.verdict),
                run.kind,
                run.plan,
                commit,
                run.wall_us,
                len(run.tests),
                str(run.folder),
            ),
        )
        for record in run.rigs.values():
            self._insert_rig(run, record)
        attempts: dict[str, int] = {}
        for test in [*run.retried, *run.tests]:
            attempts[test.test] = attempt = attempts.get(test.test, 0) + 1
            rig = test.rig or ""
            row = (test.suite, rig, str(test.verdict), test.reason, test.clock_us, test.wall_us)
            self._db.execute(
                "INSERT INTO tests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (run.name, test.test, attempt, *row)
            )
            for figure in test.figures:
                if isinstance(figure.value, int | float) and not isinstance(figure.value, bool):
                    bounds = json.dumps(figure.limit)
                    said = (figure.unit, str(figure.verdict), figure.provenance or "", bounds)
                    self._db.execute(
                        "INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (run.name, test.test, rig, figure.name, float(figure.value), *said),
                    )

    def _insert_rig(self, run: Run, rig: RigRecord) -> None:
        errors = sum(failure.rig == rig.rig for failure in run.rig_errors)
        retried = sum(test.rig == rig.rig for test in run.retried)
        parts = {part.part: {"kind": part.kind, **part.identity} for part in rig.after or rig.parts}
        said = (rig.kind, str(run.verdict_of(rig.rig)), errors, retried, run.aside.get(rig.rig, ""))
        self._db.execute(
            "INSERT INTO rigs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (run.name, rig.rig, *said, json.dumps(parts))
        )


def history_path(runs: Path) -> Path:
    """The history file of the project whose runs lie in ``runs``; named after that folder."""
    name = str(runs.resolve()).strip("/").replace("/", "-") or "root"
    return find_homes().history / f"{name}.sqlite"


def usual_durations(runs: Path) -> dict[str, int]:
    """Wall time of each test in its last good runs, in microseconds; empty without a history."""
    path = history_path(runs)
    if not path.is_file():
        return {}
    try:
        with History(path) as history:
            return history.durations()
    except ConfigError:
        return {}  # an estimate is not worth an error; `hil history` will tell


class _Transaction:
    """All or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
