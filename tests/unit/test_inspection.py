"""What an open intent came to, read back from an emulated element; the words must not claim more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hil.element import irreversible, irreversible_state
from hil.errors import DeviceError
from hil.guard.ledger import LedgerEntry
from hil.guard.operations import Operation
from hil.rig.inspection import inspect

from .test_element_on_chip import SCALARS, Bench, allow, configure, contents, make, provision

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = make("atecc508a")
    yield made
    made.world.close()


def look(bench: Bench, operation: Operation | str, **fields: Any) -> tuple[str, bool]:
    entry = LedgerEntry("intent", 1, 0.0, {"operation": str(operation), **fields})
    inspection = inspect(bench.element, entry)
    return inspection.found, inspection.certain


def test_a_configuration_that_was_not_written_half_written_and_written(bench: Bench) -> None:
    intended = bench.config.onto(bench.element.config)
    fields = {"config": intended.to_bytes().hex()}
    untouched, certain = look(bench, Operation.WRITE_CONFIG, **fields)
    assert certain
    assert "differs from what was intended" in untouched
    irreversible.write_config(bench.element, intended, allow(Operation.WRITE_CONFIG))
    assert look(bench, Operation.WRITE_CONFIG, **fields) == (
        "the configuration zone holds what was intended", True
    )  # fmt: skip
    raw = bytearray(intended.to_bytes())
    raw[92] ^= 0x01
    found, certain = look(bench, Operation.WRITE_CONFIG, config=bytes(raw).hex())
    assert certain
    assert "in 1 fields (intended → found), first" in found
    assert look(bench, Operation.WRITE_CONFIG)[1] is False, "nobody wrote down what was intended"


def test_a_configuration_lock(bench: Bench) -> None:
    fields = {"config": bench.config.onto(bench.element.config).to_bytes().hex()}
    assert look(bench, Operation.LOCK_CONFIG, **fields) == (
        "the configuration zone is open: nothing was locked", True
    )  # fmt: skip
    configure(bench)
    assert look(bench, Operation.LOCK_CONFIG, **fields) == (
        "the configuration zone is locked, holds what was intended", True
    )  # fmt: skip


def test_a_data_lock_and_a_slot_lock(bench: Bench) -> None:
    configure(bench)
    assert look(bench, Operation.LOCK_DATA) == ("the data zone is open: nothing was locked", True)
    assert look(bench, Operation.LOCK_SLOT, slot=10) == ("slot 10 is open: it was not locked", True)
    irreversible.lock_slot(bench.element, 10, allow(Operation.LOCK_SLOT, 10))
    assert look(bench, Operation.LOCK_SLOT, slot=10) == ("slot 10 is locked", True)
    bench.chip.memory.set_config(86, b"\0")
    assert look(bench, Operation.LOCK_DATA) == ("the data zone is locked", True)


def test_a_key(bench: Bench) -> None:
    provision(bench)
    assert look(bench, Operation.WRITE_PRIVATE_KEY, slot=0) == (
        "slot 0 tells no public key: it holds no complete key", True
    )  # fmt: skip
    kek = contents(bench.config)[4][:32]
    permit = allow(Operation.WRITE_PRIVATE_KEY, 0)
    public = irreversible.write_private_key(bench.element, 0, SCALARS[0], permit, write_key=kek)
    for operation in (Operation.WRITE_PRIVATE_KEY, Operation.GENERATE_KEY):
        assert look(bench, operation, slot=0, public_key=public.hex()) == (
            "slot 0 holds the intended key", True
        )  # fmt: skip
        other, certain = look(bench, operation, slot=0, public_key=bytes(64).hex())
        assert certain
        assert other == f"slot 0 holds another key, {public.hex()}"
        unsure, certain = look(bench, operation, slot=0)
        assert not certain, "a key that is there may have been there before"
        assert public.hex() in unsure


def test_a_counter_with_and_without_what_it_was_before(bench: Bench) -> None:
    before = {"before": bench.element.read_config().hex()}
    configure(bench)
    assert look(bench, Operation.COUNTER, **before) == (
        "counter 0 is 0, counter 1 is 0: nothing was counted", True
    )  # fmt: skip
    irreversible_state.increment_counter(bench.element, 1, allow(Operation.COUNTER))
    assert look(bench, Operation.COUNTER, **before) == (
        "counter 0 is 0, counter 1 is 1: it was counted", True
    )  # fmt: skip
    assert look(bench, Operation.COUNTER) == ("counter 0 is 0, counter 1 is 1", False)


def test_user_extra(bench: Bench) -> None:
    configure(bench)
    assert look(bench, Operation.UPDATE_EXTRA) == ("UserExtra is 00, Selector is 00", True)
    irreversible_state.update_extra(bench.element, 0x42, allow(Operation.UPDATE_EXTRA))
    assert look(bench, Operation.UPDATE_EXTRA) == ("UserExtra is 42, Selector is 00", True)


def test_a_slot_and_the_otp_zone_before_and_behind_the_data_lock(bench: Bench) -> None:
    configure(bench)
    assert look(bench, Operation.WRITE_SLOT, slot=11) == (
        "slot 11 cannot be read; write it again to be sure", False
    )  # fmt: skip
    assert look(bench, Operation.WRITE_OTP) == (
        "the OTP zone cannot be read before it is locked; write it again", False
    )  # fmt: skip
    bench.chip.memory.set_config(86, b"\0")
    found, certain = look(bench, Operation.WRITE_SLOT, slot=11)
    assert found.startswith("slot 11 begins with ")
    assert not certain, "what is there may have been there before"
    assert look(bench, Operation.WRITE_OTP) == (f"the OTP zone reads {'ff' * 64}", True)


@pytest.mark.parametrize("operation", [Operation.DERIVE_KEY, Operation.KDF_INTO_SLOT, "something newer"])
def test_what_leaves_nothing_to_read_is_not_guessed(bench: Bench, operation: Operation | str) -> None:
    assert look(bench, operation, slot=5) == (f"{operation} leaves nothing that can be read", False)


def test_an_element_that_does_not_answer_is_no_answer(bench: Bench) -> None:
    bench.chip.power_off()
    with pytest.raises(DeviceError):
        look(bench, Operation.LOCK_CONFIG)
