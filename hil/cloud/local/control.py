"""The control plane of AWS IoT on this machine: moto with the overlay, in process.

Nothing of moto or boto3 is imported before a :class:`LocalCloud` is opened (about half a second), and
the first call costs as much again.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hil.clock import Calendar
from hil.cloud import awsguard
from hil.cloud.registry import CertificateRecord, Thing
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import boto3
    from botocore.loaders import Loader
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sts import STSClient

    from hil.cloud.local.overlay import AwsBackend

__all__ = ["LocalCloud", "LocalRegistry", "RegistrationEvent", "is_mocked"]

ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True)
class RegistrationEvent:
    """What AWS IoT publishes when a certificate has registered itself by connecting.

    Attributes:
        certificate_id: the new certificate, in ``PENDING_ACTIVATION``.
        ca_certificate_id: the registered CA that signed it.
        account_id: whose account.
        at_ms: milliseconds since the epoch.
    """

    certificate_id: str
    ca_certificate_id: str
    account_id: str
    at_ms: int

    @property
    def topic(self) -> str:
        """Where it is published (developer guide, "Just-in-time registration")."""
        return f"$aws/events/certificates/registered/{self.ca_certificate_id}"

    def payload(self) -> bytes:
        """The message as JSON."""
        return json.dumps(
            {
                "certificateId": self.certificate_id,
                "caCertificateId": self.ca_certificate_id,
                "timestamp": self.at_ms,
                "certificateStatus": "PENDING_ACTIVATION",
                "awsAccountId": self.account_id,
                "certificateRegistrationTimestamp": str(self.at_ms),
            }
        ).encode()


class _Moto:
    """moto and the overlay, switched on while anybody needs them.

    moto patches botocore for the whole process and resets its data with the first start and the last
    stop, whatever the order in between; so there can be only one count, and it lives here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stack = ExitStack()

    @cached_property
    def loader(self) -> Loader:
        """Botocore's reader of service models; shared, because parsing them anew costs 0.1 s a session."""
        from botocore.loaders import create_loader

        return create_loader()

    def acquire(self, region: str) -> None:
        with self._lock:
            if self._users == 0:
                self._start(region)
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()

    @property
    def running(self) -> bool:
        """Whether moto answers for AWS in this process."""
        return self._users > 0

    def _start(self, region: str) -> None:
        if awsguard.install().confirmed:
            # moto would answer the requests of that session too.
            raise UsageError(
                "a session with a real AWS account is open in this process",
                hint="run rigs with a real account in a session of their own",
            )
        from moto import mock_aws

        from hil.cloud.local import overlay

        with ExitStack() as stack:
            stack.enter_context(awsguard.scrubbed(os.environ, region=region))
            # No configuration: moto does not restore one when others use mock_aws at the same time, and
            # the overlay takes the hash of the DER without being told.
            stack.enter_context(mock_aws())
            stack.enter_context(overlay.installed())
            self._stack = stack.pop_all()


_moto = _Moto()


def is_mocked() -> bool:
    """Whether a :class:`LocalCloud` of this process is open: then moto answers every request to AWS."""
    return _moto.running


class LocalRegistry:
    """What the endpoint asks, answered from moto's memory without a request.

    Args:
        backend: the account's backend.
    """

    def __init__(self, backend: AwsBackend) -> None:
        self._backend = backend

    def certificate(self, certificate_id: str) -> CertificateRecord | None:
        """The record of ``certificate_id``, or None if it is not registered."""
        backend = self._backend
        entry = backend.certificates.get(certificate_id)
        if entry is None:
            return None
        things = [
            thing for (arn, _), (_, thing) in list(backend.principal_things.items()) if arn == entry.arn
        ]
        arns = {thing.arn for thing in things}
        groups = [group.arn for group in list(backend.thing_groups.values()) if arns & set(group.things)]
        targets = {entry.arn, *groups}
        return CertificateRecord(
            certificate_id=certificate_id,
            arn=entry.arn,
            status=entry.status,
            policies=tuple(
                str(policy.document)
                for (target, _), (_, policy) in list(backend.principal_policies.items())
                if target in targets
            ),
            things=tuple(
                Thing(
                    name=thing.thing_name,
                    type_name=thing.thing_type.thing_type_name if thing.thing_type else None,
                    attributes=dict(thing.attributes),
                )
                for thing in things
            ),
        )


class LocalCloud:
    """An AWS IoT account on this machine; a context manager.

    Clouds of one process that are open at the same time and have the same account and region are one
    account, as on AWS. When the last of them is closed everything in it is gone.

    Args:
        region: AWS region of the account.
        account_id: twelve digits.
        calendar: date and time for validity and events; of an account that is shared, the last one's.
    """

    def __init__(
        self, *, region: str = REGION, account_id: str = ACCOUNT, calendar: Calendar | None = None
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.events: list[RegistrationEvent] = []
        """Every just-in-time registration so far."""
        self.provisioning_failures: dict[str, str] = {}
        """Certificate id -> why its CA's template could not be carried out."""
        self._calendar = calendar or Calendar()
        self._listeners: list[Callable[[RegistrationEvent], None]] = []
        self._open = False

    def open(self) -> LocalCloud:
        """Start moto if nobody else has; see the class for the sharing of accounts."""
        if not self._open:
            _moto.acquire(self.region)
            self._open = True
            self.backend.calendar = self._calendar
        return self

    def close(self) -> None:
        """Stop moto if nobody else needs it; the environment is as before."""
        if self._open:
            self._open = False
            _moto.release()

    def __enter__(self) -> LocalCloud:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def backend(self) -> AwsBackend:
        """The memory of this account and region in moto."""
        if not self._open:
            raise UsageError("the local cloud is not open", hint="use it in a `with` statement")
        from moto.iot.models import iot_backends

        from hil.cloud.local.overlay import AwsBackend

        backend = iot_backends[self.account_id][self.region]
        assert isinstance(backend, AwsBackend), "the overlay is installed while a cloud is open"
        return backend

    @cached_property
    def session(self) -> boto3.Session:
        """A boto3 session whose clients talk to this account in process."""
        if not self._open:
            raise UsageError("the local cloud is not open", hint="use it in a `with` statement")
        import boto3
        import botocore.session

        core = botocore.session.Session()
        core.register_component("data_loader", _moto.loader)
        session = boto3.Session(
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name=self.region,
            botocore_session=core,
        )
        session.events.register("before-call", self._name_account)
        return session

    def _name_account(self, params: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  (as botocore calls it)
        params["headers"]["x-moto-account-id"] = self.account_id

    @cached_property
    def iot(self) -> IoTClient:
        """A client of the control plane."""
        return self.session.client("iot")

    @cached_property
    def sts(self) -> STSClient:
        """A client that says whose account it is."""
        return self.session.client("sts")

    @property
    def registry(self) -> LocalRegistry:
        """What the endpoint asks about certificates."""
        return LocalRegistry(self.backend)

    @property
    def endpoint(self) -> str:
        """The host name of the account's data endpoint (``iot:Data-ATS``), always the same."""
        return self.backend.describe_endpoint("iot:Data-ATS").endpoint

    # -- what the endpoint and the account's rules do ----------------------------------------------

    def on_registration(self, listener: Callable[[RegistrationEvent], None]) -> None:
        """Call ``listener`` at each just-in-time registration, as a rule on the event's topic would."""
        self._listeners.append(listener)

    def on_status(self, listener: Callable[[str, str], None]) -> None:
        """Call ``listener(certificate id, status)`` whenever a certificate's status is changed.

        It runs in the thread of the caller, which is one of the server's if a program made the call. AWS IoT
        disconnects the devices of a certificate that is no longer active; an endpoint does it from here.
        """
        self.backend.status_listeners.append(listener)

    def first_connect(self, der: bytes) -> CertificateRecord | None:
        """Just-in-time registration and provisioning: an unknown certificate came with a CONNECT.

        The CA's template is carried out and listeners are called before this returns, but the record is
        what AWS sees at that moment: the first connection is refused, the next one may be accepted.

        Args:
            der: the client certificate as it was presented.

        Returns:
            Its record, in ``PENDING_ACTIVATION``; None if no active CA with automatic registration has
            signed it.
        """
        from hil.cloud.local.provisioning import provision

        backend = self.backend
        entry = backend.register_on_connect(ssl.DER_cert_to_PEM_cert(der))
        if entry is None:
            return None
        record = self.registry.certificate(entry.certificate_id)
        event = RegistrationEvent(
            certificate_id=entry.certificate_id,
            ca_certificate_id=str(entry.ca_certificate_id),
            account_id=self.account_id,
            at_ms=int(self._calendar.time() * 1000),
        )
        self.events.append(event)
        config = backend.describe_ca_certificate(event.ca_certificate_id).registration_config or {}
        if "templateBody" in config:
            failure = provision(backend, entry, config["templateBody"])
            if failure:
                self.provisioning_failures[entry.certificate_id] = failure
        for listener in self._listeners:
            listener(event)
        return record
