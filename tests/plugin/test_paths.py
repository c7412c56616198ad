"""Paths behind our options: pytest reads its settings before it knows that they are no tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

SETTINGS = "[tool.pytest.ini_options]\ntestpaths = ['suites']\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyprojecttoml(SETTINGS)
    pytester.mkdir("suites").joinpath("test_one.py").write_text("def test_one(): pass\n")
    pytester.makepyfile(test_elsewhere="def test_elsewhere(): assert False\n")
    return pytester


@pytest.mark.parametrize("option", ["--runs", "--rig", "--release", "--quarantine"])
def test_a_path_that_pytest_takes_for_tests_is_refused_with_the_way_out(
    project: pytest.Pytester, option: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    result = project.runpytest_subprocess(option, str(elsewhere))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: pytest takes {elsewhere} *: write {option}={elsewhere}"])


def test_joined_to_the_option_it_is_the_options(project: pytest.Pytester, tmp_path: Path) -> None:
    result = project.runpytest_subprocess(f"--runs={tmp_path}", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_a_project_without_settings_loses_none(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyprojecttoml("[project]\nname = 'mine'\n")
    pytester.makepyfile("def test_one(): pass\n")
    result = pytester.runpytest_subprocess(
        "--runs", str(tmp_path), "test_a_project_without_settings_loses_none.py"
    )
    result.assert_outcomes(passed=1)
