from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.rig.cloud import RigCloud

pytestmark = pytest.mark.needs("cloud", "sign", element="provisioned")


@pytest.mark.req("HIL-CLOUD-001")
def test_the_clouds_certificate_carries_the_elements_key(cloud: RigCloud, element: Element) -> None:
    """A request signed in the element; moto alone would issue a certificate for a key of its own."""
    registration = cloud.register(element)
    certificate = x509.load_pem_x509_certificate(registration.pem.encode())
    point = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert point[1:] == element.public_key(0)


@pytest.mark.req("HIL-CLOUD-002")
def test_thing_certificate_and_policy_belong_together(cloud: RigCloud, element: Element) -> None:
    registration = cloud.register(element)
    iot = cloud.session.iot
    principals = iot.list_thing_principals(thingName=registration.thing)["principals"]
    assert registration.certificate_arn in principals
    attached = iot.list_attached_policies(target=registration.certificate_arn)["policies"]
    assert [policy["policyName"] for policy in attached] == [registration.policy]
    described = iot.describe_certificate(certificateId=registration.certificate_id)
    assert described["certificateDescription"]["status"] == "ACTIVE"


@pytest.mark.req("HIL-CLOUD-003")
def test_registering_twice_changes_nothing(cloud: RigCloud, element: Element) -> None:
    first = cloud.register(element)
    assert cloud.register(element).certificate_id == first.certificate_id


@pytest.mark.req("HIL-CLOUD-004")
def test_the_certificate_id_is_the_fingerprint_of_the_certificate(cloud: RigCloud, element: Element) -> None:
    import hashlib

    registration = cloud.register(element)
    der = x509.load_pem_x509_certificate(registration.pem.encode()).public_bytes(Encoding.DER)
    assert registration.certificate_id == hashlib.sha256(der).hexdigest()
