"""What the command line asks of a run, read and checked before anything is collected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hil import homes, rigfile
from hil.errors import UsageError
from hil.session.plans import NO_PLAN, Plan, find_plan

if TYPE_CHECKING:
    import pytest

    from hil.release.files import Release
    from hil.rigfile import RigFile
    from hil.session.quarantine import Entry

__all__ = ["Options", "Worker", "read_options"]


@dataclass(frozen=True)
class Worker:
    """One of several processes of a run.

    Attributes:
        folder: the run's folder, which all of them share.
        part: name of this process, e.g. ``gw0``.
        workers: how many there were at the start.
        command: the command line of the first one.
    """

    folder: Path
    part: str
    workers: int
    command: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Attributes:
        rigs: in the order asked for.
        faults: given to emulated rigs.
        allow_irreversible: serial numbers of elements that may be used up.
        allow_aws: the real account that may be used, or None.
        runs: folder of all runs.
        report: write the HTML report.
        plan: what the run is for.
        quarantine: known problems from the list.
        last_failed: pytest runs only what failed the last time.
        release: what a qualification is held against, or None.
        rehearsal: a qualification that qualifies nothing.
        suites: folder whose version control says which suites ran.
        worker: this process's share in a run of several, or None.
    """

    rigs: tuple[RigFile, ...]
    runs: Path
    faults: tuple[str, ...] = ()
    allow_irreversible: frozenset[str] = frozenset()
    allow_aws: str | None = None
    report: bool = True
    plan: Plan = NO_PLAN
    quarantine: tuple[Entry, ...] = ()
    last_failed: bool = False
    release: Release | None = None
    rehearsal: bool = False
    suites: Path = Path()
    worker: Worker | None = None


def read_options(config: pytest.Config) -> Options:
    """The options of a session; every rig file is read and checked.

    Raises:
        UsageError: a rig, fault or plan that there is not.
        ConfigError: a file is wrong; says where.
    """
    plan = find_plan(config.getoption("--plan"))
    wanted = config.getoption("--rig") or [str(config.getini("hil_rig"))]
    files = tuple(plan.adjusted(rigfile.load(path)) for path in rigfile.find_rigs(wanted))
    release = _release(config, plan, files)
    if release is not None:
        files = tuple(map(release.adjusted, files))
    faults = tuple(config.getoption("--fault"))
    if faults:
        from hil.emulator.faults import check_faults

        check_faults(faults, files)
    shared = getattr(config, "workerinput", {}).get("hil")
    return Options(
        rigs=files,
        runs=homes.runs_folder(config.getoption("--runs")),
        faults=faults,
        allow_irreversible=frozenset(s.lower() for s in config.getoption("--allow-irreversible")),
        allow_aws=config.getoption("--allow-aws"),
        report=not config.getoption("--no-report"),
        plan=plan,
        quarantine=_quarantine(config, plan),
        last_failed=bool(config.getoption("lf", False)),
        release=release,
        rehearsal=bool(config.getoption("--rehearsal")),
        suites=_suites_folder(config),
        worker=None if shared is None else Worker(**{**shared, "folder": Path(shared["folder"])}),
    )


def _quarantine(config: pytest.Config, plan: Plan) -> tuple[Entry, ...]:
    """The list that was named, or the project's; the files are looked at only if they are there."""
    given = config.getoption("--quarantine")
    path = Path(given) if given else config.rootpath / "quarantine.yaml"
    if given and not plan.tolerates_quarantine:
        raise UsageError(f"the plan {plan.name} tolerates no quarantine", hint="leave out --quarantine")
    if not plan.tolerates_quarantine or not (given or path.exists()):
        return ()
    from hil.session.quarantine import load_quarantine

    return load_quarantine(path, required=bool(given))


def _release(config: pytest.Config, plan: Plan, files: tuple[RigFile, ...]) -> Release | None:
    given, rehearsal = config.getoption("--release"), config.getoption("--rehearsal")
    if plan.name != "qualification":
        if given or rehearsal:
            raise UsageError("--release and --rehearsal belong to --plan qualification")
        return None
    if not given:
        raise UsageError("--plan qualification needs --release FILE", hint="hil qualify FILE does it all")
    from hil.release.files import load_release

    release = load_release(Path(given))
    for file in files:
        if not release.concerns(file):
            raise UsageError(
                f"{file.rig} shows no combination of the release {release.release}",
                hint="its board, or its element's part and revision, is not in the release file",
            )
        if rehearsal and not file.emulated:
            raise UsageError(f"{file.rig} is physical: a rehearsal touches emulated rigs only")
    return release


def _suites_folder(config: pytest.Config) -> Path:
    """Where the first test that was asked for lies; the project's root if that is no path."""
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        if path.exists():
            return path if path.is_dir() else path.parent
    return config.rootpath
