from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.clock import Calendar
from hil.cloud.ledger import Kind, Ledger
from hil.errors import CloudError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = {"account": "123456789012", "region": "us-east-1"}


def make(ledger: Ledger, kind: Kind, identity: str, **facts: str) -> None:
    with ledger.creating(kind, identity, **ACCOUNT) as receipt:
        receipt.facts.update(facts)


def test_what_was_created_stands_until_it_is_deleted() -> None:
    ledger = Ledger()
    make(ledger, "thing", "hil-1", thingId="t")
    (entry,) = ledger.standing()
    assert (entry.kind, entry.identity, entry.facts) == ("thing", "hil-1", {"thingId": "t"})
    ledger.deleted(entry)
    assert ledger.standing() == []


def test_what_hangs_on_something_is_deleted_before_it() -> None:
    ledger = Ledger()
    kinds: list[Kind] = ["ca", "policy", "thing", "certificate", "thing-attachment", "policy-attachment"]
    for kind in kinds:
        make(ledger, kind, kind)
    assert [entry.kind for entry in ledger.standing()] == list(reversed(kinds))


def test_a_refused_creation_leaves_nothing_to_delete_and_no_doubt() -> None:
    ledger = Ledger()
    with pytest.raises(CloudError), ledger.creating("thing", "hil-1", **ACCOUNT):
        raise CloudError("no")
    assert ledger.standing() == []
    assert ledger.unsure() == []


def test_what_existed_before_does_not_count_as_created() -> None:
    ledger = Ledger()
    with ledger.creating("thing", "hil-1", **ACCOUNT) as receipt:
        receipt.fresh = False
    assert ledger.standing() == []
    assert ledger.unsure() == []


def test_a_crash_in_the_middle_is_reported_as_unsure(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(KeyboardInterrupt), Ledger(path).creating("thing", "hil-1", **ACCOUNT):
        raise KeyboardInterrupt
    again = Ledger(path)
    assert again.standing() == []
    assert [entry.identity for entry in again.unsure()] == ["hil-1"]


def test_a_ledger_on_disk_reads_back_what_stood(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    first = Ledger(path, calendar=Calendar(1000.0))
    make(first, "thing", "hil-1", thingId="t")
    make(first, "policy", "hil-p")
    first.deleted(first.find("policy")[0])
    second = Ledger(path)
    assert second.standing() == first.standing()
    assert second.standing()[0].at == 1000.0
    make(second, "thing", "hil-2")
    assert [entry.identity for entry in Ledger(path).find("thing")] == ["hil-1", "hil-2"]


def test_half_a_line_of_a_killed_run_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    make(Ledger(path), "thing", "hil-1")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": "intended", "seri')
    ledger = Ledger(path)
    assert [entry.identity for entry in ledger.standing()] == ["hil-1"]
    assert path.read_bytes() == whole
    make(ledger, "thing", "hil-2")
    assert len(Ledger(path).standing()) == 2


def test_a_file_that_is_no_ledger_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    make(Ledger(path), "thing", "hil-1")
    with path.open("a") as file:
        file.write('{"something": "else"}\n')
    with pytest.raises(ConfigError, match=r"ledger\.jsonl:3: not a line of a cloud ledger"):
        Ledger(path)


def test_find_looks_at_facts() -> None:
    ledger = Ledger()
    make(ledger, "certificate", "a", key="1")
    make(ledger, "certificate", "b", key="2")
    assert [entry.identity for entry in ledger.find("certificate", key="2")] == ["b"]
    assert ledger.find("certificate", "a", key="2") == []
