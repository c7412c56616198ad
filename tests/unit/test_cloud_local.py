from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hil.clock import Calendar
from hil.cloud.awsguard import RealAwsRefused
from hil.cloud.local.control import LocalCloud, RegistrationEvent
from hil.cloud.local.server import LocalCloudServer
from hil.cloud.ownca import OwnCa
from hil.cloud.pem import load_certificate, to_der
from hil.cloud.registry import Thing, certificate_id
from hil.errors import PortError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
    }
)


def csr(key: ec.EllipticCurvePrivateKey, name: str = "test-device") -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


def test_the_environment_is_scrubbed_while_it_is_open_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    before = dict(os.environ)
    with LocalCloud():
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_ACCESS_KEY_ID"] != "AKIAREAL"
    assert dict(os.environ) == before


def test_closing_in_any_order_restores_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    before = dict(os.environ)
    first, second = LocalCloud().open(), LocalCloud(account_id="111122223333").open()
    first.close()
    assert second.sts.get_caller_identity()["Account"] == "111122223333"
    second.close()
    second.close()
    assert dict(os.environ) == before
    from moto.core.config import default_user_config
    from moto.iot.models import IoTBackend, iot_backends

    assert default_user_config["iot"] == {"use_valid_cert": False}
    assert iot_backends.backend is IoTBackend


def test_a_client_outlives_its_cloud_only_to_be_refused() -> None:
    with LocalCloud() as cloud:
        iot = cloud.iot
        iot.list_things()
    with pytest.raises(RealAwsRefused):
        iot.list_things()


def test_a_closed_cloud_says_so() -> None:
    with pytest.raises(UsageError, match="not open"):
        _ = LocalCloud().registry
    with pytest.raises(UsageError, match="not open"):
        _ = LocalCloud().iot


def test_clouds_of_one_account_share_it_and_other_accounts_and_regions_do_not(cloud: LocalCloud) -> None:
    cloud.iot.create_thing(thingName="hil-1")
    with (
        LocalCloud() as same,
        LocalCloud(account_id="111122223333") as other,
        LocalCloud(region="eu-west-1") as elsewhere,
    ):
        assert len(same.iot.list_things()["things"]) == 1
        assert other.iot.list_things()["things"] == []
        assert elsewhere.iot.list_things()["things"] == []
        assert len({cloud.endpoint, other.endpoint, elsewhere.endpoint}) == 3
        assert same.endpoint == cloud.endpoint


def test_the_endpoint_has_the_form_of_aws_and_is_the_one_of_the_api(cloud: LocalCloud) -> None:
    assert cloud.endpoint.endswith("-ats.iot.us-east-1.amazonaws.com")
    assert len(cloud.endpoint.split("-ats")[0]) == 14
    assert cloud.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == cloud.endpoint


def test_the_registry_knows_status_policies_and_things(cloud: LocalCloud) -> None:
    iot = cloud.iot
    assert cloud.registry.certificate("0" * 64) is None
    made = iot.create_certificate_from_csr(
        certificateSigningRequest=csr(ec.generate_private_key(ec.SECP256R1())), setAsActive=True
    )
    iot.create_policy(policyName="hil-p", policyDocument=POLICY)
    iot.create_thing(thingName="hil-1", attributePayload={"attributes": {"room": "7"}})
    iot.attach_policy(policyName="hil-p", target=made["certificateArn"])
    iot.attach_thing_principal(thingName="hil-1", principal=made["certificateArn"])

    record = cloud.registry.certificate(made["certificateId"])
    assert record is not None
    assert (record.arn, record.status) == (made["certificateArn"], "ACTIVE")
    assert record.policies == (POLICY,)
    assert record.things == (Thing("hil-1", None, {"room": "7"}),)

    iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
    iot.detach_policy(policyName="hil-p", target=made["certificateArn"])
    record = cloud.registry.certificate(made["certificateId"])
    assert record is not None
    assert (record.status, record.policies) == ("REVOKED", ())


def test_policies_of_a_thing_group_count(cloud: LocalCloud) -> None:
    iot = cloud.iot
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_policy(policyName="hil-p", policyDocument=POLICY)
    iot.create_thing(thingName="hil-1")
    iot.attach_thing_principal(thingName="hil-1", principal=made["certificateArn"])
    group = iot.create_thing_group(thingGroupName="hil-g")
    iot.attach_policy(policyName="hil-p", target=group["thingGroupArn"])
    record = cloud.registry.certificate(made["certificateId"])
    assert record is not None
    assert record.policies == ()
    iot.add_thing_to_thing_group(thingGroupName="hil-g", thingName="hil-1")
    record = cloud.registry.certificate(made["certificateId"])
    assert record is not None
    assert record.policies == (POLICY,)


# -- just-in-time registration ------------------------------------------------------------------


def registered_ca(
    cloud: LocalCloud, *, automatic: bool = True, active: bool = True, calendar: Calendar | None = None
) -> tuple[OwnCa, str]:
    ca = OwnCa(calendar=calendar)
    code = cloud.iot.get_registration_code()["registrationCode"]
    answer = cloud.iot.register_ca_certificate(
        caCertificate=ca.pem,
        verificationCertificate=ca.prove(code),
        setAsActive=active,
        allowAutoRegistration=automatic,
    )
    return ca, answer["certificateId"]


def device_of(ca: OwnCa) -> bytes:
    return to_der(
        load_certificate(ca.issue("test-device", ec.generate_private_key(ec.SECP256R1()).public_key()))
    )


def test_the_first_connect_of_a_device_of_a_registered_ca_registers_it() -> None:
    calendar = Calendar(1_700_000_000.5)
    with LocalCloud(calendar=calendar) as cloud:
        ca, ca_id = registered_ca(cloud, calendar=calendar)
        der = device_of(ca)
        record = cloud.first_connect(der)
        assert record is not None
        assert record.status == "PENDING_ACTIVATION"
        assert record.certificate_id == certificate_id(der)
        (event,) = cloud.events
        assert event.topic == f"$aws/events/certificates/registered/{ca_id}"
        assert json.loads(event.payload()) == {
            "certificateId": record.certificate_id,
            "caCertificateId": ca_id,
            "timestamp": 1_700_000_000_500,
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": "123456789012",
            "certificateRegistrationTimestamp": "1700000000500",
        }


def test_a_listener_can_activate_as_a_rule_of_the_account_would_for_the_next_connection(
    cloud: LocalCloud,
) -> None:
    ca, _ = registered_ca(cloud)

    def activate(event: RegistrationEvent) -> None:
        cloud.iot.update_certificate(certificateId=event.certificate_id, newStatus="ACTIVE")

    cloud.on_registration(activate)
    der = device_of(ca)
    first = cloud.first_connect(der)
    second = cloud.registry.certificate(certificate_id(der))
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == ("PENDING_ACTIVATION", "ACTIVE")


def test_a_change_of_status_is_told(cloud: LocalCloud) -> None:
    told: list[tuple[str, str]] = []
    cloud.on_status(lambda certificate, status: told.append((certificate, status)))
    made = cloud.iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    cloud.iot.update_certificate(certificateId=made, newStatus="INACTIVE")
    with pytest.raises(ClientError):
        cloud.iot.update_certificate(certificateId=made, newStatus="PENDING_TRANSFER")
    assert told == [(made, "INACTIVE")]


def test_no_registration_for_strangers_and_for_a_ca_that_does_not_allow_it(cloud: LocalCloud) -> None:
    stranger = OwnCa("hil test CA")
    manual, manual_id = registered_ca(cloud, automatic=False)
    inactive, _ = registered_ca(cloud, active=False)
    for ca in (stranger, manual, inactive):
        assert cloud.first_connect(device_of(ca)) is None
    assert cloud.events == []
    assert cloud.iot.list_certificates()["certificates"] == []
    cloud.iot.update_ca_certificate(certificateId=manual_id, newAutoRegistrationStatus="ENABLE")
    assert cloud.first_connect(device_of(manual)) is not None


# -- the server ---------------------------------------------------------------------------------


def client(server: LocalCloudServer) -> Any:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    return session.client("iot", endpoint_url=server.url)


def test_the_server_works_on_the_memory_of_its_cloud() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with LocalCloud(account_id="111122223333") as cloud, LocalCloudServer(cloud) as server:
        made = client(server).create_certificate_from_csr(
            certificateSigningRequest=csr(key), setAsActive=True
        )
        assert ":111122223333:" in made["certificateArn"]
        record = cloud.registry.certificate(made["certificateId"])
        assert record is not None
        assert record.status == "ACTIVE"
        assert load_certificate(made["certificatePem"]).public_key() == key.public_key()


def test_the_server_listens_on_loopback_only_and_is_gone_after_stop() -> None:
    with LocalCloudServer() as server:
        host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
        assert server.url == f"http://{host}:{port}"
        socket.create_connection((host, port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=5)
    with pytest.raises(UsageError, match="not running"):
        _ = server.url
    with pytest.raises(UsageError, match="loopback only"):
        LocalCloudServer(host="0.0.0.0")


def test_a_port_that_is_taken_is_one_message_not_the_end_of_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"127.0.0.1 port {port}"):
            LocalCloudServer(port=port).start()
    from moto.core.models import botocore_stubber

    assert not botocore_stubber.enabled


def test_validity_is_judged_by_the_calendar_of_the_cloud() -> None:
    now = Calendar().time()
    long_ago = OwnCa(calendar=Calendar(now - 40 * 365 * 86400), days=30)
    pem = long_ago.issue("test-device", ec.generate_private_key(ec.SECP256R1()).public_key())
    with LocalCloud() as cloud, pytest.raises(ClientError, match="expired at"):
        cloud.iot.register_certificate_without_ca(certificatePem=pem)
    with LocalCloud(calendar=Calendar(now - 40 * 365 * 86400)) as cloud:
        cloud.iot.register_certificate_without_ca(certificatePem=pem)


def test_nothing_heavy_is_imported_before_a_cloud_is_opened() -> None:
    program = (
        "import sys, hil.cloud.session, hil.cloud.registration, hil.cloud.bulk, hil.cloud.cleanup,"
        " hil.cloud.local.control, hil.cloud.local.server\n"
        "print([name for name in ('moto', 'boto3', 'botocore', 'flask', 'werkzeug') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
