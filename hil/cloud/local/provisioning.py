"""Just-in-time provisioning: what a CA's template makes of a device at its first connection.

Template language: AWS IoT Core developer guide, "Provisioning templates" and "Just-in-time
provisioning". Understood are ``Ref``, ``Fn::Join`` and ``Fn::Sub``, things with attributes, certificates
and policies by name or document; anything else in a template is refused when the CA is registered.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from moto.iot.exceptions import InvalidRequestException, IoTClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.cloud.local.overlay import AwsBackend
    from hil.cloud.local.records import Certificate

__all__ = ["Template", "provision"]

PREFIX = "AWS::IoT::Certificate::"
SUBJECT = {
    "Country": x509.NameOID.COUNTRY_NAME,
    "Organization": x509.NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DistinguishedNameQualifier": x509.NameOID.DN_QUALIFIER,
    "StateName": x509.NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": x509.NameOID.COMMON_NAME,
    "SerialNumber": x509.NameOID.SERIAL_NUMBER,
}
"""Parameters that come from the subject of the device's certificate."""

PROPERTIES = {
    "AWS::IoT::Thing": {"ThingName", "AttributePayload", "ThingTypeName", "BillingGroup"},
    "AWS::IoT::Certificate": {"CertificateId", "Status"},
    "AWS::IoT::Policy": {"PolicyName", "PolicyDocument"},
}


@dataclass(frozen=True)
class Template:
    """A template whose form has been checked.

    Attributes:
        parameters: names that it uses.
        thing: properties of the thing, or None.
        certificate: properties of the certificate, or None.
        policies: properties of each policy.
    """

    parameters: frozenset[str]
    thing: Mapping[str, Any] | None
    certificate: Mapping[str, Any] | None
    policies: tuple[Mapping[str, Any], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template body.

        Raises:
            InvalidRequestException: it is not one, or uses what is not understood here.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            raise InvalidRequestException(f"The template body is not JSON: {error}.") from error
        resources = body.get("Resources") if isinstance(body, dict) else None
        if not isinstance(resources, dict) or not resources:
            raise InvalidRequestException("The template has no Resources.")
        parts: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in PROPERTIES}
        for name, resource in resources.items():
            parts[_kind(name, resource)].append(resource["Properties"])
        if len(parts["AWS::IoT::Thing"]) > 1 or len(parts["AWS::IoT::Certificate"]) != 1:
            raise InvalidRequestException("A template has one certificate and at most one thing.")
        parameters = frozenset(body.get("Parameters", {}))
        unknown = {name for name in parameters if name not in _known_parameters()}
        if unknown:
            raise InvalidRequestException(
                f"Nobody gives the parameters {', '.join(sorted(unknown))} a value."
            )
        return cls(
            parameters,
            next(iter(parts["AWS::IoT::Thing"]), None),
            parts["AWS::IoT::Certificate"][0],
            tuple(parts["AWS::IoT::Policy"]),
        )


def _known_parameters() -> set[str]:
    return {PREFIX + name for name in (*SUBJECT, "Id")}


def _kind(name: str, resource: Any) -> str:  # noqa: ANN401  (what a request happened to hold)
    kind = resource.get("Type") if isinstance(resource, dict) else None
    if kind not in PROPERTIES or not isinstance(resource.get("Properties"), dict):
        raise InvalidRequestException(f"Resource {name} has type {kind} or no Properties.")
    strange = set(resource["Properties"]) - PROPERTIES[kind]
    if strange:
        raise InvalidRequestException(
            f"Resource {name}: {', '.join(sorted(strange))} is not understood here."
        )
    return str(kind)


def provision(backend: AwsBackend, certificate: Certificate, text: str) -> str:
    """Make what the template says for a certificate that has just registered itself.

    Args:
        backend: the account.
        certificate: the device's, in ``PENDING_ACTIVATION``.
        text: the template body.

    Returns:
        Why it failed (the certificate then stays as it is, as on AWS, where the failure shows in the
        account's log only), or an empty text.
    """
    try:
        template = Template.parse(text)
        values = _values(template, certificate)
        thing = _thing(backend, template, values)
        policies = [_policy(backend, policy, values) for policy in template.policies]
        for name in policies:
            backend.attach_policy(policy_name=name, target=certificate.arn)
        if thing is not None:
            backend.attach_thing_principal(thing_name=thing, principal_arn=certificate.arn)
        assert template.certificate is not None, "checked when it was parsed"
        status = _resolve(template.certificate.get("Status", "ACTIVE"), values)
        backend.update_certificate(certificate_id=certificate.certificate_id, new_status=status)
    except IoTClientError as error:
        return str(error.message)
    return ""


def _values(template: Template, certificate: Certificate) -> dict[str, str]:
    values = {f"{PREFIX}Id": certificate.certificate_id}
    for name, oid in SUBJECT.items():
        found = certificate.x509.subject.get_attributes_for_oid(oid)
        if found:
            values[PREFIX + name] = str(found[0].value)
    missing = template.parameters - set(values)
    if missing:
        names = ", ".join(sorted(name.removeprefix(PREFIX) for name in missing))
        raise InvalidRequestException(f"The subject of the certificate has no {names}.")
    return {name: value for name, value in values.items() if name in template.parameters}


def _thing(backend: AwsBackend, template: Template, values: Mapping[str, str]) -> str | None:
    if template.thing is None:
        return None
    properties = _resolve_all(template.thing, values)
    name = str(properties["ThingName"])
    backend.create_thing(
        thing_name=name,
        thing_type_name=properties.get("ThingTypeName", ""),
        attribute_payload={"attributes": properties.get("AttributePayload", {})},
        billing_group_name=properties.get("BillingGroup"),
    )
    return name


def _policy(backend: AwsBackend, properties: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """The name of the policy, which is made if only its document is given."""
    resolved = _resolve_all(properties, values)
    if "PolicyName" in resolved and "PolicyDocument" not in resolved:
        return str(resolved["PolicyName"])
    document = resolved.get("PolicyDocument")
    text = document if isinstance(document, str) else json.dumps(document)
    name = str(resolved.get("PolicyName") or f"jitp-{hashlib.sha256(text.encode()).hexdigest()[:32]}")
    if name not in backend.policies:
        backend.create_policy(policy_name=name, policy_document=text)
    return name


def _resolve_all(properties: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Each property with its functions carried out; a policy document is left as it is."""
    return {
        name: value if name == "PolicyDocument" and isinstance(value, dict) else _resolve(value, values)
        for name, value in properties.items()
    }


def _resolve(value: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, list):
        return [_resolve(item, values) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref":
            return _lookup(str(argument), values)
        if function == "Fn::Join":
            separator, items = argument
            return str(separator).join(str(item) for item in _resolve(items, values))
        if function == "Fn::Sub":
            return re.sub(r"\$\{([^}]+)\}", lambda found: _lookup(found[1], values), str(argument))
        if function.startswith("Fn::"):
            raise InvalidRequestException(f"{function} is not understood here.")
    return {name: _resolve(item, values) for name, item in value.items()}


def _lookup(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise InvalidRequestException(f"{name} is not a parameter of the template.")
    return values[name]
