"""Each fault fails the suite that owns it, in words to act on; what stands on it is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.emulator.faults import FAULTS
from hil.emulator.partfaults import PART_FAULTS
from hil.errors import RigError
from hil.measure.verdict import Verdict
from hil.suitegraph import SUITES, blockers
from tests.e2e.suite_runs import run_suites
from tests.e2e.test_bad_firmware import CASES

if TYPE_CHECKING:
    from pathlib import Path

    from hil.records.model import Run

WORDS = {
    "sda-scl-swapped": ["SDA and SCL are swapped", "XPRO 11 (yellow)", "XPRO 12 (white)"],
    "element-unpowered": ["no power at the element or a broken line", "VCC 3V3–XPRO 20 (red)"],
    "relay-stuck-off": ["the relay was switched on and the board stayed silent", "NO contact"],
    "relay-stuck-on": ["the board never lost its power", "contact welded", "NC contact"],
    "relay-contact-open": ["the board stayed silent", "NO contact", "the supply behind the contact"],
    "ghost-power": ["TempKey survived the power cycle", "I2C pull-ups or the UART"],
    "board-reboots": ["the board restarted 2 times", "watchdog", "Check the supply"],
    "serial-garbage": ["noise on the serial line", "the ground wire between adapter and board"],
    "wrong-baud": ["the baud rate is not 115200", "check `baud`"],
    "wrong-board": ["has the MAC address 02:e0:7e:ff:ff:ff, the rig file names 02:e0:7e:00:50:8a"],
    "wrong-address": ["I2C.Scan found 106 (0x6a), not 96 (0x60)", "compare `address` in the rig file"],
    "bus-held-low": ["SDA is low when it should be high", "SDA D6–XPRO 11 (yellow) shorted to ground"],
    "foreign-device": ["somebody answers at 80 (0x50)", "another device hangs on the bus"],
    "weak-pull-ups": [
        "at 400 kHz every address seems to acknowledge",
        "pull-up resistors are missing or too weak",
    ],
    "flash-worn": ["does not match data in flash"],
    "lock-not-sticky": ["the configuration was locked and is open after a power cycle"],
    "config-write-after-lock": [
        "writing configuration bytes 20 to 23 was obeyed",
        "the configuration can be written again",
    ],
    "crc-not-checked": ["a Lock with a wrong checksum was obeyed"],
    "private-key-readable": ["slots that must stay secret can be read"],
    "dry-run-writes": ["the dry run changed", "X509format"],
    "wrong-key-in-slot": ["slot 0 holds another key than the one that was written"],
    "foreign-signer": ["signature"],
    "broker-refuses": ["no CONNACK", "or the broker refuses"],
    "slow-element": ["element: element-sign took", "the element is slower than its data sheet"],
    "software-fallback": ["ecdh: done in software although an element is there", "using sw ECDH"],
    "extra-sign": ["sign: slot 0 signed 2 times in a handshake"],
    "nagle-delay": ["mqtt: the CONNECT came", "It was held back", "set TCP_NODELAY"],
    "rsa-chain": ["verify: no signature of the server was verified in the element", "an RSA chain"],
    "time-not-set": ["connect: time not set", "check SNTP", "1970"],
}
PART_WORDS = {
    "nack": ["0x60 did not acknowledge the address"],
    "flipped-bit": ["CRC of a group of 35 bytes is"],
    "wrong-crc": ["CRC of a group of 35 bytes is"],
    "bad-count": ["count byte 0xA3 of an answer is out of range"],
    "watchdog-early": ["Read at 0x60", "no answer"],
    "reset-in-command": ["status 0x11", "the command before was lost"],
    "spurious-wake": ["traffic at 400 kHz wakes the element"],
    "status-05": ["status 0x05", "ECC fault"],
    "status-07": ["status 0x07", "self-test failed"],
    "status-08": ["status 0x08", "failed its health test"],
    "status-0f": ["status 0x0F", "not possible in the present state"],
    "status-ee": ["status 0xEE", "watchdog about to expire"],
    "status-ff": ["status 0xFF", "not parsed"],
    "power-lost-before-write": ["the answer was lost", "the element shows that nothing changed"],
    "power-lost-during-write": ["the answer was lost", "the element shows that nothing changed"],
    "power-lost-after-write": ["the answer to Write was lost", "nothing can tell whether it took effect"],
    "slow": ["GenKey at 0x60", "no answer"],
    "health-test-fails": ["status 0x08", "failed its health test"],
    "random-stuck": ["random generator repeats itself"],
    "random-repeats": ["random generator repeats itself"],
    "signature-nonce-reused": ["two signatures share r", "repeats its ECDSA nonce"],
}
"""Faults of the part itself: every suite would notice, so one of them is enough for the normal run."""
PHASES = ["suites/connect/test_connect_time.py", "-k", "phase"]
ALONE = {
    # They slow or shift a connect and leave every other suite as it is; one study of it says all.
    "slow-element": PHASES,
    "software-fallback": PHASES,
    "extra-sign": PHASES,
    "nagle-delay": PHASES,
    "rsa-chain": PHASES,
    "time-not-set": PHASES,
}
RIGS = {"foreign-signer": "emulated-edukit-trustgo"}


def verdicts(run: Run) -> dict[str, set[Verdict]]:
    found: dict[str, set[Verdict]] = {}
    for test in run.tests:
        found.setdefault(test.suite, set()).add(test.verdict)
    return found


def the_health_gate_ends_it(code: int, run: Run, words: list[str]) -> None:
    """A broken bench says nothing about the product: no test fails, and the exit code is another."""
    assert code == RigError.exit_code
    assert not any(test.verdict in (Verdict.PASS, Verdict.FAIL) for test in run.tests)
    said = " ".join(str(error) for error in run.rig_errors)
    for part in words:
        assert part in said


def test_every_fault_is_in_the_matrix() -> None:
    assert WORDS.keys() | PART_WORDS.keys() | CASES.keys() == FAULTS.keys()
    assert PART_WORDS.keys() == PART_FAULTS.keys()


def concerned(owner: str) -> list[str]:
    """Folders of the suite that owns a fault and of those that stand on it; a broken bench stops any."""
    names = [suite.name for suite in SUITES if owner in {suite.name, *blockers(suite.name)}]
    return [f"suites/{name}" for name in names or ["power"]]


@pytest.mark.parametrize("fault", WORDS)
def test_a_fault_is_caught_by_the_suite_that_owns_it(fault: str, tmp_path: Path) -> None:
    suites = ALONE.get(fault, concerned(FAULTS[fault].owner))
    the_owner_catches_it(fault, tmp_path, suites)


def test_signatures_that_give_the_key_away_are_caught_by_the_signing_suite(tmp_path: Path) -> None:
    the_owner_catches_it("signature-nonce-reused", tmp_path, ["suites/signing"])


@pytest.mark.long
@pytest.mark.parametrize("fault", [*WORDS, *PART_WORDS])
def test_nothing_but_what_stands_on_the_owner_takes_notice(fault: str, tmp_path: Path) -> None:
    the_owner_catches_it(fault, tmp_path, ALONE.get(fault, ["suites"]))


def the_owner_catches_it(fault: str, tmp_path: Path, suites: list[str]) -> None:
    rig = RIGS.get(fault, "emulated-esp8266-atecc508a")
    code, run = run_suites(tmp_path, *suites, "--rig", rig, "--fault", fault)
    owner = FAULTS[fault].owner
    if owner == "rig":
        the_health_gate_ends_it(code, run, WORDS[fault])
        return
    assert code == 1
    for suite, seen in verdicts(run).items():
        if suite == owner:
            assert Verdict.FAIL in seen
        elif owner in blockers(suite):
            assert seen <= {Verdict.BLOCKED, Verdict.SKIPPED}, suite
        else:
            assert seen <= {Verdict.PASS, Verdict.SKIPPED, Verdict.BLOCKED}, suite
    said = " ".join(test.reason for test in run.tests if test.verdict is Verdict.FAIL)
    for words in (WORDS | PART_WORDS)[fault]:
        assert words in said
    assert not run.rig_errors


@pytest.mark.long  # `tox -e suites` runs the same
def test_without_a_fault_every_suite_passes_on_every_rig(tmp_path: Path) -> None:
    code, run = run_suites(tmp_path, "--rig", "all")
    assert code == 0
    assert {test.verdict for test in run.tests} <= {Verdict.PASS, Verdict.SKIPPED}
    assert {suite.name for suite in SUITES} <= verdicts(run).keys()
