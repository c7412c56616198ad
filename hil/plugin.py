"""The pytest plugin: options, marks, hooks. It imports nothing heavy until a rig is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from hil.session.run import Run
    from hil.session.workers import Controller

__all__: list[str] = []

MARKS = (
    "req(id): the requirement that a test proves, e.g. HIL-WIRE-001",
    "needs(*capabilities, element=None): what the rig must offer, and the element's life-cycle state"
    " (blank, config-locked, provisioned, trust)",
    "irreversible(*operations): the test does something that cannot be undone; it runs last in its suite",
    "quarantine(reason, issue, until): a known problem; the result is shown but does not count",
)

DEFAULT_RIG = "emulated-esp8266-atecc508a"

_RUN: pytest.StashKey[Run | None] = pytest.StashKey()
_CONTROLLER: pytest.StashKey[Controller | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run; each is also a line in ``docs/running.md``."""
    group = parser.getgroup("hil", "hardware in the loop")
    group.addoption(
        "--rig", action="append", default=[], metavar="NAME",
        help="rig to run on: a name, a glob, a rig file, or `all`; repeatable (`hil rigs` lists them)",
    )  # fmt: skip
    group.addoption(
        "--fault", action="append", default=[], metavar="NAME",
        help="give an emulated rig a fault, to see a suite catch it; repeatable (`hil faults` lists them)",
    )  # fmt: skip
    group.addoption(
        "--allow-irreversible", action="append", default=[], metavar="SERIAL",
        help="serial number of an element that may be locked or keyed for good; repeatable",
    )  # fmt: skip
    group.addoption(
        "--allow-aws", default=None, metavar="ACCOUNT",
        help="let this run use that real AWS account; the rig file must name it too (`cloud: {mode: aws}`)",
    )  # fmt: skip
    group.addoption(
        "--plan", default=None, metavar="NAME",
        help="what the run is for: `nightly` (reversible tests, rigs in parallel, one retry after a rig"
        " error) or `qualification` (of a release; `hil qualify` does it all)",
    )  # fmt: skip
    group.addoption(
        "--quarantine", default=None, metavar="FILE",
        help="list of known problems that are tolerated (default: quarantine.yaml, if there is one)",
    )  # fmt: skip
    group.addoption(
        "--release", default=None, metavar="FILE",
        help="plan qualification: the release file that the run is held against",
    )  # fmt: skip
    group.addoption(
        "--rehearsal", action="store_true", help="plan qualification on emulated rigs; it qualifies nothing"
    )
    group.addoption("--runs", default=None, metavar="DIR", help="where runs are written (default: ./runs)")
    group.addoption(
        "--no-report", action="store_true", help="write the journal and JUnit, not the HTML report"
    )
    parser.addini("hil_rig", "rig to run on when no --rig is given", default=DEFAULT_RIG)


_WITH_PATH = ("--rig", "--runs", "--release", "--quarantine")


def _mistaken_path(config: pytest.Config) -> None:
    """Refuse an option's path that pytest took for a place of tests when it looked for its settings.

    It does so before it knows any plugin's options; then its configuration file goes unseen.
    """
    from itertools import pairwise

    given = config.invocation_params.args
    folder = config.invocation_params.dir
    settings = folder / "pyproject.toml"
    if config.inipath is not None or not settings.is_file():
        return
    if "[tool.pytest" not in settings.read_text(encoding="utf-8"):
        return
    for option, value in pairwise(given):
        if option in _WITH_PATH and (folder / value).exists():
            raise pytest.UsageError(
                f"pytest takes {value} for a place of tests and misses the settings in {folder}:"
                f" write {option}={value}"
            )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and the fixtures."""
    _mistaken_path(config)
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    config.stash[_RUN] = None
    config.stash[_CONTROLLER] = None
    config.pluginmanager.import_plugin("hil.fixtures")
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        from hil.session.workers import Controller

        config.stash[_CONTROLLER] = controller = Controller(config, lambda: get_run(config))
        config.pluginmanager.register(controller, "hil-controller")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """A plan spreads its rigs over processes, if pytest-xdist is there and nobody chose a number."""
    if config.getoption("--plan") and not hasattr(config, "workerinput"):
        from hil.session.workers import spread

        spread(config)
    return (yield)


def get_run(config: pytest.Config) -> Run:
    """The run of this session; made when first asked for.

    A broken rig file ends the session here, before any test is collected.
    """
    run = config.stash[_RUN]
    if run is None:
        from hil.session.run import Run

        run = config.stash[_RUN] = Run.from_options(config)
        run.has_workers = config.pluginmanager.has_plugin("xdist")
    return run


def finished_folder(config: pytest.Config) -> Path | None:
    """Where the run of a session lies; None if nothing was run on a rig."""
    run, controller = config.stash[_RUN], config.stash[_CONTROLLER]
    if controller is not None:
        return controller.folder if controller.folder.exists() else None
    return None if run is None else run.folder


def pytest_sessionstart(session: pytest.Session) -> None:
    """What the command line names is checked before anything is collected."""
    if any(session.config.getoption(name) for name in ("--rig", "--fault", "--plan", "--release")):
        run = get_run(session.config)
        if run.options.plan.name and not hasattr(session.config, "workerinput"):
            from hil.session.progress import watch

            watch(session.config, run, session.config.stash[_CONTROLLER])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses a rig runs once on each."""
    if "rig" in metafunc.fixturenames:
        metafunc.parametrize("rig", get_run(metafunc.config).rig_names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring-up order; what a rig cannot do is skipped with its reason."""
    run = config.stash[_RUN]
    if run is not None:
        run.arrange(items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Once more, as others may have sorted after us: `--ff` puts failed tests first."""
    run = session.config.stash[_RUN]
    if run is not None:
        run.put_in_order(session.items)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Some plans let nobody choose among the tests."""
    run = items[0].config.stash[_RUN] if items else None
    if run is not None:
        run.deselected(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Start and end of a test that uses a rig go into the journal; a broken rig may get another try."""
    run = item.config.stash[_RUN]
    if run is None or not run.concerns(item):
        return (yield)
    run.test_starts(item)
    try:
        result = yield
    except BaseException:
        run.breaks_off()
        raise
    run.test_ends(item)
    while run.wants_retry():
        from hil.session.retry import run_again

        run_again(run, item, nextitem)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A suite that stands on a failed one is blocked."""
    run = item.config.stash[_RUN]
    if run is not None and run.concerns(item):
        run.check_blocked(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Evidence is attached at the moment of failure."""
    report = yield
    run = item.config.stash[_RUN]
    if run is not None:
        if run.concerns(item):
            run.phase_ended(item, call, report)
        elif report.failed:
            run.foreign_failures = True
    return report


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """An attempt whose rig broke and that is made once more is neither passed nor failed."""
    outcome: str = report.outcome
    if outcome == "rerun":
        return "rig error, tried again", "R", ("RIG ERROR, TRIED AGAIN", {"yellow": True})
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Safe state, end of the journal, views; a broken bench has an exit code of its own."""
    end = session.config.stash[_CONTROLLER] or session.config.stash[_RUN]
    if end is not None:
        session.exitstatus = end.finish(int(session.exitstatus))


def pytest_report_header(config: pytest.Config) -> Sequence[str]:
    """Which rigs, and whether they are physical."""
    run = config.stash[_RUN]
    return [] if run is None else run.head_lines()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The verdict table and where the report lies."""
    run = config.stash[_RUN]
    if run is not None:
        for line in run.summary():
            terminalreporter.write_line(line)
