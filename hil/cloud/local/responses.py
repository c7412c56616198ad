"""The request handlers of the overlay: parameters that moto drops, operations it lacks, pages.

moto finds a handler by the operation's name on ``IoTResponse``; :func:`installed_responses` puts ours
there for as long as the overlay is in use.
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import InvalidRequestException
from moto.iot.responses import IoTResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.cloud.local.overlay import AwsBackend

__all__ = ["installed_responses"]

DEFAULT_PAGE = 25
LARGEST_PAGE = 250


def _backend(response: IoTResponse) -> AwsBackend:
    return response.iot_backend  # type: ignore[return-value]  # the overlay's own, installed together


def describe_endpoint(self: IoTResponse) -> ActionResult:
    """Without a type AWS IoT names the older, not the ATS endpoint."""
    endpoint = self.iot_backend.describe_endpoint(self._get_param("endpointType", "iot:Data"))
    return ActionResult(endpoint.to_dict())


def register_ca_certificate(self: IoTResponse) -> ActionResult:
    """Passes on what moto drops: proof of possession, mode, automatic registration."""
    ca = _backend(self).register_ca_certificate(
        ca_certificate=self._get_param("caCertificate"),
        set_as_active=self._get_bool_param("setAsActive", False),
        registration_config=self._get_param("registrationConfig") or {},
        verification_certificate=self._get_param("verificationCertificate"),
        allow_auto_registration=self._get_bool_param("allowAutoRegistration", False),
        mode=self._get_param("certificateMode", "DEFAULT"),
    )
    return ActionResult({"certificateId": ca.certificate_id, "certificateArn": ca.arn})


def update_ca_certificate(self: IoTResponse) -> ActionResult:
    """Passes on the automatic registration."""
    _backend(self).update_ca_certificate(
        certificate_id=self.path.split("/")[-1],
        new_status=self._get_param("newStatus"),
        config=self._get_param("registrationConfig"),
        auto_registration=self._get_param("newAutoRegistrationStatus"),
        remove_auto_registration=self._get_bool_param("removeAutoRegistration", False),
    )
    return EmptyResult()


def list_ca_certificates(self: IoTResponse) -> ActionResult:
    """Every registered CA certificate."""
    return ActionResult({"certificates": [ca.to_dict() for ca in self.iot_backend.ca_certificates.values()]})


def delete_registration_code(self: IoTResponse) -> ActionResult:
    """The next registration code differs."""
    _backend(self).delete_registration_code()
    return EmptyResult()


def attach_thing_principal(self: IoTResponse) -> ActionResult:
    """Passes on whether the principal belongs to one thing only."""
    _backend(self).attach_thing_principal(
        thing_name=self._get_param("thingName"),
        principal_arn=self.headers.get("x-amzn-principal"),
        principal_type=self._get_param("thingPrincipalType"),
    )
    return EmptyResult()


@dataclass(frozen=True)
class Pages:
    """How an operation names its pages.

    Attributes:
        items: member of the answer that holds the list.
        size: parameter with the page size.
        token: parameter with the place to go on from.
        following: member of the answer with the place of the next page.
        ordered: the operation knows ``ascendingOrder``; without it the newest comes first.
    """

    items: str
    size: str = "pageSize"
    token: str = "marker"
    following: str = "nextMarker"
    ordered: bool = False


PAGED = {
    "list_attached_policies": Pages("policies"),
    "list_ca_certificates": Pages("certificates", ordered=True),
    "list_certificates": Pages("certificates", ordered=True),
    "list_certificates_by_ca": Pages("certificates", ordered=True),
    "list_policies": Pages("policies", ordered=True),
    "list_principal_things": Pages("things", "maxResults", "nextToken", "nextToken"),
    "list_targets_for_policy": Pages("targets"),
    "list_thing_principals": Pages("principals", "maxResults", "nextToken", "nextToken"),
}


def _paged(handler: Callable[[IoTResponse], ActionResult], pages: Pages) -> Callable[..., ActionResult]:
    """The handler with its list cut into pages; the token is the offset in base64."""

    def page(self: IoTResponse) -> ActionResult:
        size = self._get_int_param(pages.size, DEFAULT_PAGE)
        if not 1 <= size <= LARGEST_PAGE:
            raise InvalidRequestException(f"{pages.size} must be between 1 and {LARGEST_PAGE}.")
        start = _offset(self._get_param(pages.token))
        answer: dict[str, Any] = dict(handler(self).result)  # type: ignore[call-overload]  # always a mapping
        items = list(answer[pages.items])
        if pages.ordered and not self._get_bool_param("isAscendingOrder", False):
            items.reverse()
        answer[pages.items] = items[start : start + size]
        answer[pages.following] = _token(start + size) if start + size < len(items) else None
        return ActionResult(answer)

    return page


def _token(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError as error:
        raise InvalidRequestException("The marker is not one that was given out.") from error


@contextlib.contextmanager
def installed_responses() -> Iterator[None]:
    """Put the handlers on moto's ``IoTResponse``; what was there returns at the end."""
    handlers: dict[str, Callable[..., ActionResult]] = {
        handler.__name__: handler
        for handler in (
            attach_thing_principal,
            delete_registration_code,
            describe_endpoint,
            list_ca_certificates,
            register_ca_certificate,
            update_ca_certificate,
        )
    }
    for name, pages in PAGED.items():
        handlers[name] = _paged(handlers.get(name) or vars(IoTResponse)[name], pages)
    plain = {name: vars(IoTResponse).get(name) for name in handlers}
    for name, handler in handlers.items():
        setattr(IoTResponse, name, handler)
    try:
        yield
    finally:
        for name, method in plain.items():
            if method is None:
                delattr(IoTResponse, name)
            else:
                setattr(IoTResponse, name, method)
