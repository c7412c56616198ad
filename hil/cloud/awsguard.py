"""Nothing reaches a real AWS account by accident.

Every request that botocore sends passes the guard first: it must go to loopback or be answered by moto,
or be signed with credentials whose account STS has confirmed. Otherwise :class:`RealAwsRefused` is raised,
a ``BaseException``, because provisioning code likes to swallow everything else.

The guard sees botocore only. Children (the AWS CLI) and other libraries (awscrt, sockets) are kept at home
by :func:`scrubbed_environment`.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import ipaddress
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["AwsGuard", "RealAwsRefused", "install", "scrubbed", "scrubbed_environment", "uninstall"]

HANDLERS = "botocore.handlers"

LOGIN = {
    "sts.GetCallerIdentity",
    "sts.AssumeRole",
    "sts.AssumeRoleWithSAML",
    "sts.AssumeRoleWithWebIdentity",
    "sso.GetRoleCredentials",
    "sso-oidc.CreateToken",
}
"""Operations that find out who is calling; the only ones before the account is confirmed."""

SERVICES = {"iot", "iotdata", "sts"}
"""What a confirmed account is used for (names as in the signature's scope)."""

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class RealAwsRefused(BaseException):
    """A request was about to leave for a real AWS account that nobody allowed; nothing was sent."""

    exit_code: ClassVar[int] = 18


class AwsGuard:
    """The check itself: a handler of botocore's ``before-send`` event."""

    def __init__(self) -> None:
        self._confirmed: dict[str, str] = {}
        self._logging_in = False

    def __call__(self, request: Any, event_name: str, **_: Any) -> None:  # noqa: ANN401  (as botocore calls it)
        """Let the request pass or raise.

        Args:
            request: botocore's prepared request.
            event_name: ``before-send.<service>.<operation>``.

        Raises:
            RealAwsRefused: it would leave this machine and nobody allowed it.
        """
        host = urlsplit(request.url).hostname or ""
        operation = event_name.removeprefix("before-send.")
        if _is_loopback(host) or _is_mocked(host):
            return
        if self._logging_in and operation in LOGIN and host.endswith(".amazonaws.com"):
            return
        if self._is_confirmed(host, request.headers.get("Authorization")):
            return
        raise RealAwsRefused(
            f"{operation} was about to be sent to {host}; nothing was sent\n"
            "  → a rig reaches a real account only with `cloud: {mode: aws, account_id: …}` in its file"
            " and --allow-aws with the same account"
        )

    def _is_confirmed(self, host: str, authorization: str | bytes | None) -> bool:
        text = authorization.decode() if isinstance(authorization, bytes) else authorization or ""
        scope = SCOPE.search(text)
        if scope is None:
            return False
        key, region, service = scope.groups()
        return (
            self._confirmed.get(key) == region
            and service in SERVICES
            and host.endswith(f".{region}.amazonaws.com")
        )

    @property
    def confirmed(self) -> bool:
        """Whether a real account may be used at this moment."""
        return bool(self._confirmed)

    def confirm(self, access_key: str, region: str) -> None:
        """Let requests pass that are signed with ``access_key`` for ``region``; STS named its account."""
        self._confirmed[access_key] = region

    def revoke(self, access_key: str) -> None:
        """Undo :meth:`confirm`."""
        self._confirmed.pop(access_key, None)

    @contextmanager
    def logging_in(self) -> Iterator[None]:
        """Let the operations of :data:`LOGIN` pass, to find out whose account it is."""
        self._logging_in = True
        try:
            yield
        finally:
            self._logging_in = False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_mocked(host: str) -> bool:
    """True while moto answers: it takes every ``amazonaws.com`` host unless told to let some through."""
    models = sys.modules.get("moto.core.models")
    if models is None or not models.botocore_stubber.enabled:
        return False
    let_through = models.default_user_config.get("core", {}).get("passthrough", {})
    return host.endswith(".amazonaws.com") and not any(let_through.values())


class _WhenImported(importlib.abc.MetaPathFinder):
    """Adds the guard to botocore's handlers at the moment they are imported."""

    def __init__(self, guard: AwsGuard) -> None:
        self.guard = guard

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != HANDLERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _AndAppend(spec.loader, self.guard)
        return spec


class _AndAppend(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, guard: AwsGuard) -> None:
        self._loader = loader
        self._guard = guard

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.BUILTIN_HANDLERS.append(("before-send", self._guard))


def _find() -> AwsGuard | None:
    handlers = sys.modules.get(HANDLERS)
    entries = handlers.BUILTIN_HANDLERS if handlers else ()
    for entry in entries:
        if isinstance(entry[1], AwsGuard):
            return entry[1]
    return next((finder.guard for finder in sys.meta_path if isinstance(finder, _WhenImported)), None)


def install() -> AwsGuard:
    """Guard every botocore session made from now on in this process; idempotent.

    Costs nothing while botocore is not imported: the guard is then added when it is. Sessions that exist
    already are not guarded (botocore copies its handlers into each session).
    """
    guard = _find()
    if guard is not None:
        return guard
    guard = AwsGuard()
    handlers = sys.modules.get(HANDLERS)
    if handlers is None:
        sys.meta_path.insert(0, _WhenImported(guard))
    else:
        handlers.BUILTIN_HANDLERS.append(("before-send", guard))
    return guard


def uninstall() -> None:
    """Take the guard away; sessions made under it keep it."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _WhenImported)]
    handlers = sys.modules.get(HANDLERS)
    if handlers is not None:
        handlers.BUILTIN_HANDLERS[:] = [
            entry for entry in handlers.BUILTIN_HANDLERS if not isinstance(entry[1], AwsGuard)
        ]


def scrubbed_environment(
    environment: Mapping[str, str], *, region: str = "us-east-1", endpoint_url: str | None = None
) -> dict[str, str]:
    """A copy of ``environment`` in which no AWS credentials, profiles or endpoints are left.

    Args:
        environment: usually ``os.environ``.
        region: the default region of whoever gets the result.
        endpoint_url: where its AWS calls shall go, e.g. a local moto server; without one they go nowhere
            useful, because the credentials are made up.
    """
    clean = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    clean |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
    if endpoint_url is not None:
        direct = "127.0.0.1,localhost,::1"
        clean |= {"AWS_ENDPOINT_URL": endpoint_url, "NO_PROXY": direct, "no_proxy": direct}
    return clean


@contextmanager
def scrubbed(
    environment: MutableMapping[str, str], *, region: str = "us-east-1", endpoint_url: str | None = None
) -> Iterator[None]:
    """Scrub ``environment`` in place and put back what was there.

    Only the variables that scrubbing touches are put back; others keep what happened meanwhile.
    """
    clean = scrubbed_environment(environment, region=region, endpoint_url=endpoint_url)
    touched = {n for n in (*environment, *clean) if environment.get(n) != clean.get(n)}
    before = {name: environment.get(name) for name in touched}
    _set(environment, {name: clean.get(name) for name in touched})
    try:
        yield
    finally:
        _set(environment, before)


def _set(environment: MutableMapping[str, str], values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
