"""A journal with one of everything, for the tests of its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.clock import Calendar
from hil.measure.measurement import Limit, Measured, Measurement, Measurements, Predicted
from hil.records.journal import Journal
from hil.records.rigevent import rig_fields
from hil.rigfile import load_rig

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

    from hil.measure.measurement import Provenance

RIG = "emulated-esp8266-atecc508a"
EDUKIT = "emulated-edukit-trustgo"
NOON = 1_750_000_000.0
MODEL = Predicted("atecc508a, esp8266-80mhz, rtt 5 ms")
ELEMENT = {
    "serial": "0123e07e00000508ee",
    "revision": "00005000",
    "config_locked": False,
    "data_locked": False,
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
    rig = load_rig(RIG)
    identities: dict[str, dict[str, Any]] = {
        "board": {"mac": "02:e0:7e:00:50:8a", "firmware": "hil 1.0"},
        "element": ELEMENT,
    }
    journal.event("rig", **rig_fields(rig, "open", "virtual", identities))
    journal.event("rig", **rig_fields(load_rig(EDUKIT), "open", "virtual", {}))


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
        for phase, outcome in (("intent", ""), ("result", "done")):
            journal.event(
                "irreversible",
                rig=RIG,
                serial="0123e07e00000508ee",
                operation="lock-config",
                slot=None,
                phase=phase,
                outcome=outcome,
                emulated=True,
            )
        journal.event(
            "rig-error",
            rig=EDUKIT,
            error="RelayError",
            message="the relay on emu://emulated-edukit-trustgo/relay does not answer",
            hint="check the USB cable of the relay",
        )
        journal.event(
            "rig",
            **rig_fields(load_rig(RIG), "close", "virtual", {"element": {**ELEMENT, "config_locked": True}}),
        )
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
