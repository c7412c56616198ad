"""The four ways of a key into AWS IoT; the result is the same, and doing it again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hil.cloud.cleanup import clean_up
from hil.cloud.ledger import Ledger
from hil.cloud.ownca import OwnCa
from hil.cloud.pem import key_digest, load_certificate
from hil.cloud.registration import Registrar
from hil.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.cloud.registration import Registration
    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig
    from suites.cloud.conftest import Holder

    Way = Callable[[str | None], Registration]

pytestmark = pytest.mark.needs("cloud", "pubkey")

WAYS = ("aws-ca", "csr", "own-ca", "without-ca")


@pytest.fixture
def way(request: pytest.FixtureRequest, rig: Rig, cloud: RigCloud, holder: Holder) -> Way:
    """Register by one way; called with the certificate of an earlier time to do it again."""
    registrar, thing, policy = cloud.registrar, f"ways-{rig.name}", cloud.ensure_policy()
    ca = OwnCa("hil test CA", calendar=rig.calendar)

    def by_own_ca(held: str | None) -> Registration:
        registrar.ensure_ca(ca.pem, ca.prove)
        issued = held or ca.issue(thing, holder.public_key)
        return registrar.with_own_ca(issued, ca_pem=ca.pem, thing=thing, policy=policy)

    ways: dict[str, Way] = {
        "aws-ca": lambda held: registrar.from_aws_ca(thing=thing, policy=policy, held=held),
        "csr": lambda held: registrar.from_csr(holder.request(thing), thing=thing, policy=policy),
        "own-ca": by_own_ca,
        "without-ca": lambda held: registrar.without_ca(
            held or holder.certificate(thing), thing=thing, policy=policy
        ),
    }
    return ways[request.param]


@pytest.mark.req("HIL-CLOUD-010")
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_the_cloud_knows_the_key_that_is_in_the_element(way: Way, holder: Holder, cloud: RigCloud) -> None:
    """Only the first way is another: there the cloud makes the key and shows it once."""
    made = way(None)
    known = load_certificate(made.pem).public_key()
    if made.way == "aws-ca":
        assert made.private_key_pem is not None
        private = load_pem_private_key(made.private_key_pem.encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        assert key_digest(private.public_key()) == key_digest(known)
    else:
        assert key_digest(known) == key_digest(holder.public_key)
    record = cloud.session.registry.certificate(made.certificate_id)
    assert record is not None
    assert record.status == "ACTIVE"
    assert made.thing in [thing.name for thing in record.things]
    assert record.policies


@pytest.mark.req("HIL-CLOUD-011")
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_doing_it_again_changes_nothing(way: Way, cloud: RigCloud) -> None:
    first = way(None)
    before = len(cloud.registrar.ledger.standing())
    again = way(first.pem)
    assert (again.certificate_id, again.thing, again.policy, again.endpoint) == (
        first.certificate_id,
        first.thing,
        first.policy,
        first.endpoint,
    )
    assert len(cloud.registrar.ledger.standing()) == before, "something was created a second time"


@pytest.mark.req("HIL-CLOUD-012")
def test_rotation_retires_the_old_certificate(cloud: RigCloud, holder: Holder, rig: Rig) -> None:
    """Another certificate for the same key; only when it is confirmed the old one goes."""
    registrar, thing, policy = cloud.registrar, f"ways-{rig.name}", cloud.ensure_policy()
    request = holder.request(thing)
    old = registrar.from_csr(request, thing=thing, policy=policy)
    confirmed: list[Registration] = []
    new = registrar.rotate(
        old, lambda: registrar.from_csr(request, thing=thing, policy=policy, renew=True), confirmed.append
    )
    assert confirmed == [new]
    registry = cloud.session.registry
    retired, active = registry.certificate(old.certificate_id), registry.certificate(new.certificate_id)
    assert retired is not None
    assert (retired.status, retired.policies, retired.things) == ("INACTIVE", (), ())
    assert active is not None
    assert active.status == "ACTIVE"


@pytest.mark.req("HIL-CLOUD-013")
def test_a_revoked_certificate_stays_revoked(cloud: RigCloud, holder: Holder, rig: Rig) -> None:
    registrar, thing, policy = cloud.registrar, f"ways-{rig.name}", cloud.ensure_policy()
    made = registrar.from_csr(holder.request(thing), thing=thing, policy=policy, renew=True)
    registrar.revoke(made.certificate_id)
    with pytest.raises(CloudError):
        registrar.activate(made.certificate_id)
    record = cloud.session.registry.certificate(made.certificate_id)
    assert record is not None
    assert record.status == "REVOKED"


@pytest.mark.req("HIL-CLOUD-014")
def test_clean_up_deletes_what_was_created_and_nothing_else(
    cloud: RigCloud, holder: Holder, rig: Rig
) -> None:
    ours = Registrar(cloud.session, Ledger(calendar=rig.calendar))
    foreign = cloud.registrar.ensure_thing(f"theirs-{rig.name}")
    made = ours.from_csr(
        holder.request("cleaned"), thing=f"cleaned-{rig.name}", policy=cloud.ensure_policy(), renew=True
    )
    fates = clean_up(cloud.session, ours.ledger)
    assert {fate.outcome for fate in fates} == {"deleted"}, fates
    assert {fate.entry.kind for fate in fates} >= {"certificate", "thing", "policy-attachment"}
    assert cloud.session.registry.certificate(made.certificate_id) is None
    assert cloud.session.iot.describe_thing(thingName=foreign)["thingName"] == foreign
    assert ours.ledger.standing() == []
