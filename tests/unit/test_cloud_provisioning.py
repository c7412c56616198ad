from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec

from hil.clock import Calendar
from hil.cloud.local.control import LocalCloud
from hil.cloud.local.endpoint import Endpoint
from hil.cloud.local.faults import SessionLog
from hil.cloud.local.pki import ServerPki
from hil.cloud.ownca import OwnCa
from hil.cloud.pem import load_certificate, to_der
from hil.cloud.registry import CertificateRecord, certificate_id

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "AWS::IoT::Certificate::CommonName"
ID = "AWS::IoT::Certificate::Id"
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
}


def template(**changes: Any) -> dict[str, Any]:
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["-", ["hil", {"Ref": NAME}]]},
                "AttributePayload": {"certificate": {"Ref": ID}, "kind": "sensor"},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": ID}, "Status": "ACTIVE"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(DOCUMENT)}},
    }
    parameters = {NAME: {"Type": "String"}, ID: {"Type": "String"}}
    return {"Parameters": parameters, "Resources": {**resources, **changes}}


class Factory:
    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.ca = OwnCa()
        self.ca_id = ""

    def register(self, body: object) -> None:
        code = self.cloud.iot.get_registration_code()["registrationCode"]
        text = body if isinstance(body, str) else json.dumps(body)
        self.ca_id = self.cloud.iot.register_ca_certificate(
            caCertificate=self.ca.pem,
            verificationCertificate=self.ca.prove(code),
            setAsActive=True,
            allowAutoRegistration=True,
            registrationConfig={"templateBody": text, "roleArn": "arn:aws:iam::123456789012:role/test"},
        )["certificateId"]

    def connect(self, name: str = "one") -> tuple[CertificateRecord, CertificateRecord]:
        """The record that the first connection meets, and the one of the next."""
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        der = to_der(load_certificate(self.ca.issue(name, key)))
        first = self.cloud.first_connect(der)
        second = self.cloud.registry.certificate(certificate_id(der))
        assert first is not None
        assert second is not None
        return first, second


@pytest.fixture
def factory() -> Iterator[Factory]:
    with LocalCloud() as cloud:
        yield Factory(cloud)


def test_a_template_makes_thing_policy_and_an_active_certificate_for_the_next_connection(
    factory: Factory,
) -> None:
    factory.register(template())
    first, second = factory.connect()
    assert (first.status, first.things, first.policies) == ("PENDING_ACTIVATION", (), ())
    assert second.status == "ACTIVE"
    assert [thing.name for thing in second.things] == ["hil-one"]
    assert second.things[0].attributes == {"certificate": second.certificate_id, "kind": "sensor"}
    assert [json.loads(policy) for policy in second.policies] == [DOCUMENT]
    assert factory.cloud.provisioning_failures == {}
    assert len(factory.cloud.events) == 1


def test_devices_of_one_template_share_its_policy(factory: Factory) -> None:
    factory.register(template())
    factory.connect("one")
    _, second = factory.connect("two")
    assert [thing.name for thing in second.things] == ["hil-two"]
    assert len(factory.cloud.iot.list_policies()["policies"]) == 1


def test_a_policy_by_name_and_a_name_by_substitution(factory: Factory) -> None:
    factory.cloud.iot.create_policy(policyName="existing", policyDocument=json.dumps(DOCUMENT))
    factory.register(
        template(
            policy={"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "existing"}},
            thing={
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Fn::Sub": f"sub-${{{NAME}}}"}},
            },
        )
    )
    _, second = factory.connect()
    assert [thing.name for thing in second.things] == ["sub-one"]
    assert [json.loads(policy) for policy in second.policies] == [DOCUMENT]


def test_a_device_for_which_the_template_fails_stays_pending_and_the_reason_is_kept(
    factory: Factory,
) -> None:
    factory.register(template(policy={"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "missing"}}))
    _, second = factory.connect()
    assert second.status == "PENDING_ACTIVATION"
    assert "does not exist" in factory.cloud.provisioning_failures[second.certificate_id]


def test_a_subject_without_what_the_template_asks_for_is_a_failure(factory: Factory) -> None:
    body = template()
    body["Parameters"]["AWS::IoT::Certificate::Country"] = {"Type": "String"}
    factory.register(body)
    _, second = factory.connect()
    assert second.status == "PENDING_ACTIVATION"
    assert "has no Country" in factory.cloud.provisioning_failures[second.certificate_id]
    assert factory.cloud.iot.list_things()["things"] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("nonsense", "not JSON"),
        ("[]", "no Resources"),
        ({"Resources": {"x": {"Type": "AWS::S3::Bucket", "Properties": {}}}}, "AWS::S3::Bucket"),
        ({"Resources": {"t": {"Type": "AWS::IoT::Thing", "Properties": {}}}}, "one certificate"),
        (template() | {"Parameters": {"SerialNumber": {"Type": "String"}}}, "SerialNumber"),
        (
            template(thing={"Type": "AWS::IoT::Thing", "Properties": {"ThingGroups": ["g"]}}),
            "ThingGroups is not understood",
        ),
    ],
)
def test_a_template_that_nobody_can_carry_out_is_refused_with_the_ca(
    factory: Factory, body: object, why: str
) -> None:
    with pytest.raises(ClientError, match=f"InvalidRequestException.*{why}"):
        factory.register(body)
    assert factory.cloud.iot.list_ca_certificates()["certificates"] == []


def test_a_template_by_name_does_not_exist_here(factory: Factory) -> None:
    factory.register(template())
    with pytest.raises(ClientError, match="There is no template stored"):
        factory.cloud.iot.update_ca_certificate(
            certificateId=factory.ca_id, registrationConfig={"templateName": "stored"}
        )


def test_without_its_template_a_ca_only_registers(factory: Factory) -> None:
    factory.register(template())
    factory.cloud.iot.update_ca_certificate(certificateId=factory.ca_id, removeAutoRegistration=True)
    factory.cloud.iot.update_ca_certificate(certificateId=factory.ca_id, newAutoRegistrationStatus="ENABLE")
    _, second = factory.connect()
    assert second.status == "PENDING_ACTIVATION"
    assert factory.cloud.iot.list_things()["things"] == []


def test_the_endpoint_refuses_the_first_connection_and_admits_the_next(factory: Factory) -> None:
    factory.register(template())
    cloud = factory.cloud
    endpoint = Endpoint(
        cloud.registry,
        ServerPki(cloud.endpoint, Calendar()),
        account=cloud.account_id,
        region=cloud.region,
        host=cloud.endpoint,
        first_connect=cloud.first_connect,
    )
    pem = factory.ca.issue("one", ec.generate_private_key(ec.SECP256R1()).public_key())
    log = SessionLog(1, "test", 0, client_chain=(to_der(load_certificate(pem)),))
    assert "is PENDING_ACTIVATION" in str(endpoint.admit(log))
    record = endpoint.admit(log)
    assert isinstance(record, CertificateRecord)
    assert [thing.name for thing in record.things] == ["hil-one"]
    cloud.iot.update_certificate(certificateId=record.certificate_id, newStatus="REVOKED")
    assert "is REVOKED" in str(endpoint.admit(log))
    stranger = OwnCa().issue("one", ec.generate_private_key(ec.SECP256R1()).public_key())
    log = SessionLog(2, "test", 0, client_chain=(to_der(load_certificate(stranger)),))
    assert "is not registered" in str(endpoint.admit(log))
