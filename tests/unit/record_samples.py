"""A journal with one of everything, for the tests of its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.clock import Calendar
from hil.measure.measurement import Limit, Measured, Measurement, Measurements, Predicted
from hil.records.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

    from hil.measure.measurement import Provenance

RIG = "emulated-esp8266-atecc508a"
EDUKIT = "emulated-edukit-trustgo"
NOON = 1_750_000_000.0
MODEL = Predicted("atecc508a, esp8266-80mhz, rtt 5 ms")
WIRING = [
    {"signal": "SDA", "gpio": 12, "board_pin": "D6", "element_pin": 5, "xpro_pin": 11, "colour": "yellow"},
    {"signal": "SCL", "gpio": 14, "board_pin": "D5", "element_pin": 6, "xpro_pin": 12, "colour": "white"},
    {"signal": "GND", "board_pin": "GND", "element_pin": 4, "xpro_pin": 19, "colour": "black"},
    {"signal": "VCC", "board_pin": "3V3", "element_pin": 8, "xpro_pin": 20, "colour": "red"},
]
ELEMENT = {
    "serial": "0123e07e00000508ee",
    "revision": "00005000",
    "config_locked": False,
    "data_locked": False,
}
IMAGE = {
    "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "offset": 0x1000,
    "size": 80,
    "chip": "esp8266",
    "mac": "02:e0:7e:00:50:8a",
}


def begin(folder: Path) -> Journal:
    """A journal with its header, as every run has."""
    journal = Journal(folder, Calendar(NOON))
    journal.event(
        "run-start",
        format=1,
        run=folder.name,
        command=["pytest", "--rig", RIG],
        versions={"python": "3.11.7", "atecc-hil": "0.1.0"},
        by={"operator": "ada"},
        host={"name": "bench-pc", "system": "Linux 6.1"},
        suites={"commit": "b01de5e985aeb5b9d8e276cd33979c31e0427c25", "dirty": True},
        faults=["sda-scl-swapped"],
    )
    return journal


def open_rigs(journal: Journal) -> None:
    """Two emulated rigs."""
    journal.event("rig", **rig(RIG, "open", ELEMENT), wiring=WIRING, description="NodeMCU (emulated)")
    journal.event("rig", **rig(EDUKIT, "open", {}))


def rig(name: str, phase: str, element: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``rig`` event."""
    board = {"mcu": "esp8266", "mac": "02:e0:7e:00:50:8a"}
    rows = (
        ("board", "mongoose-os", f"emu://{name}/board", board),
        ("element", "atecc508a", "", element),
        ("power", "lcus", f"emu://{name}/relay", {"channel": 1}),
        ("cloud", "moto", "", {"account": "123456789012"}),
    )
    parts = [
        {"part": part, "kind": kind, "physical": False, "port": port, "identity": identity}
        for part, kind, port, identity in rows
    ]
    return {"rig": name, "phase": phase, "emulated": True, "clock": "virtual", "parts": parts}


def passing(journal: Journal, test: str, suite: str, us: int, rig: str = RIG, verdict: str = "pass") -> None:
    """One test that takes ``us`` on the rig's clock."""
    journal.event("test-start", test=test, suite=suite, rig=rig, requirements=[f"HIL-{suite.upper()}-001"])
    journal.event(
        "test-end", test=test, verdict=verdict, wall_us=us // 20 + 900, clock_us=us, clock="virtual"
    )


def measured(
    journal: Journal,
    test: str,
    value: float | None,
    limit: Limit,
    provenance: Provenance = MODEL,
    **extra: str,
) -> Measurement:
    """One measurement of a test."""
    clock: Literal["virtual", "wall"] = "wall" if isinstance(provenance, Measured) else "virtual"
    measurements = Measurements(
        clock, provenance, lambda m: journal.event("measurement", test=test, **{**m.fields(), **extra})
    )
    measurements.declare("connect time", "ms", limit, key=True)
    if value is not None:
        measurements.record("connect time", value)
    measurements.close()
    return measurements.finished[0]


def mixed(folder: Path) -> Path:
    """A run with every verdict, a rig error, a block and irreversible operations."""
    with begin(folder) as journal:
        journal.event("worker-start", worker="gw0", pid=4711)
        open_rigs(journal)
        passing(journal, f"suites/power/test_power.py::test_the_relay_cuts_power[{RIG}]", "power", 2_310_000)
        passing(
            journal, f"suites/power/test_power.py::test_the_boot_log_says_power_on[{RIG}]", "power", 640_000
        )
        failing(journal)
        passing(
            journal, f"suites/wiring/test_wiring.py::test_the_pins_are_the_rig_files[{RIG}]", "wiring", 38_000
        )
        connect = f"suites/connect/test_connect.py::test_connect_time[{RIG}]"
        journal.event("test-start", test=connect, suite="connect", rig=RIG, requirements=["HIL-CONN-003"])
        measured(journal, connect, 946.3, Limit(high=1000, warn_high=900))
        steps = (("TCP connect", 5_000), ("server flight", 60_900), ("ECDH", 50_100), ("Sign", 67_960))
        now = 5_000_000
        for title, us in steps:
            journal.event(
                "step", test=connect, title=title, start_us=now, duration_us=us, wall_us=40, rig=RIG
            )
            now += us
        journal.event(
            "test-end",
            test=connect,
            verdict="pass with warnings",
            wall_us=61_000,
            clock_us=946_300,
            clock="virtual",
            warnings=["connect time 946.3 ms is above 900 ms"],
            account={"chip": 281_000, "mcu": 402_000, "bus": 133_000, "network": 40_000, "wake": 90_300},
        )
        journal.event("suite-blocked", suite="locks", rig=RIG, by="wiring", reason="suite wiring failed")
        blocked = f"suites/locks/test_locks.py::test_dry_run_touches_nothing[{RIG}]"
        journal.event(
            "skip", test=blocked, suite="locks", rig=RIG, verdict="blocked", reason="suite wiring failed"
        )
        skipped = f"suites/signing/test_signing.py::test_signatures_verify[{EDUKIT}]"
        reason = f"{EDUKIT} has no sign (signing any digest with a key of the element)"
        journal.event("skip", test=skipped, suite="signing", rig=EDUKIT, reason=reason)
        passing(
            journal,
            f"suites/certificates/test_chain.py::test_the_chain[{EDUKIT}]",
            "certificates",
            412_000,
            EDUKIT,
        )
        for number, slot in ((1, 0), (2, 4), (3, None)):
            operation = {
                "rig": RIG,
                "serial": ELEMENT["serial"],
                "slot": slot,
                "intent": number,
                "emulated": True,
            }
            name = "lock-config" if slot is None else "write-slot"
            journal.event("irreversible", **operation, operation=name, phase="intent", actions=["Write …"])
            if slot is not None:
                journal.event("irreversible", **operation, operation=name, phase="done", actions=[])
        written = {**IMAGE, "rig": RIG, "emulated": True}
        journal.event("flash", **written, phase="intent")
        journal.event("flash", **written, phase="done", flash_size=4 << 20, read_back=IMAGE["sha256"])
        journal.event("flash", **{**written, "rig": EDUKIT}, phase="intent")
        journal.event(
            "rig-error",
            rig=EDUKIT,
            error="RelayError",
            message="the relay on emu://emulated-edukit-trustgo/relay does not answer",
            hint="check the USB cable of the relay",
        )
        journal.event("rig-aside", rig=EDUKIT, reason="the relay does not answer")
        journal.event("rig", **rig(RIG, "close", {**ELEMENT, "config_locked": True}))
        journal.end(exit_status=1)
    return folder


def failing(journal: Journal) -> None:
    """A wiring test that failed, with evidence."""
    test = f"suites/wiring/test_wiring.py::test_only_the_element_answers_on_the_bus[{RIG}]"
    journal.event("test-start", test=test, suite="wiring", rig=RIG, requirements=["HIL-WIRE-001"])
    journal.event(
        "step", test=test, title="I2C.Scan", start_us=3_000_000, duration_us=41_200, depth=0, outcome="done",
        detail="[]", rig=RIG,
    )  # fmt: skip
    journal.event(
        "step", test=test, title="I2C.Scan with exchanged pins", start_us=3_050_000, duration_us=43_900, 
        depth=1, rig=RIG, detail="[96]",
    )  # fmt: skip
    journal.attach(
        "console.txt",
        "[  0.003] ets Jan  8 2013,rst cause:1, boot mode:(3,6)\n"
        "[  0.412] mgos_init            Mongoose OS 2.20\n"
        "[  0.448] mgos_i2c_gpio_master I2C GPIO init ok (SDA: 14, SCL: 12, freq: 100000)\n"
        "[  0.502] mgos_atca            ATECC508A @ 0/0x60: not found <script>alert('console')</script>\n",
        test=test,
    )
    journal.attach(
        "i2c trace.txt",
        "   3.000120  W 60  no acknowledge\n   3.002310  W 00  wake\n   3.004830  R 60  no acknowledge\n",
        test=test,
    )
    journal.event(
        "test-end",
        test=test,
        verdict="fail",
        reason="the scan found [], not [96]",
        cause="SDA and SCL are swapped: with the pins exchanged in the firmware's configuration, 96 answers. "
        "Exchange the yellow and the white wire at D6 and D5.",
        trace="suites/wiring/test_wiring.py:21: AssertionError\nassert [] == [96]",
        wall_us=12_400,
        clock_us=98_400,
        clock="virtual",
    )
