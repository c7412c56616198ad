from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import botocore.handlers
import pytest
from botocore.awsrequest import AWSResponse

from hil.cloud import awsguard
from hil.cloud.awsguard import RealAwsRefused
from hil.cloud.local.control import LocalRegistry
from hil.cloud.local.server import LocalCloudServer
from hil.cloud.lookup import ApiRegistry
from hil.cloud.session import CloudSession
from hil.errors import CloudError, ConfigError, GuardRefusal, UsageError
from hil.rigfile import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "111122223333"
REAL = Cloud(mode="aws", account_id=ACCOUNT, credentials_profile="bench", region="eu-west-1")


class PretendedAws:
    """Answers behind the guard as AWS would, with moto's help; notes what would have left the machine."""

    def __init__(self) -> None:
        from moto.core.models import botocore_stubber

        self.sent: list[str] = []
        self._stubber = botocore_stubber

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        assert not self._stubber.enabled, "the guard must not take this for moto"
        self.sent.append(event_name.removeprefix("before-send."))
        answer = self._stubber.process_request(request)
        assert answer is not None
        status, headers, body = answer
        raw = io.BytesIO(body.encode() if isinstance(body, str) else body)
        raw.stream = lambda **_: iter([raw.read()])  # type: ignore[attr-defined]
        return AWSResponse(request.url, status, headers, raw)  # type: ignore[arg-type]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PretendedAws]:
    (tmp_path / "credentials").write_text(
        "[bench]\naws_access_key_id = AKIATESTBENCH\naws_secret_access_key = test\n"
    )
    for name, value in awsguard.scrubbed_environment({}).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    awsguard.install()
    entry = ("before-send", PretendedAws())
    botocore.handlers.BUILTIN_HANDLERS.append(entry)
    yield entry[1]
    botocore.handlers.BUILTIN_HANDLERS.remove(entry)


def test_moto_mode_is_a_local_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with CloudSession(Cloud(account_id=ACCOUNT, name_prefix="bench7-")) as session:
        assert session.local is not None
        assert isinstance(session.registry, LocalRegistry)
        assert not session.is_real
        session.iot.create_thing(thingName=session.name("x"))
        assert session.name("x") == session.name("bench7-x") == "bench7-x"
        assert session.endpoint() == session.local.endpoint
        assert f":{ACCOUNT}:" in session.iot.describe_thing(thingName="bench7-x")["thingArn"]
    with pytest.raises(UsageError, match="not open"):
        _ = session.iot


def test_moto_server_mode_talks_to_the_server_and_knows_its_account() -> None:
    with LocalCloudServer() as server:
        settings = Cloud(mode="moto-server", endpoint_url=server.url)
        with CloudSession(settings) as session:
            session.iot.create_thing(thingName="hil-1")
            assert session.endpoint() == server.cloud.endpoint
            assert [t["thingName"] for t in server.cloud.iot.list_things()["things"]] == ["hil-1"]
            made = session.iot.create_keys_and_certificate(setAsActive=True)
            session.iot.attach_thing_principal(thingName="hil-1", principal=made["certificateArn"])
            assert isinstance(session.registry, ApiRegistry)
            assert session.registry.certificate(made["certificateId"]) == server.cloud.registry.certificate(
                made["certificateId"]
            )
            assert session.registry.certificate("0" * 64) is None
        wrong = Cloud(mode="moto-server", endpoint_url=server.url, account_id=ACCOUNT)
        with pytest.raises(ConfigError, match=f"serves account 123456789012, not {ACCOUNT}"):
            CloudSession(wrong).open()


def test_moto_server_mode_without_a_server_says_what_it_could_not_do() -> None:
    settings = Cloud(mode="moto-server", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(CloudError, match="cannot ask STS whose account this is"):
        CloudSession(settings).open()


@pytest.mark.parametrize(
    ("allowed", "said"), [(None, "is not given"), ("999999999999", "names 999999999999")]
)
def test_a_real_account_that_the_command_line_does_not_name_is_not_even_asked(
    aws: PretendedAws, allowed: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        CloudSession(REAL, allow_aws=allowed).open()
    assert aws.sent == []


def test_a_real_account_is_used_after_sts_confirmed_it_and_no_longer_than_the_session(
    aws: PretendedAws,
) -> None:
    with CloudSession(REAL, allow_aws=ACCOUNT) as session:
        assert aws.sent == ["sts.GetCallerIdentity"]
        iot = session.iot
        assert session.endpoint().endswith("-ats.iot.eu-west-1.amazonaws.com")
        assert aws.sent == ["sts.GetCallerIdentity", "iot.DescribeEndpoint"]
    with pytest.raises(RealAwsRefused):
        iot.list_things()
    assert len(aws.sent) == 2


def test_credentials_of_another_account_are_refused_before_anything_else_is_called(
    aws: PretendedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    session = CloudSession(REAL, allow_aws=ACCOUNT)
    with pytest.raises(GuardRefusal, match=f"belong to account 999999999999, the rig names {ACCOUNT}"):
        session.open()
    assert aws.sent == ["sts.GetCallerIdentity"]
    with pytest.raises(UsageError, match="not open"):
        _ = session.iot


def test_a_profile_that_does_not_exist_is_a_message(aws: PretendedAws) -> None:
    settings = Cloud(mode="aws", account_id=ACCOUNT, credentials_profile="nobody")
    with pytest.raises(CloudError, match="nobody"):
        CloudSession(settings, allow_aws=ACCOUNT).open()
    assert aws.sent == []


def test_no_credentials_at_all_is_a_message(aws: PretendedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Cloud(mode="aws", account_id=ACCOUNT)
    with pytest.raises(ConfigError, match="no AWS credentials were found"):
        CloudSession(settings, allow_aws=ACCOUNT).open()
    assert aws.sent == []


def test_an_endpoint_in_the_environment_does_not_redirect_a_real_session(
    aws: PretendedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with CloudSession(REAL, allow_aws=ACCOUNT) as session:
        assert session.iot.meta.endpoint_url == "https://iot.eu-west-1.amazonaws.com"


def test_a_real_account_and_moto_never_meet_in_one_process(aws: PretendedAws) -> None:
    """While moto is on it answers for every host of AWS: what a ledger says would then be untrue."""
    with CloudSession(Cloud()), pytest.raises(UsageError, match="while moto answers"):
        CloudSession(REAL, allow_aws=ACCOUNT).open()
    assert aws.sent == []
    with (
        CloudSession(REAL, allow_aws=ACCOUNT),
        pytest.raises(UsageError, match="session with a real AWS account is open"),
    ):
        CloudSession(Cloud()).open()
    with CloudSession(Cloud()) as session:
        assert session.local is not None
