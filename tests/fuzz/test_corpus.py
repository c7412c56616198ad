"""The corpus replayed: nothing impossible happens, and it still reaches what it was collected for."""

from __future__ import annotations

import pytest

from hil.wire.atecc import Opcode
from tests.fuzz import corpus, targets
from tests.fuzz.targets import TARGETS
from tests.unit.chip_oracle import ANSWERS


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_breaks_its_target(target: str) -> None:
    inputs = corpus.read(target)
    assert len(inputs) > 100
    for data in inputs:
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"{target} is broken by {data.hex()}") from error


@pytest.mark.parametrize("family", ["atecc508a", "atecc608"])
def test_the_corpus_has_every_command_carried_out_and_every_one_refused(family: str) -> None:
    done: set[int] = set()
    refused: set[int] = set()
    for target in ("chip-packets", "chip-bus"):
        for data in corpus.read(target):
            TARGETS[target](data)
            for name, line in targets.executed():
                if name.startswith(family) and line.command is not None:
                    status = line.response[1] if len(line.response) == 4 else 0
                    (refused if status in (0x03, 0x0F) else done).add(line.command.opcode)
    lacking = {Opcode.HMAC, Opcode.PAUSE} if family == "atecc608" else {
        Opcode.AES, Opcode.KDF, Opcode.SECUREBOOT, Opcode.SELFTEST,
    }  # fmt: skip
    assert refused >= set(Opcode)
    assert done >= set(Opcode) - lacking - {Opcode.CHECKMAC, Opcode.VERIFY, Opcode.SECUREBOOT}, done
    assert set(ANSWERS) <= set(Opcode)
