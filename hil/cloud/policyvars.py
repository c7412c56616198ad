"""The values of policy variables for one connection.

Source: AWS IoT Core developer guide, "Basic AWS IoT Core policy variables", "Thing policy variables",
"X.509 certificate AWS IoT Core policy variables".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from hil.cloud.registry import CertificateRecord, Thing

__all__ = ["connection_variables"]

_NAME_PARTS = {
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.COMMON_NAME: "CommonName",
    NameOID.SERIAL_NUMBER: "SerialNumber",
    NameOID.TITLE: "Title",
    NameOID.SURNAME: "Surname",
    NameOID.GIVEN_NAME: "GivenName",
    NameOID.INITIALS: "Initials",
    NameOID.PSEUDONYM: "Pseudonym",
    NameOID.GENERATION_QUALIFIER: "GenerationQualifier",
}


def connection_variables(client_id: str, record: CertificateRecord, der: bytes) -> dict[str, str]:
    """Variables and condition keys of a connection.

    The thing is the attached one whose name is the client id; without such a thing the thing
    variables have no value.

    Args:
        client_id: of the CONNECT packet.
        record: the certificate's registration.
        der: the certificate itself.
    """
    thing = next((one for one in record.things if one.name == client_id), None)
    return {
        "iot:ClientId": client_id,
        "iot:CertificateId": record.certificate_id,
        "iot:Connection.Thing.IsAttached": "true" if thing is not None else "false",
        **_thing_variables(thing),
        **_certificate_variables(der),
    }


def _thing_variables(thing: Thing | None) -> dict[str, str]:
    if thing is None:
        return {}
    result = {"iot:Connection.Thing.ThingName": thing.name}
    if thing.type_name is not None:
        result["iot:Connection.Thing.ThingTypeName"] = thing.type_name
    for name, value in thing.attributes.items():
        result[f"iot:Connection.Thing.Attributes[{name}]"] = value
    return result


def _certificate_variables(der: bytes) -> dict[str, str]:
    certificate = x509.load_der_x509_certificate(der)
    return {
        "iot:Certificate.SerialNumber": f"{certificate.serial_number:x}",
        **_name_variables("iot:Certificate.Subject", certificate.subject),
        **_name_variables("iot:Certificate.Issuer", certificate.issuer),
        **_alternative_names(certificate),
    }


def _name_variables(prefix: str, name: x509.Name) -> dict[str, str]:
    """Each part by name (its first value) and by name and index."""
    result: dict[str, str] = {}
    for oid, part in _NAME_PARTS.items():
        for index, attribute in enumerate(name.get_attributes_for_oid(oid)):
            value = str(attribute.value)
            result.setdefault(f"{prefix}.{part}", value)
            result[f"{prefix}.{part}.{index}"] = value
    return result


def _alternative_names(certificate: x509.Certificate) -> dict[str, str]:
    """The subject's alternative names; none if the extensions break X.509's rules, as some makers' do."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return {}
    prefix = "iot:Certificate.SubjectAlternativeName"
    result: dict[str, str] = {}
    kinds = {
        "RFC822Name": names.get_values_for_type(x509.RFC822Name),
        "DNSName": names.get_values_for_type(x509.DNSName),
        "UniformResourceIdentifier": names.get_values_for_type(x509.UniformResourceIdentifier),
        "IPAddress": [str(address) for address in names.get_values_for_type(x509.IPAddress)],
    }
    for kind, values in kinds.items():
        for index, value in enumerate(values):
            result.setdefault(f"{prefix}.{kind}", value)
            result[f"{prefix}.{kind}.{index}"] = value
    return result
