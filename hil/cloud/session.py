"""A session with AWS IoT: in-process stand-in, stand-in server, or a real account.

The suites are the same for all three; what differs is only here. A real account is reached when the rig
file says ``mode: aws`` **and** the command line names the same account, and STS then confirms it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from hil.cloud import awsguard
from hil.cloud.local.control import LocalCloud, is_mocked
from hil.cloud.lookup import ApiRegistry
from hil.cloud.refusals import refusals
from hil.errors import ConfigError, GuardRefusal, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import boto3
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sts import STSClient

    from hil.clock import Calendar
    from hil.cloud.registry import Registry
    from hil.rigfile import Cloud

__all__ = ["CloudSession"]


class CloudSession:
    """What talks to the control plane; a context manager.

    Args:
        settings: the ``cloud`` section of the rig file.
        allow_aws: the account that the command line allows (``--allow-aws ACCOUNT``), or None.
        calendar: date and time of the in-process stand-in.
    """

    def __init__(
        self, settings: Cloud, *, allow_aws: str | None = None, calendar: Calendar | None = None
    ) -> None:
        self.settings = settings
        self.local: LocalCloud | None = None
        """The in-process stand-in (mode ``moto`` only)."""
        self._allow_aws = allow_aws
        self._calendar = calendar
        self._session: boto3.Session | None = None
        self._confirmed_key: str | None = None

    # -- life ---------------------------------------------------------------------------------

    def open(self) -> CloudSession:
        """Reach the account.

        Raises:
            UsageError: a real account is wanted and the command line does not name it.
            GuardRefusal: STS says that the credentials belong to another account.
            ConfigError: the stand-in server serves another account than the rig file names.
            CloudError: it cannot be reached.
        """
        if self._session is None:
            {"moto": self._open_moto, "moto-server": self._open_server, "aws": self._open_aws}[
                self.settings.mode
            ]()
        return self

    def close(self) -> None:
        """Let go of the account; what was created in a real one stays (see the ledger)."""
        self._session = None
        self.__dict__.pop("iot", None)
        if self._confirmed_key is not None:
            awsguard.install().revoke(self._confirmed_key)
            self._confirmed_key = None
        if self.local is not None:
            self.local.close()
            self.local = None

    def __enter__(self) -> CloudSession:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_moto(self) -> None:
        self.local = LocalCloud(
            region=self.region, account_id=self.account_id, calendar=self._calendar
        ).open()
        self._session = self.local.session

    def _open_server(self) -> None:
        awsguard.install()
        import boto3

        self._session = boto3.Session(
            aws_access_key_id="testing", aws_secret_access_key="testing", region_name=self.region
        )
        account = self._ask_account(self._session)
        if account != self.account_id:
            self._session = None
            raise ConfigError(
                f"the server at {self.settings.endpoint_url} serves account {account}, not {self.account_id}",
                hint="correct cloud.account_id in the rig file",
            )

    def _open_aws(self) -> None:
        if self._allow_aws != self.account_id:
            said = f"--allow-aws names {self._allow_aws}" if self._allow_aws else "--allow-aws is not given"
            raise UsageError(
                f"the rig wants the real account {self.account_id}, but {said}",
                hint=f"to let this run touch that account: --allow-aws {self.account_id}",
            )
        if is_mocked():
            raise UsageError(
                f"the rig wants the real account {self.account_id} while moto answers for AWS here",
                hint="run rigs with a real account in a session of their own",
            )
        guard = awsguard.install()
        import boto3

        with guard.logging_in(), refusals("log in to AWS"):
            login = boto3.Session(profile_name=self.settings.credentials_profile, region_name=self.region)
            credentials = login.get_credentials()
            if credentials is None:
                raise ConfigError(
                    "no AWS credentials were found",
                    hint="set cloud.credentials_profile or log in as the AWS CLI does",
                )
            # Frozen: the account that STS names now is the account of every later call.
            frozen = credentials.get_frozen_credentials()
            session = boto3.Session(
                aws_access_key_id=frozen.access_key,
                aws_secret_access_key=frozen.secret_key,
                aws_session_token=frozen.token,
                region_name=self.region,
            )
            account = self._ask_account(session)
        if account != self.account_id:
            raise GuardRefusal(
                f"the credentials belong to account {account}, the rig names {self.account_id}",
                hint="nothing but GetCallerIdentity was sent; correct credentials_profile or account_id in"
                " the rig file's section cloud",
            )
        guard.confirm(str(frozen.access_key), self.region)
        self._confirmed_key = str(frozen.access_key)
        self._session = session

    def _ask_account(self, session: boto3.Session) -> str:
        with refusals("ask STS whose account this is"):
            sts: STSClient = self._client(session, "sts")
            return sts.get_caller_identity()["Account"]

    def _client(self, session: boto3.Session, service: Literal["iot", "sts"]) -> Any:  # noqa: ANN401
        from botocore.config import Config

        real = self.settings.mode == "aws"
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 5 if real else 2},
            proxies=None if real else {},
            user_agent_extra="atecc-hil",
        )
        # Always explicit: an endpoint in the environment or in ~/.aws/config must not redirect us.
        url = self.settings.endpoint_url or f"https://{service}.{self.region}.amazonaws.com"
        return session.client(service, config=config, endpoint_url=url)

    # -- what it offers -------------------------------------------------------------------------

    @property
    def account_id(self) -> str:
        """The account, confirmed when the session is open."""
        return self.settings.account_id

    @property
    def region(self) -> str:
        """The AWS region."""
        return self.settings.region

    @property
    def is_real(self) -> bool:
        """True for an account of Amazon's."""
        return self.settings.mode == "aws"

    @cached_property
    def iot(self) -> IoTClient:
        """The control plane."""
        if self._session is None:
            raise UsageError("the cloud session is not open", hint="use it in a `with` statement")
        client: IoTClient = self._client(self._session, "iot")
        return client

    @property
    def registry(self) -> Registry:
        """What the MQTT endpoint asks about certificates."""
        return self.local.registry if self.local is not None else ApiRegistry(self.iot)

    def on_status(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change of a certificate's status.

        In mode ``moto`` whoever made it, in the thread that made it; else only those of this session.
        """
        if self.local is not None:
            self.local.on_status(lambda certificate_id, status: listener())
        else:
            self.iot.meta.events.register("after-call.iot.UpdateCertificate", lambda **_: listener())

    def endpoint(self) -> str:
        """The host name of the account's data endpoint (``iot:Data-ATS``)."""
        with refusals("find the data endpoint"):
            return self.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]

    def name(self, plain: str) -> str:
        """``plain`` with the prefix that every name of ours in the account bears."""
        prefix = self.settings.name_prefix
        return plain if plain.startswith(prefix) else prefix + plain
