from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import botocore.handlers
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from hil.cloud import awsguard
from hil.cloud.awsguard import RealAwsRefused

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire:
    """Stands behind the guard and answers instead of the network; what comes here would have been sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        self.sent.append(event_name.removeprefix("before-send."))
        raw = io.BytesIO(b"{}")
        raw.stream = lambda **_: iter([raw.read()])  # type: ignore[attr-defined]
        return AWSResponse(request.url, 200, {}, raw)  # type: ignore[arg-type]


@pytest.fixture
def wire() -> Iterator[Wire]:
    awsguard.uninstall()
    awsguard.install()
    entry = ("before-send", Wire())
    botocore.handlers.BUILTIN_HANDLERS.append(entry)
    yield entry[1]
    botocore.handlers.BUILTIN_HANDLERS.remove(entry)
    awsguard.uninstall()


def client(key: str = "AKIATEST", region: str = "us-east-1", service: str = "iot", **options: Any) -> Any:
    session: Any = boto3.Session(aws_access_key_id=key, aws_secret_access_key="test", region_name=region)
    return session.client(service, **options)


def test_a_call_to_a_real_host_is_refused_before_it_is_sent(wire: Wire) -> None:
    with pytest.raises(RealAwsRefused, match=r"iot\.ListThings was about to be sent to iot\.us-east-1"):
        client().list_things()
    assert wire.sent == []


def test_code_that_swallows_exceptions_cannot_swallow_the_refusal(wire: Wire) -> None:
    def swallows() -> None:
        try:
            client().list_things()
        except Exception:
            pytest.fail("swallowed")

    with pytest.raises(RealAwsRefused):
        swallows()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_loopback_passes(wire: Wire, url: str) -> None:
    client(endpoint_url=url).list_things()
    assert wire.sent == ["iot.ListThings"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.example.org", "http://localhost.example.org", "http://10.0.0.1"]
)
def test_what_only_looks_like_loopback_is_refused(wire: Wire, url: str) -> None:
    with pytest.raises(RealAwsRefused):
        client(endpoint_url=url).list_things()
    assert wire.sent == []


def test_inside_moto_a_call_passes_and_afterwards_it_is_refused(wire: Wire) -> None:
    with mock_aws():
        assert client().list_things()["things"] == []
    with pytest.raises(RealAwsRefused):
        client().list_things()
    assert wire.sent == ["iot.ListThings"]


def test_inside_moto_a_host_that_moto_does_not_answer_is_refused(wire: Wire) -> None:
    with mock_aws(), pytest.raises(RealAwsRefused):
        client(endpoint_url="https://iot.example.org").list_things()


def test_inside_moto_with_passthrough_a_call_is_refused(wire: Wire) -> None:
    with (
        mock_aws(config={"core": {"passthrough": {"services": ["iot"]}}}),
        pytest.raises(RealAwsRefused),
    ):
        client().list_things()


def test_a_confirmed_key_passes_in_its_region_and_only_for_iot_and_sts(wire: Wire) -> None:
    guard = awsguard.install()
    guard.confirm("AKIACONFIRMED", "eu-west-1")
    client("AKIACONFIRMED", "eu-west-1").list_things()
    assert wire.sent == ["iot.ListThings"]
    for other in (client("AKIACONFIRMED", "us-east-1"), client("AKIAOTHER", "eu-west-1")):
        with pytest.raises(RealAwsRefused):
            other.list_things()
    with pytest.raises(RealAwsRefused):
        client("AKIACONFIRMED", "eu-west-1", "s3").list_buckets()
    guard.revoke("AKIACONFIRMED")
    with pytest.raises(RealAwsRefused):
        client("AKIACONFIRMED", "eu-west-1").list_things()


def test_logging_in_lets_only_the_login_operations_pass(wire: Wire) -> None:
    sts = client(service="sts")
    with awsguard.install().logging_in():
        with pytest.raises(RealAwsRefused):
            client().list_things()
        with pytest.raises(RealAwsRefused):
            sts.get_session_token()
        with pytest.raises(Exception, match="XML"):  # the wire's answer is not what STS says
            sts.get_caller_identity()
    assert set(wire.sent) == {"sts.GetCallerIdentity"}
    with pytest.raises(RealAwsRefused):
        sts.get_caller_identity()


def test_install_twice_is_one_guard(wire: Wire) -> None:
    assert awsguard.install() is awsguard.install()
    guards = [e for e in botocore.handlers.BUILTIN_HANDLERS if isinstance(e[1], awsguard.AwsGuard)]
    assert len(guards) == 1


def test_installed_before_botocore_is_imported_it_guards_all_the_same() -> None:
    program = """
import sys
from hil.cloud import awsguard
guard = awsguard.install()
assert awsguard.install() is guard
assert "botocore" not in sys.modules, "the guard must not import it"
import boto3
client = boto3.client("iot", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
try:
    client.list_things()
except awsguard.RealAwsRefused:
    print("refused", sum(isinstance(f, awsguard._WhenImported) for f in sys.meta_path))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["refused", "0"]


def test_a_scrubbed_environment_has_no_credentials_profiles_or_endpoints() -> None:
    before = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_IOT": "https://example.org",
        "PATH": "/bin",
    }
    clean = awsguard.scrubbed_environment(before, region="eu-west-1", endpoint_url="http://127.0.0.1:5")
    assert "AKIAREAL" not in clean.values()
    assert "real" not in clean.values()
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_IOT"} & set(clean)
    assert clean["PATH"] == "/bin"
    assert clean["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5"
    assert clean["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert clean["AWS_CONFIG_FILE"] == clean["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert clean["AWS_EC2_METADATA_DISABLED"] == "true"


def test_scrubbing_in_place_puts_back_what_was_there() -> None:
    environment = {"AWS_PROFILE": "production", "AWS_REGION": "us-east-1", "HOME": "/root"}
    with awsguard.scrubbed(environment):
        assert "AWS_PROFILE" not in environment
        environment["NEW"] = "kept"
    assert environment == {
        "AWS_PROFILE": "production",
        "AWS_REGION": "us-east-1",
        "HOME": "/root",
        "NEW": "kept",
    }
