"""The CI files under docs/ci, and tox's nightly: they parse, and what they name exists."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from hil import plugin
from hil.cli import COMMANDS, cli
from hil.session.plans import PLANS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "ci"
FILES = ("github-actions.yml", "gitlab-ci.yml", "Jenkinsfile")
NIGHTLY = "pytest --plan nightly --rig all"


def shell_lines(name: str) -> list[str]:
    """Every line that the file hands to a shell."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name == "Jenkinsfile":
        return re.findall(r"(?:sh|script:) '([^']*)'", text)
    lines: list[str] = []

    def walk(value: Any, key: str = "") -> None:  # noqa: ANN401  (YAML)
        if isinstance(value, dict):
            for at, below in value.items():
                walk(below, str(at))
        elif isinstance(value, list):
            for below in value:
                walk(below, key)
        elif key in ("run", "script", "before_script", "after_script"):
            lines.extend(value.splitlines())

    walk(yaml.safe_load(text))
    return lines


def commands(name: str) -> Iterator[list[str]]:
    """Calls of our programs, as words."""
    for line in shell_lines(name):
        for part in re.split(r";|\|\||&&|\bdo\b", line):
            words = shlex.split(part)
            if words and words[0] in (".venv/bin/hil", ".venv/bin/pytest"):
                yield [words[0].rpartition("/")[2], *words[1:]]


class Options:
    """Stands in for pytest's parser; keeps the names of options."""

    def __init__(self) -> None:
        self.names: set[str] = {"--pyargs"}

    def getgroup(self, *_: object, **__: object) -> Options:
        return self

    def addoption(self, *names: str, **_: object) -> None:
        self.names.update(name for name in names if name.startswith("-"))

    def addini(self, *_: object, **__: object) -> None:
        pass


@pytest.mark.parametrize("name", FILES)
def test_every_command_and_option_exists(name: str) -> None:
    found = list(commands(name))
    assert {words[0] for words in found} == {"hil", "pytest"}
    parser = Options()
    plugin.pytest_addoption(parser)  # type: ignore[arg-type]
    for program, *words in found:
        if program == "pytest":
            assert {word for word in words if word.startswith("-")} <= parser.names
            continue
        assert words[0] in COMMANDS, words
        command = cli.get_command(click.Context(cli), words[0])
        rest = words[1:]
        if isinstance(command, click.Group):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


@pytest.mark.parametrize("name", FILES)
def test_the_plan_is_nightly_and_benches_are_left_safe(name: str) -> None:
    lines = shell_lines(name)
    assert any(NIGHTLY in line for line in lines)
    assert any("safe-state" in line for line in lines)
    assert "junit.xml" in (FOLDER / name).read_text(encoding="utf-8") or name.startswith("github")
    assert "--allow" not in "".join(lines), "a nightly changes nothing for good and uses no real account"


def test_the_jenkinsfile_is_balanced() -> None:
    text = re.sub(r"//.*|'[^'\n]*'|\"[^\"\n]*\"", "", (FOLDER / "Jenkinsfile").read_text(encoding="utf-8"))
    for left, right in ("{}", "()"):
        depth = 0
        for character in text:
            depth += (character == left) - (character == right)
            assert depth >= 0
        assert depth == 0
    assert not re.search("['\"]", text), "a string without an end"


def test_toxs_nightly_runs_the_plan() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert NIGHTLY in tox["testenv:nightly"]["commands"]
    assert "nightly" in PLANS
    assert "pytest-xdist" in tox["testenv:nightly"]["deps"], "without it rigs run one after the other"
