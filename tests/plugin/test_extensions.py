"""Boards, relays, buses and suites that other packages bring: the how-to pages, run as they are printed.

The packages are installed as a distribution is: modules and a ``dist-info`` folder on the path.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil import extensions
from hil.cli import run as hil_run
from tests.plugin.test_testing_fixture import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGES = ("a-relay-of-your-own", "a-bus-of-your-own", "a-board-of-your-own", "a-suite-of-your-own")

LAB = '''
"""Two devices on terminals: the bus adapter, with an emulated element behind it, and the board."""

import os
import pty
import threading
import tty

from hil.errors import I2CNack
from hil.testing import emulated_element


def terminal(link):
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), link)
    return master


def lines(master):
    said = b""
    while True:
        said += os.read(master, 1024)
        while b"\\n" in said:
            line, _, said = said.partition(b"\\n")
            yield line.decode().split()


def adapter(master):
    part = emulated_element("atecc508a", clock="wall")
    for words in lines(master):
        try:
            if words[0] == "W":
                part.bus.write(int(words[1], 16), bytes.fromhex(words[2]))
                answer = "OK"
            elif words[0] == "R":
                answer = "OK " + part.bus.read(int(words[1], 16), int(words[2])).hex()
            else:
                part.bus.wake_pulse()
                answer = "OK"
        except I2CNack:
            answer = "NACK"
        os.write(master, answer.encode() + b"\\n")


def board(master):
    for words in lines(master):
        os.write(master, f"{words[0]}: 4.2\\r\\n".encode())


def start(role, link):
    master = terminal(link)
    threading.Thread(target=role, args=(master,), daemon=True).start()
    return master


start(adapter, "adapter.tty")
BOARD = start(board, "board.tty")
'''

LAB_RELAY = """
import os

from hil.extensions import RelayKind
from hil.power.relay import State


class BoardPower:
    name = "the lab's relay"

    def on(self):
        import acme_lab

        os.write(acme_lab.BOARD, b"acme-boot 4.2\\r\\nself test ok\\r\\nacme> ")

    def off(self):
        pass

    def readback(self):
        return State.UNKNOWN

    def close(self):
        pass


KIND = RelayKind(open=lambda power, options, clock: BoardPower())
"""

ELEMENT = """\
element: {part: atecc508a, serial: 0123e07e00000001ee, revision: "00005000", state: blank}
"""
BENCH_1 = f"""\
rig: bench-1
power: {{kind: acme-regulator, minimum_off_ms: 0, options: {{regulator: state}}}}
bus: {{kind: acme-adapter, port: adapter.tty}}
suites: {{thermal: {{celsius: 85, wakes: 3}}}}
{ELEMENT}"""
BENCH_2 = f"""\
rig: bench-2
board: {{kind: acme-shell, port: board.tty}}
power: {{kind: acme-lab, minimum_off_ms: 0}}
bus: {{kind: acme-adapter, port: adapter.tty}}
{ELEMENT}"""


def distribution(folder: Path, name: str, entry_points: dict[str, dict[str, str]]) -> None:
    """What an installer leaves behind."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    rows = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items())
        for group, named in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(rows), encoding="utf-8")


def install(folder: Path, page: str) -> None:
    """The package of a how-to page."""
    text = (HOWTO / f"{page}.md").read_text(encoding="utf-8")
    for name, content in files_of(HOWTO / f"{page}.md").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    printed = re.search(r"```toml pyproject\.toml\n(.*?)```", text, re.DOTALL)
    assert printed is not None
    project = tomllib.loads(printed[1])["project"]
    distribution(folder, project["name"].replace("-", "_"), project["entry-points"])


@pytest.fixture
def site(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of installed packages, which every new process looks into."""
    folder = pytester.path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("HIL_HOME", str(pytester.path / "home"))
    return folder


@pytest.fixture
def lab(pytester: pytest.Pytester, site: Path) -> Path:
    """The packages of all four pages, installed, and the two benches that use them."""
    for page in PAGES:
        install(site, page)
    (site / "acme_lab.py").write_text(LAB, encoding="utf-8")
    (site / "acme_lab_relay.py").write_text(LAB_RELAY, encoding="utf-8")
    distribution(site, "acme_lab", {"hil.relays": {"acme-lab": "acme_lab_relay:KIND"}})
    rigs = pytester.path / "rigs"
    rigs.mkdir()
    (rigs / "bench-1.yaml").write_text(BENCH_1, encoding="utf-8")
    (rigs / "bench-2.yaml").write_text(BENCH_2, encoding="utf-8")
    (pytester.path / "state").write_text("disabled", encoding="utf-8")
    return pytester.path


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--no-report", "--runs", "runs", *arguments, timeout=120
    )


class Hil:
    """``hil`` in this process, where the packages of :func:`site` are installed too."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.said = ""

    def __call__(self, *arguments: str) -> int:
        self._capsys.readouterr()
        code = hil_run(arguments)
        self.out, self.said = self._capsys.readouterr()
        assert "Traceback" not in self.said
        return code


@pytest.fixture
def hil(site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hil]:
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)
    extensions._entries.cache_clear()
    yield Hil(capsys)
    extensions._entries.cache_clear()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(
            sys.modules[name].__file__ or ""
        ).is_relative_to(site):
            del sys.modules[name]


def test_a_rig_of_nothing_but_own_parts_is_tested(pytester: pytest.Pytester, lab: Path) -> None:
    """Relay, bus and suite of other packages: the wiring suite and theirs, through the printed code."""
    pytester.makeconftest("import acme_lab\n")
    suites = Path(__file__).parents[2] / "suites"
    result = run(
        pytester, "--rig", "bench-1", "-v", str(suites / "wiring"), "--pyargs", "acme_suites.thermal",
        "-k", "wakes or wake_token or it_is_the_element",
    )  # fmt: skip
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*test_it_is_the_element_that_the_rig_file_names*", "*test_it_wakes_every_time*"]
    )
    assert (lab / "state").read_text() == "disabled", "the relay was left as the rig file says"


def test_a_board_of_ones_own_is_powered_started_and_asked(pytester: pytest.Pytester, lab: Path) -> None:
    pytester.makeconftest("import acme_lab\n")
    (lab / "test_acme.py").write_text((lab / "site" / "test_acme.py").read_text(), encoding="utf-8")
    power = Path(__file__).parents[2] / "suites" / "power" / "test_power.py"
    result = run(
        pytester,
        "--rig",
        "bench-2",
        "-v",
        str(power),
        "test_acme.py",
        "-k",
        "boots or the_one_we_ship or silent",
    )
    result.assert_outcomes(passed=4)
    journal = next((lab / "runs").glob("*/journal.jsonl")).read_text()
    assert '"kind":"acme-shell"' in journal


def test_the_settings_are_checked_like_built_in_ones(hil: Hil, pytester: pytest.Pytester, lab: Path) -> None:
    path = lab / "rigs" / "bench-1.yaml"
    path.write_text(
        BENCH_1.replace("regulator: state", "regulatr: state").replace("celsius: 85", "celsius: 850"),
        encoding="utf-8",
    )
    code = hil("rigs", "check", "bench-1")
    assert code == 12
    said = hil.said
    assert "bench-1.yaml:2:60: unknown key 'regulatr' in power.options (did you mean 'regulator'?)" in said
    assert "celsius is 850; allowed is -40 to 85" in said


def test_a_check_lists_what_the_rig_can_do(hil: Hil, pytester: pytest.Pytester, lab: Path) -> None:
    code = hil("rigs", "check", "bench-1", "bench-2")
    assert code == 0, hil.said
    one, other = hil.out.splitlines()
    assert re.search("bench-1.*physical rig.*i2c.*power", one)
    assert re.search("bench-2.*boot-log.*console.*i2c", other)


def test_a_suite_is_blocked_by_what_it_stands_on(pytester: pytest.Pytester, lab: Path) -> None:
    pytester.makeconftest("import acme_lab\n")
    wiring = lab / "suites" / "wiring"
    wiring.mkdir(parents=True)
    (wiring / "test_wiring.py").write_text("def test_it(rig):\n    assert False, 'a wire is off'\n")
    result = run(pytester, "--rig", "bench-1", "--pyargs", "acme_suites.thermal", "suites/wiring", "-rs")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*wiring failed: it*"])


def test_a_suite_without_its_settings_does_not_apply(pytester: pytest.Pytester, lab: Path) -> None:
    pytester.makeconftest("import acme_lab\n")
    result = run(pytester, "--rig", "bench-2", "--pyargs", "acme_suites.thermal", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["*bench-2 has no settings of the suite thermal: add `thermal:` under `suites:`*"]
    )


def test_the_guard_stands_before_an_own_bus(pytester: pytest.Pytester, lab: Path) -> None:
    pytester.makeconftest("import acme_lab\n")
    pytester.makepyfile(
        test_it="""
        import pytest
        from hil.errors import GuardRefusal
        from hil.wire.atecc import Command

        def test_it(rig):
            lock = Command(0x17, 0x80, 0)
            with pytest.raises(GuardRefusal, match="before a byte was sent"):
                rig.bus.write(0x60, b"\\x03" + lock.encode())
            assert rig.ports and all(port.physical for port in rig.ports)
        """
    )
    run(pytester, "--rig", "bench-1", "test_it.py").assert_outcomes(passed=1)


BROKEN = {
    "it cannot be imported": ("broken_module:KIND", "cannot be loaded from broken_module:KIND"),
    "it is something else": ("json:dumps", "is no RelayKind but function"),
    "its options are none": ("own:NO_OPTIONS", "its options are no dataclass"),
    "an option of a type that no file can say": ("own:ODD", "Odd.when has a type that no rig file can say"),
    "an annotation that cannot be read": ("own:UNREADABLE", "the annotations of Unreadable cannot be read"),
}
OWN = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from hil.errors import RelayError
from hil.extensions import RelayKind
from hil.rigfile import Key

if TYPE_CHECKING:
    from decimal import Decimal


class When: ...


@dataclass
class Odd:
    when: Annotated[When, Key("No text, no number.")]


@dataclass
class Unreadable:
    much: Annotated[Decimal, Key("Not there at run time.")]


@dataclass
class Refuses:
    volts: Annotated[int, Key("Volts.")] = 5

    def __post_init__(self):
        if self.volts > 5:
            raise ValueError(f"{self.volts} V would kill the board")


class Dumb:
    name = "a relay that fails"

    def on(self):
        raise OSError("the socket is gone")

    def off(self): ...
    def readback(self):
        return "on"
    def close(self): ...


def fails(power, options, clock):
    raise KeyError("outlet")


NO_OPTIONS = RelayKind(open=fails, options=3)
ODD = RelayKind(open=fails, options=Odd)
UNREADABLE = RelayKind(open=fails, options=Unreadable)
REFUSES = RelayKind(open=fails, options=Refuses)
FAILS = RelayKind(open=fails)
LACKS = RelayKind(open=lambda power, options, clock: object())
DUMB = RelayKind(open=lambda power, options, clock: Dumb())
"""


def own_relay(pytester: pytest.Pytester, site: Path, value: str, options: str = "") -> None:
    (site / "own.py").write_text(OWN, encoding="utf-8")
    (site / "broken_module.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")
    distribution(site, "own", {"hil.relays": {"own-relay": value}})
    text = f"rig: bench\npower: {{kind: own-relay{options}}}\nbus: {{kind: linux, number: 251}}\n{ELEMENT}"
    (pytester.path / "bench.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_is_one_message_with_its_place(
    hil: Hil, pytester: pytest.Pytester, site: Path, case: str
) -> None:
    value, words = BROKEN[case]
    own_relay(pytester, site, value)
    code = hil("rigs", "check", "bench.yaml")
    assert code == 12
    (line,) = [line for line in hil.said.splitlines() if line.startswith("hil: ")]
    assert line.startswith("hil: bench.yaml:2:")
    assert words in line
    assert len([line for line in hil.said.splitlines() if "own-relay" in line or "Odd" in line]) <= 1


def test_what_a_settings_class_refuses_is_told_with_its_place(
    hil: Hil, pytester: pytest.Pytester, site: Path
) -> None:
    own_relay(pytester, site, "own:REFUSES", ", options: {volts: 24}")
    code = hil("rigs", "check", "bench.yaml")
    assert (code, hil.said.splitlines()[0]) == (
        12, "hil: bench.yaml:2:35: power.options: 24 V would kill the board",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("own:FAILS", 13, "the relay 'own-relay' cannot be opened: KeyError('outlet')"),
        ("own:LACKS", 12, "is a object, which lacks name, on, off, readback, close"),
        ("own:DUMB", 13, "says 'on', which is no hil.power.relay.State"),
    ],
)
def test_a_relay_that_misbehaves_is_the_benchs_error(
    hil: Hil, pytester: pytest.Pytester, site: Path, value: str, code: int, words: str
) -> None:
    own_relay(pytester, site, value)
    code = hil("safe-state", "bench.yaml")
    assert code == code
    assert words in hil.said


def test_two_packages_of_one_name_are_told(hil: Hil, pytester: pytest.Pytester, site: Path) -> None:
    own_relay(pytester, site, "own:FAILS")
    distribution(site, "another", {"hil.relays": {"own-relay": "own:DUMB"}})
    code = hil("rigs", "check", "bench.yaml")
    assert code == 12
    assert "is brought by several packages: own:" in hil.said


def test_a_kind_that_nobody_brings_names_those_that_are(
    hil: Hil, pytester: pytest.Pytester, site: Path
) -> None:
    own_relay(pytester, site, "own:FAILS")
    path = pytester.path / "bench.yaml"
    path.write_text(path.read_text().replace("own-relay", "own-rely"))
    code = hil("rigs", "check", "bench.yaml")
    assert code == 12
    assert "none or own-relay, not 'own-rely' (did you mean 'own-relay'?)" in hil.said


def test_built_in_names_ask_no_package(pytester: pytest.Pytester, site: Path) -> None:
    """Opening and running a rig of built-in parts never looks for entry points of ours."""
    distribution(site, "own", {"hil.relays": {"lcus": "broken_module:KIND"}, "hil.suites": {"wiring": "x:y"}})
    pytester.makeconftest(
        """
        import importlib.metadata

        asked = []
        entry_points = importlib.metadata.entry_points

        def counting(**chosen):
            asked.append(chosen.get("group"))
            return entry_points(**chosen)

        importlib.metadata.entry_points = counting

        def pytest_sessionfinish(session):
            assert not [group for group in asked if (group or "").startswith("hil.")], asked
        """
    )
    wiring = Path(__file__).parents[2] / "suites" / "wiring"
    result = run(pytester, str(wiring), "-k", "wake_token")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
