from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec

from hil.clock import World
from hil.cloud.bulk import Candidate, Fate, Pace, register_all
from hil.cloud.cleanup import clean_up
from hil.cloud.devicepolicy import device_policy
from hil.cloud.ledger import Ledger
from hil.cloud.ownca import OwnCa
from hil.cloud.registration import Registrar
from hil.cloud.session import CloudSession
from hil.errors import ConfigError
from hil.rigfile import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CA = OwnCa("hil test maker")


def candidate(name: str) -> Candidate:
    return Candidate(name, CA.issue(name, ec.generate_private_key(ec.SECP256R1()).public_key()))


class Bench:
    def __init__(self, session: CloudSession) -> None:
        self.session = session
        self.registrar = Registrar(session, Ledger())
        self.policy = self.registrar.ensure_policy("p", device_policy("123456789012", "us-east-1"))
        self.world = World()
        self.seen: list[Fate] = []

    def run(self, candidates: Any, **options: Any) -> Any:
        self.seen = []
        return register_all(
            self.registrar,
            candidates,
            policy=self.policy,
            clock=self.world,
            progress=self.seen.append,
            **options,
        )

    def fail(self, operation: str, answers: Callable[[int], str | None]) -> None:
        """Let a call answer with errors: ``answers`` gives the error of the n-th call, or None."""
        count = 0

        def handler(**_: Any) -> None:
            nonlocal count
            count += 1
            code = answers(count)
            if code is not None:
                raise ClientError({"Error": {"Code": code, "Message": "said the test"}}, operation)

        self.session.iot.meta.events.register(f"before-call.iot.{operation}", handler)

    def ready(self) -> list[str]:
        things = self.session.iot.list_things()["things"]
        return sorted(
            thing["thingName"]
            for thing in things
            if self.session.iot.list_thing_principals(thingName=thing["thingName"])["principals"]
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    with CloudSession(Cloud()) as session:
        yield Bench(session)


def test_every_good_device_is_registered_whatever_stands_between(bench: Bench) -> None:
    report = bench.run(
        [
            candidate("a"),
            Candidate("b", None, "the signature of the entry is wrong"),
            Candidate("c", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            candidate("d with a blank"),
            candidate("e"),
            candidate("a"),
        ]
    )
    outcomes = [(fate.identity, fate.outcome) for fate in bench.seen]
    assert outcomes == [
        ("a", "registered"),
        ("b", "bad"),
        ("c", "bad"),
        ("d with a blank", "refused"),
        ("e", "registered"),
        ("a", "bad"),
    ]
    assert bench.ready() == ["hil-a", "hil-e"]
    assert report.counts == {"registered": 2, "bad": 3, "refused": 1}
    reasons = [fate.reason for fate in report.problems]
    assert reasons[0] == "the signature of the entry is wrong"
    assert "not a PEM certificate" in reasons[1]
    assert "InvalidRequestException" in reasons[2]
    assert reasons[3] == "another entry has the same name"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([candidate("a")], 0),
        ([], 0),
        ([candidate("a"), Candidate("b", None)], 16),
        ([Candidate("b", None), candidate("no good name!")], 17),
    ],
)
def test_the_exit_code_tells_whether_anything_is_missing(
    bench: Bench, entries: list[Candidate], code: int
) -> None:
    assert bench.run(entries).exit_code == code


def test_throttling_is_waited_out_with_growing_waits_on_the_clock(bench: Bench) -> None:
    bench.fail("RegisterCertificateWithoutCA", lambda call: "ThrottlingException" if call <= 4 else None)
    report = bench.run([candidate("a")])
    assert report.counts == {"registered": 1}
    assert bench.seen[0].attempts == 5
    least = 500_000 * (1 + 2 + 4 + 8)
    assert least <= bench.world.now <= 1.5 * least


def test_the_waits_are_the_same_in_every_run_with_the_same_seed(bench: Bench) -> None:
    bench.fail("RegisterCertificateWithoutCA", lambda call: "ThrottlingException" if call % 3 else None)
    bench.run([candidate("a")])
    first = bench.world.now
    bench.run([candidate("b")])
    assert bench.world.now == 2 * first
    bench.run([candidate("c")], seed=1)
    assert bench.world.now != 3 * first


def test_an_interruption_in_the_middle_of_a_device_is_made_good(bench: Bench) -> None:
    bench.fail("AttachThingPrincipal", lambda call: "ServiceUnavailableException" if call == 1 else None)
    report = bench.run([candidate("a")])
    assert report.counts == {"registered": 1}
    assert bench.ready() == ["hil-a"]
    kinds = [entry.kind for entry in bench.registrar.ledger.standing()]
    assert sorted(kinds) == ["certificate", "policy", "policy-attachment", "thing", "thing-attachment"]


def test_a_cloud_that_stays_busy_ends_the_run_and_another_run_goes_on(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    devices = [candidate(f"d{number}") for number in range(5)]
    bench.fail(
        "RegisterCertificateWithoutCA",
        lambda call: "ThrottlingException" if 3 <= call <= 5 else None,
    )
    report = bench.run(devices, record=record, pace=Pace(attempts=3))
    assert report.counts == {"registered": 2}
    assert "ThrottlingException" in report.stopped
    assert report.exit_code == 17
    report = bench.run(devices, record=record, pace=Pace(attempts=3))
    assert report.counts == {"kept": 2, "registered": 3}
    assert report.exit_code == 0
    assert [json.loads(line)["identity"] for line in record.read_text().splitlines()] == [
        f"d{number}" for number in range(5)
    ]


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnauthorizedException", "LimitExceededException"])
def test_what_no_device_can_overcome_ends_the_run_at_once(bench: Bench, code: str) -> None:
    bench.fail("RegisterCertificateWithoutCA", lambda call: code)
    report = bench.run([candidate("a"), candidate("b")])
    assert report.stopped
    assert bench.seen == []
    assert bench.world.now == 0


def test_a_device_that_got_another_certificate_is_registered_again(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    bench.run([candidate("a")], record=record)
    report = bench.run([candidate("a")], record=record)
    assert report.counts == {"registered": 1}


def test_bad_and_refused_devices_are_tried_again(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    good = candidate("a")
    bench.run([Candidate("a", None, "not verified")], record=record)
    bench.fail("CreateThing", lambda call: "InvalidRequestException" if call == 1 else None)
    assert bench.run([good], record=record).counts == {"refused": 1}
    assert bench.run([good], record=record).counts == {"registered": 1}


def test_half_a_line_in_the_record_is_cut_off(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    devices = [candidate("a"), candidate("b")]
    bench.run(devices[:1], record=record)
    record.write_bytes(record.read_bytes() + b'{"identity": "b", "outcome": "regis')
    assert bench.run(devices, record=record).counts == {"kept": 1, "registered": 1}
    assert bench.run(devices, record=record).counts == {"kept": 2}


def test_a_record_that_is_none_is_refused_before_anything_is_registered(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text("something else\n")
    with pytest.raises(ConfigError, match=r"record\.jsonl:1"):
        bench.run([candidate("a")], record=record)
    assert bench.ready() == []


def test_the_pace_is_kept_on_the_clock(bench: Bench) -> None:
    bench.run([candidate(name) for name in "abc"], pace=Pace(per_second=2))
    assert bench.world.now == 1_000_000


def test_candidates_are_taken_one_by_one(bench: Bench) -> None:
    alive = 0

    def lazy() -> Iterator[Candidate]:
        nonlocal alive
        for number in range(4):
            assert len(bench.seen) == number, "the one before is done"
            alive += 1
            yield candidate(f"d{number}")

    bench.run(lazy())
    assert alive == 4


def test_what_was_registered_in_bulk_is_cleaned_up_by_the_ledger(bench: Bench) -> None:
    bench.run([candidate(f"d{number}") for number in range(30)])
    fates = clean_up(bench.session, bench.registrar.ledger)
    assert {fate.outcome for fate in fates} == {"deleted"}
    assert len(fates) == 4 * 30 + 1
    assert bench.session.iot.list_certificates()["certificates"] == []
