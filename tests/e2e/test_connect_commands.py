"""``hil connect`` and ``hil costs learn``: on an emulated rig, and on one that is only a pty away."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from hil.cli import cli
from hil.measure.verdict import Verdict
from tests.e2e.suite_runs import run_suites

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RIG = "emulated-esp8266-atecc508a"
HIL = [sys.executable, "-c", "from hil.cli import main; main()"]
PATIENCE_S = 120
CPI = 0.2
"""So quick a processor that real time is bearable; what is learned has to show it."""

BENCH = """\
rig: bench
board: {{kind: mongoose-os, mcu: esp8266, port: "{folder}/board", mac: 02:e0:7e:00:50:8a}}
power: {{kind: lcus, port: "{folder}/relay", minimum_off_ms: 100}}
element: {{part: atecc508a, address: 96, serial: 0123e07e00000508ee, state: provisioned}}
cloud: {{mode: moto, listen: "127.0.0.1:{port}", data_endpoint: "localhost:{port}"}}
connect: {{tls_versions: [1.2], tolerance_ms: 10000}}  # other programs run, too
"""


def here(*arguments: str) -> str:
    """The command within this process: it costs no start of its own."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return done.stdout


def hil(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "HIL_HOME": str(folder / "home")}
    done = subprocess.run(
        [*HIL, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=10 * PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def quick_rig(folder: Path) -> None:
    """A provisioned board that is quick to boot, to join its network, and in software."""
    shipped = (ROOT / "rigs" / f"{RIG}.yaml").read_text(encoding="utf-8").replace(RIG, "served")
    shipped = shipped.replace("state: blank", "state: provisioned").replace(
        "image: firmware", "# image: firmware"
    )
    shipped = shipped.replace("tls_versions: [1.2, 1.3]", "tls_versions: [1.2]")
    shipped = shipped.replace("element: blank", "element: mongoose-configured")
    shipped = shipped.replace("cost_model: esp8266-80mhz", f"cost_model: quick\n  cpi: {CPI}")
    (folder / "served.yaml").write_text(shipped, encoding="utf-8")
    costs = (ROOT / "rigs" / "boards" / "esp8266-80mhz.yaml").read_text(encoding="utf-8")
    costs = costs.replace("name: esp8266-80mhz", "name: quick")
    costs = re.sub(r"(boot_loader|boot_init|wifi_associate|wifi_dhcp): \{ms: \d+", r"\1: {ms: 50", costs)
    (folder / "boards").mkdir()
    (folder / "boards" / "quick.yaml").write_text(costs, encoding="utf-8")


@contextmanager
def bench(folder: Path) -> Iterator[None]:
    """A rig file named bench whose ports are ptys of another process; its board reaches our endpoint."""
    quick_rig(folder)
    port = free_port()
    (folder / "bench.yaml").write_text(BENCH.format(folder=folder, port=port), encoding="utf-8")
    process = subprocess.Popen(
        [
            *HIL, "emulate", "served.yaml", "--board-pty", str(folder / "board"),
            "--relay-pty", str(folder / "relay"), "--reach", f"localhost:{port}",
        ],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "no line of JSON"
        assert json.loads(process.stdout.readline())["rig"] == "served"
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_rig_behind_a_pty_is_measured_on_the_wall_clock(tmp_path: Path) -> None:
    with bench(tmp_path):
        said = json.loads(
            hil(tmp_path, "connect", "bench.yaml", "--samples", "3", "--scenario", "element", "--json")
        )
    (row,) = said["scenarios"]
    assert not said["emulated"]
    assert (row["provenance"], row["clock"], row["source"]) == ("measured", "wall", "console timestamps")
    assert (row["n"], row["timeouts"], row["band"]) == (3, 0, None)
    assert 300 < row["min"] <= row["median"] <= row["p90"] <= row["p95"] <= row["max"]
    assert row["findings"] == []
    endpoint = row["endpoint"]
    assert (endpoint["clock"], endpoint["n"]) == ("the endpoint's own stamps", 3)
    assert 200 < endpoint["server_flight_to_client_flight"] < row["max"]
    assert abs(endpoint["largest_lag_of_the_console"]) < endpoint["tolerance"] == 10_000
    assert (said["element"], said["revision"]) == ("atecc508a", "00005000")


@pytest.mark.long
def test_costs_learned_behind_a_pty_are_those_of_the_board(tmp_path: Path) -> None:
    with bench(tmp_path):
        hil(tmp_path, "costs", "learn", "bench.yaml", "--samples", "5", "--base", "esp8266-80mhz")
    check_learned(tmp_path / "rigs" / "boards" / "learned-bench.yaml", clock="wall", tolerance=0.2)


def check_learned(path: Path, *, clock: str, tolerance: float) -> None:
    model: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    learned, operations = model["learned"], model["sources"]["learned"]["operations"]
    assert (learned["element"], learned["revision"]) == ("atecc508a", "00005000")
    assert (learned["clock"], learned["samples"]) == (clock, 5)
    assert "2.20" in learned["firmware"] or learned["firmware"] != "unknown"
    for name, minstructions in (("p256_verify", 30.2), ("p256_sign", 9.4), ("rsa2048_sign", 270.6)):
        entry = operations[name]
        assert entry["n"] >= 5
        assert entry["p95_ms"] >= entry["ms"]
        assert entry["ms"] == pytest.approx(minstructions * 1e3 * CPI / 80, rel=tolerance), name
    # 508A: typical 42 ms, at most 60; on the wall clock a busy computer adds what it likes.
    assert 42 <= model["chip"]["Sign"]["ms"] <= (60 if clock == "virtual" else 90)


def test_an_approved_baseline_is_what_the_suite_compares_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    here("connect", "--samples", "9", "--tls", "1.2", "--scenario", "element", "--approve", "QA", RIG)
    ours = ("suites/connect", "-k", "baseline", "--rig", RIG)
    code, run = run_suites(tmp_path / "same", *ours, home=tmp_path / "home")
    assert (code, [test.verdict for test in run.tests]) == (0, [Verdict.PASS])
    code, run = run_suites(tmp_path / "slow", *ours, "--fault", "slow-element", home=tmp_path / "home")
    assert (code, [test.verdict for test in run.tests]) == (1, [Verdict.FAIL])
    assert "element, TLS 1.2 | connect time: slower by" in run.tests[0].reason


def test_a_twin_with_learned_costs_takes_as_long_as_the_rig_that_taught_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIL_HOME", str(tmp_path / "home"))
    quick_rig(tmp_path)
    command = ("connect", "--samples", "9", "--tls", "1.2", "--json")
    scenarios = ("--scenario", "element", "--scenario", "software-ecc")
    taught = json.loads(here(*command, *scenarios, "served.yaml"))
    said = here(
        "costs", "learn", "served.yaml", "--samples", "5", "--base", "esp8266-80mhz",
        "--out", "boards/learned-served.yaml",
    )  # fmt: skip
    assert "still a prediction, nothing was measured" in said
    check_learned(tmp_path / "boards" / "learned-served.yaml", clock="virtual", tolerance=0.15)
    rig = (tmp_path / "served.yaml").read_text(encoding="utf-8")
    rig = rig.replace(f"cost_model: quick\n  cpi: {CPI}", "cost_model: learned-served").replace(
        "served\n", "twin\n", 1
    )
    (tmp_path / "twin.yaml").write_text(rig.replace("emu://served/", "emu://twin/"), encoding="utf-8")
    twin = json.loads(here(*command, *scenarios, "twin.yaml"))
    report = Path(taught["report"]).read_text(encoding="utf-8")
    assert "fitted inputs: execution time of GenKey public" in report
    assert "the claim is accepted on physical rigs only" in report
    for before, after in zip(taught["scenarios"], twin["scenarios"], strict=True):
        assert after["provenance"] == "predicted"
        assert after["median"] == pytest.approx(before["median"], rel=0.1), after["scenario"]
