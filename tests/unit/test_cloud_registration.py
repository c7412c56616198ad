from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hil.cloud.cleanup import clean_up
from hil.cloud.devicepolicy import device_policy
from hil.cloud.ledger import Ledger
from hil.cloud.local.control import LocalCloud
from hil.cloud.ownca import OwnCa
from hil.cloud.pem import load_certificate, to_der
from hil.cloud.registration import Registrar, Registration
from hil.cloud.registry import certificate_id
from hil.cloud.session import CloudSession
from hil.errors import CertificateError, CloudError, UsageError
from hil.rigfile import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def session() -> Iterator[CloudSession]:
    with CloudSession(Cloud()) as session:
        yield session


class Bench:
    """A device's key with everything that can register it."""

    def __init__(self, session: CloudSession) -> None:
        self.session = session
        self.iot = session.iot
        self.ledger = Ledger()
        self.registrar = Registrar(session, self.ledger)
        self.policy = self.registrar.ensure_policy("devices", device_policy("123456789012", "us-east-1"))
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca = OwnCa()

    @property
    def csr(self) -> str:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test-device")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def by_csr(self) -> Registration:
        return self.registrar.from_csr(self.csr, thing="one", policy=self.policy)

    def by_own_ca(self) -> Registration:
        self.registrar.ensure_ca(self.ca.pem, self.ca.prove)
        return self.registrar.with_own_ca(self.issued, ca_pem=self.ca.pem, thing="one", policy=self.policy)

    def by_nobody(self) -> Registration:
        return self.registrar.without_ca(self.issued, thing="one", policy=self.policy)

    _issued: str | None = None

    @property
    def issued(self) -> str:
        if self._issued is None:
            self._issued = self.ca.issue("test-device", self.key.public_key())
        return self._issued

    def status(self, registration: Registration) -> str:
        answer = self.iot.describe_certificate(certificateId=registration.certificate_id)
        return answer["certificateDescription"]["status"]

    def is_ready(self, registration: Registration) -> bool:
        record = self.session.registry.certificate(registration.certificate_id)
        return (
            record is not None
            and record.status == "ACTIVE"
            and len(record.policies) == 1
            and [thing.name for thing in record.things] == [registration.thing]
        )


@pytest.fixture
def bench(session: CloudSession) -> Bench:
    return Bench(session)


WAYS: list[tuple[str, Callable[[Bench], Registration]]] = [
    ("csr", Bench.by_csr),
    ("own-ca", Bench.by_own_ca),
    ("without-ca", Bench.by_nobody),
]


@pytest.mark.parametrize(("way", "register"), WAYS)
def test_every_way_of_a_device_s_own_key_ends_ready_with_that_key(
    bench: Bench, way: str, register: Callable[[Bench], Registration]
) -> None:
    registration = register(bench)
    assert registration.way == way
    assert registration.thing == "hil-one"
    assert registration.policy == "hil-devices"
    assert registration.endpoint == bench.session.endpoint()
    assert registration.private_key_pem is None
    certificate = load_certificate(registration.pem)
    assert certificate.public_key() == bench.key.public_key()
    assert registration.certificate_id == certificate_id(to_der(certificate))
    assert bench.is_ready(registration)


def test_the_cloud_s_own_key_comes_with_its_certificate_and_is_not_printed(bench: Bench) -> None:
    registration = bench.registrar.from_aws_ca(thing="one", policy=bench.policy)
    assert registration.way == "aws-ca"
    assert registration.private_key_pem is not None
    key = serialization.load_pem_private_key(registration.private_key_pem.encode(), None)
    assert key.public_key() == load_certificate(registration.pem).public_key()
    assert "PRIVATE KEY" not in repr(registration)
    assert bench.is_ready(registration)


@pytest.mark.parametrize(("way", "register"), WAYS)
def test_running_a_way_again_changes_nothing(
    bench: Bench, way: str, register: Callable[[Bench], Registration]
) -> None:
    first = register(bench)
    standing = bench.ledger.standing()
    assert register(bench) == first
    assert bench.ledger.standing() == standing
    assert len(bench.iot.list_certificates()["certificates"]) == 1


@pytest.mark.parametrize(("way", "register"), WAYS)
def test_a_run_without_the_ledger_of_the_first_finds_what_is_there_and_does_not_own_it(
    bench: Bench, way: str, register: Callable[[Bench], Registration]
) -> None:
    first = register(bench)
    bench.ledger = Ledger()
    bench.registrar = Registrar(bench.session, bench.ledger)
    assert register(bench) == first
    assert bench.ledger.standing() == []
    assert clean_up(bench.session, bench.ledger) == []
    assert bench.is_ready(first)


def test_the_cloud_s_own_way_is_repeated_only_with_the_certificate_held(bench: Bench) -> None:
    first = bench.registrar.from_aws_ca(thing="one", policy=bench.policy)
    again = bench.registrar.from_aws_ca(thing="one", policy=bench.policy, held=first.pem)
    assert again.certificate_id == first.certificate_id
    assert again.private_key_pem is None
    bench.registrar.revoke(first.certificate_id)
    third = bench.registrar.from_aws_ca(thing="one", policy=bench.policy, held=first.pem)
    assert third.certificate_id != first.certificate_id
    assert third.private_key_pem is not None


@pytest.mark.parametrize(("way", "register"), WAYS)
def test_what_somebody_deactivated_or_detached_is_put_right(
    bench: Bench, way: str, register: Callable[[Bench], Registration]
) -> None:
    registration = register(bench)
    bench.registrar.deactivate(registration.certificate_id)
    bench.iot.detach_policy(policyName=registration.policy, target=registration.certificate_arn)
    assert not bench.is_ready(registration)
    assert register(bench) == registration
    assert bench.is_ready(registration)


def test_a_certificate_is_not_active_before_thing_and_policy_hang_on_it(bench: Bench) -> None:
    with pytest.raises(CloudError, match="attach hil-missing"):
        bench.registrar.from_csr(bench.csr, thing="one", policy="missing")
    (listed,) = bench.iot.list_certificates()["certificates"]
    assert listed["status"] == "INACTIVE"
    registration = bench.by_csr()
    assert registration.certificate_id == listed["certificateId"]


def test_a_revoked_certificate_is_never_activated_again(bench: Bench) -> None:
    registration = bench.by_nobody()
    bench.registrar.revoke(registration.certificate_id)
    with pytest.raises(CloudError, match="is revoked and stays so"):
        bench.by_nobody()
    with pytest.raises(CloudError, match="CertificateStateException"):
        bench.registrar.activate(registration.certificate_id)
    assert bench.status(registration) == "REVOKED"


def test_after_a_revocation_a_csr_gives_another_certificate(bench: Bench) -> None:
    first = bench.by_csr()
    bench.registrar.revoke(first.certificate_id)
    second = bench.by_csr()
    assert second.certificate_id != first.certificate_id
    assert bench.is_ready(second)


def test_a_chain_registers_its_first_certificate(bench: Bench) -> None:
    chain = "CN: device\r\nID: 1\r\n" + bench.issued + bench.ca.pem
    registration = bench.registrar.without_ca(chain, thing="one", policy=bench.policy)
    assert registration.certificate_id == certificate_id(to_der(load_certificate(bench.issued)))
    assert bench.by_nobody() == registration


def test_just_in_time_is_completed_into_the_same_result(bench: Bench) -> None:
    bench.registrar.ensure_ca(bench.ca.pem, bench.ca.prove, auto_registration=True)
    assert bench.session.local is not None
    record = bench.session.local.first_connect(to_der(load_certificate(bench.issued)))
    assert record is not None
    registration = bench.registrar.just_in_time(record.certificate_id, thing="one", policy=bench.policy)
    assert registration.way == "own-ca"
    assert bench.is_ready(registration)
    assert bench.by_own_ca() == registration


def test_ensure_ca_switches_automatic_registration_and_reactivates(bench: Bench) -> None:
    ca_id = bench.registrar.ensure_ca(bench.ca.pem, bench.ca.prove)
    bench.iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    assert bench.registrar.ensure_ca(bench.ca.pem, bench.ca.prove, auto_registration=True) == ca_id
    described = bench.iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]
    assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "ENABLE")


def test_a_ca_that_cannot_prove_its_key_is_refused_and_not_in_the_ledger(bench: Bench) -> None:
    before = bench.ledger.standing()
    with pytest.raises(CloudError, match="CertificateValidationException"):
        bench.registrar.ensure_ca(bench.ca.pem, OwnCa().prove)
    assert bench.ledger.standing() == before
    assert bench.ledger.unsure() == []


def test_a_policy_that_says_something_else_is_not_overwritten(bench: Bench) -> None:
    same = json.dumps(json.loads(device_policy("123456789012", "us-east-1")), indent=4)
    assert bench.registrar.ensure_policy("devices", same) == "hil-devices"
    with pytest.raises(CloudError, match="says something else"):
        bench.registrar.ensure_policy("devices", device_policy("123456789012", "eu-west-1"))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_text_that_is_no_certificate_is_said_to_be_none(bench: Bench, text: str) -> None:
    with pytest.raises(CertificateError):
        bench.registrar.without_ca(text, thing="one", policy=bench.policy)
    with pytest.raises(CertificateError):
        bench.registrar.from_csr(text, thing="one", policy=bench.policy)
    assert bench.iot.list_certificates()["certificates"] == []
    assert bench.iot.list_things()["things"] == []


# -- rotation -----------------------------------------------------------------------------------


def test_rotation_retires_the_old_certificate_after_the_new_one_has_proven_itself(bench: Bench) -> None:
    old = bench.by_csr()
    states: list[tuple[str, str]] = []

    def renew() -> Registration:
        return bench.registrar.from_csr(bench.csr, thing="one", policy=bench.policy, renew=True)

    new = bench.registrar.rotate(
        old, renew, lambda candidate: states.append((bench.status(old), bench.status(candidate)))
    )
    assert states == [("ACTIVE", "ACTIVE")]
    assert bench.is_ready(new)
    assert bench.status(old) == "INACTIVE"
    record = bench.session.registry.certificate(old.certificate_id)
    assert record is not None
    assert (record.policies, record.things) == ((), ())
    assert {fate.outcome for fate in clean_up(bench.session, bench.ledger)} == {"deleted"}


def test_a_new_certificate_that_does_not_work_leaves_the_old_one_in_place(bench: Bench) -> None:
    old = bench.by_csr()
    made: list[Registration] = []

    def renew() -> Registration:
        made.append(bench.registrar.from_csr(bench.csr, thing="one", policy=bench.policy, renew=True))
        return made[0]

    def fails(_: Registration) -> None:
        raise CloudError("no CONNACK")

    with pytest.raises(CloudError, match="no CONNACK"):
        bench.registrar.rotate(old, renew, fails)
    assert bench.is_ready(old)
    assert bench.status(made[0]) == "INACTIVE"


def test_a_certificate_cannot_replace_itself(bench: Bench) -> None:
    old = bench.by_csr()
    with pytest.raises(CloudError, match="cannot replace itself"):
        bench.registrar.rotate(old, bench.by_csr)
    assert bench.is_ready(old)


# -- clean-up -----------------------------------------------------------------------------------


def contents(session: CloudSession) -> dict[str, int]:
    iot = session.iot
    return {
        "certificates": len(iot.list_certificates()["certificates"]),
        "things": len(iot.list_things()["things"]),
        "policies": len(iot.list_policies()["policies"]),
        "cas": len(iot.list_ca_certificates()["certificates"]),
    }


def test_clean_up_deletes_all_that_was_created_and_nothing_else(bench: Bench) -> None:
    bench.iot.create_thing(thingName="hil-not-ours")
    bench.iot.create_keys_and_certificate(setAsActive=True)
    before = contents(bench.session)
    bench.by_own_ca()
    bench.registrar.from_csr(bench.csr, thing="two", policy=bench.policy)
    bench.registrar.from_aws_ca(thing="three", policy=bench.policy)
    fates = clean_up(bench.session, bench.ledger)
    assert {fate.outcome for fate in fates} == {"deleted"}
    assert contents(bench.session) == {**before, "policies": 0}
    assert bench.ledger.standing() == []
    assert clean_up(bench.session, bench.ledger) == []


def test_clean_up_leaves_what_others_hang_on_ours_and_says_why(bench: Bench) -> None:
    registration = bench.by_csr()
    bench.iot.create_thing(thingName="theirs")
    bench.iot.attach_thing_principal(thingName="theirs", principal=registration.certificate_arn)
    fates = {fate.entry.kind: fate for fate in clean_up(bench.session, bench.ledger)}
    assert fates["certificate"].outcome == "left"
    assert "Things must be detached" in fates["certificate"].reason
    assert fates["thing"].outcome == fates["policy"].outcome == "deleted"
    assert [entry.kind for entry in bench.ledger.standing()] == ["certificate"]
    bench.iot.detach_thing_principal(thingName="theirs", principal=registration.certificate_arn)
    assert [fate.outcome for fate in clean_up(bench.session, bench.ledger)] == ["deleted"]


def test_clean_up_spares_a_thing_and_a_policy_that_somebody_made_anew(bench: Bench) -> None:
    bench.registrar.ensure_thing("one")
    bench.iot.delete_thing(thingName="hil-one")
    bench.iot.create_thing(thingName="hil-one")
    bench.iot.delete_policy(policyName="hil-devices")
    document = device_policy("123456789012", "eu-west-1")
    bench.iot.create_policy(policyName="hil-devices", policyDocument=document)
    fates = {fate.entry.kind: fate for fate in clean_up(bench.session, bench.ledger)}
    assert fates["thing"].reason == "another thing has the name now"
    assert fates["policy"].reason == "its document is not the one that was created"
    assert contents(bench.session)["things"] == contents(bench.session)["policies"] == 1


def test_clean_up_takes_what_is_gone_already_as_done(bench: Bench) -> None:
    registration = bench.by_csr()
    iot = bench.iot
    iot.detach_thing_principal(thingName=registration.thing, principal=registration.certificate_arn)
    iot.delete_thing(thingName=registration.thing)
    outcomes = {fate.entry.kind: fate.outcome for fate in clean_up(bench.session, bench.ledger)}
    assert outcomes["thing-attachment"] == outcomes["thing"] == "gone"
    assert outcomes["certificate"] == "deleted"
    assert bench.ledger.standing() == []


def test_clean_up_in_another_account_is_refused(bench: Bench) -> None:
    bench.by_csr()
    with (
        CloudSession(Cloud(account_id="111122223333")) as other,
        pytest.raises(UsageError, match="belongs to"),
    ):
        clean_up(other, bench.ledger)
    assert len(bench.ledger.standing()) == 5


def test_plain_moto_s_certificate_for_a_csr_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(bench.session.local, LocalCloud)
    backend = bench.session.local.backend
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    issue = backend.issuer.issue
    monkeypatch.setattr(backend.issuer, "issue", lambda subject, key, now: issue(subject, other, now))
    with pytest.raises(CloudError, match="does not carry the key of the signing request"):
        bench.by_csr()
