"""What moto's ``iot`` gets wrong, put right: a backend and responses that behave like AWS IoT.

``docs/aws-fidelity.md`` lists every row with its source. The contract test runs each of them on plain
moto too, so that a fix upstream is noticed. Everything here rests on private API of moto 5.2.

The backend says that it lives in ``moto.iot.models``, because moto imports the table of URLs from
``__module__`` with ``models`` replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.iot.exceptions import (
    CertificateStateException,
    InvalidRequestException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from moto.iot.models import (
    FakeCertificate,
    FakeEndpoint,
    FakePolicy,
    FakePolicyVersion,
    FakeThing,
    IoTBackend,
    iot_backends,
)

from hil.clock import Calendar
from hil.cloud.local.issuing import (
    Issuer,
    Unacceptable,
    check_certificate,
    first_certificate,
    is_ca,
    is_signed_by,
    load_csr,
)
from hil.cloud.local.provisioning import Template
from hil.cloud.local.records import CaCertificate, Certificate
from hil.cloud.local.refusing import (
    POLICY_NAME,
    SETTABLE_STATUS,
    THING_NAME,
    Refused,
    check_name,
    check_policy,
    initial_status,
    invalid_certificate,
)
from hil.cloud.pem import to_der

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["AwsBackend", "installed"]

CAS_PER_SUBJECT = 10


class AwsBackend(IoTBackend):
    """moto's backend with the rules of AWS IoT; one instance per account and region."""

    __module__ = "moto.iot.models"

    certificates: dict[str, FakeCertificate]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.calendar = Calendar()
        """Date and time for validity; a local cloud puts its own here."""
        self.issuer = Issuer()
        self.status_listeners: list[Callable[[str, str], None]] = []
        """Called with certificate id and new status after ``UpdateCertificate``."""
        self.exclusive: dict[str, str] = {}
        """ARN of a principal that may be attached to one thing only -> that thing's name."""
        self._code_generation = 0

    # -- identity of the account --------------------------------------------------------------

    def _stable(self, purpose: str) -> str:
        """64 hexadecimal digits that are the same in every run for this account and region."""
        return hashlib.sha256(f"hil {purpose} {self.account_id} {self.region_name}".encode()).hexdigest()

    def get_registration_code(self) -> str:
        """The same code until it is deleted."""
        return self._stable(f"registration code {self._code_generation}")

    def delete_registration_code(self) -> None:
        """Forget the code; the next one differs."""
        self._code_generation += 1

    def describe_endpoint(self, endpoint_type: str) -> FakeEndpoint:
        """The account's host of that type, always the same."""
        endpoint = FakeEndpoint(endpoint_type, self.region_name)
        _, dot, rest = endpoint.endpoint.partition("-ats." if endpoint_type == "iot:Data-ATS" else ".")
        endpoint.endpoint = f"a{self._stable('endpoint')[:13]}{dot}{rest}"
        return endpoint

    # -- certificates -------------------------------------------------------------------------

    def _add(self, certificate: Certificate) -> Certificate:
        if certificate.certificate_id in self.certificates:
            raise ResourceAlreadyExistsException(
                "The certificate is already provisioned or registered",
                certificate.certificate_id,
                certificate.arn,
            )
        self.certificates[certificate.certificate_id] = certificate
        return certificate

    def _checked(self, pem: str) -> x509.Certificate:
        try:
            certificate = first_certificate(pem)
            check_certificate(certificate, self.calendar.time())
        except Unacceptable as error:
            raise invalid_certificate(f"The certificate is invalid: {error}.") from error
        return certificate

    def _certificate(
        self, pem: str, status: str, ca_certificate_id: str | None = None, mode: str = "DEFAULT"
    ) -> Certificate:
        return Certificate(
            certificate_pem=pem,
            status=status,
            account_id=self.account_id,
            region_name=self.region_name,
            ca_certificate_id=ca_certificate_id,
            mode=mode,
        )

    def create_certificate_from_csr(self, csr: str, set_as_active: bool | str) -> Certificate:
        """Issue a certificate for the key of the request; every call gives another one."""
        try:
            request = load_csr(csr)
        except Unacceptable as error:
            raise InvalidRequestException(f"The CSR is invalid: {error}.") from error
        pem = self.issuer.issue(request.subject, request.public_key(), self.calendar.time())
        # moto hands the query string on as text, where "false" is true.
        active = set_as_active in (True, "true")
        return self._add(self._certificate(pem, "ACTIVE" if active else "INACTIVE"))

    def create_keys_and_certificate(self, set_as_active: bool) -> tuple[FakeCertificate, dict[str, str]]:
        """Make an RSA-2048 key and issue a certificate for it."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key()
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AWS IoT Certificate")])
        pem = self.issuer.issue(name, public, self.calendar.time())
        certificate = self._add(self._certificate(pem, "ACTIVE" if set_as_active else "INACTIVE"))
        return certificate, {
            "PublicKey": public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            "PrivateKey": key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ).decode(),
        }

    def register_certificate(
        self, certificate_pem: str, ca_certificate_pem: str | None, set_as_active: bool, status: str
    ) -> Certificate:
        """Register a certificate that a registered CA has signed."""
        status = "ACTIVE" if set_as_active else initial_status(status)
        certificate = self._checked(certificate_pem)
        ca = self._signing_ca(certificate, ca_certificate_pem)
        return self._add(self._certificate(certificate_pem, status, ca.certificate_id, ca.mode))

    def _signing_ca(self, certificate: x509.Certificate, ca_pem: str | None) -> CaCertificate:
        candidates = self._cas_named(certificate.issuer)
        if ca_pem is not None:
            wanted = to_der(self._checked(ca_pem))
            candidates = [ca for ca in candidates if to_der(ca.x509) == wanted]
        if not candidates:
            raise invalid_certificate("No registered CA certificate has issued this certificate.")
        if len(candidates) > 1:
            raise Refused(
                409,
                "CertificateConflictException",
                "Several registered CA certificates have this subject; name the CA certificate.",
            )
        ca = candidates[0]
        if not is_signed_by(certificate, ca.x509):
            raise invalid_certificate("The certificate is not signed by the registered CA certificate.")
        if ca.status != "ACTIVE":
            raise CertificateStateException("The CA certificate is not active.", ca.certificate_id)
        return ca

    def _cas_named(self, subject: x509.Name) -> list[CaCertificate]:
        cas = (ca for ca in self.ca_certificates.values() if isinstance(ca, CaCertificate))
        return [ca for ca in cas if ca.x509.subject == subject]

    def register_certificate_without_ca(self, certificate_pem: str, status: str) -> Certificate:
        """Register a certificate of any issuer; its devices must send SNI."""
        status = initial_status(status)
        self._checked(certificate_pem)
        return self._add(self._certificate(certificate_pem, status, mode="SNI_ONLY"))

    def register_on_connect(self, pem: str) -> Certificate | None:
        """Just-in-time registration: what an unknown certificate becomes at its first CONNECT.

        Returns:
            The certificate in ``PENDING_ACTIVATION``, or None if no active CA with automatic
            registration has signed it or it is not acceptable.
        """
        try:
            certificate = first_certificate(pem)
            check_certificate(certificate, self.calendar.time())
        except Unacceptable:
            return None
        for ca in self._cas_named(certificate.issuer):
            if ca.status == "ACTIVE" and ca.auto_registration and is_signed_by(certificate, ca.x509):
                entry = self._certificate(pem, "PENDING_ACTIVATION", ca.certificate_id, ca.mode)
                return self._add(entry)
        return None

    def update_certificate(self, certificate_id: str, new_status: str) -> None:
        """Change the state; what is revoked stays revoked (developer guide)."""
        if new_status not in SETTABLE_STATUS:
            raise InvalidRequestException(f"{new_status} is not a status that can be set.")
        certificate = self.describe_certificate(certificate_id)
        if certificate.status == "REVOKED" and new_status != "REVOKED":
            raise CertificateStateException("A revoked certificate cannot change its status.", certificate_id)
        certificate.status = new_status
        for listener in list(self.status_listeners):
            listener(certificate_id, new_status)

    def describe_certificate(self, certificate_id: str) -> FakeCertificate:
        """One certificate by its id."""
        try:
            return self.certificates[certificate_id]
        except KeyError as error:
            raise ResourceNotFoundException() from error

    def _get_principal(self, principal_arn: str) -> Any:  # noqa: ANN401  (as moto types it)
        if ":cert/" in principal_arn:
            certificate = self.certificates.get(principal_arn.rpartition("/")[2])
            if certificate is None or certificate.arn != principal_arn:
                raise ResourceNotFoundException()
            return certificate
        return super()._get_principal(principal_arn)

    # -- certificate authorities --------------------------------------------------------------

    def register_ca_certificate(
        self,
        ca_certificate: str,
        set_as_active: bool,
        registration_config: dict[str, str],
        verification_certificate: str | None = None,
        allow_auto_registration: bool = False,
        mode: str = "DEFAULT",
    ) -> CaCertificate:
        """Register a CA certificate after it has proven that its key is at hand."""
        certificate = self._checked(ca_certificate)
        _check_registration(registration_config)
        if not is_ca(certificate):
            raise invalid_certificate("The certificate is not a CA certificate (basicConstraints).")
        self._check_possession(certificate, verification_certificate, mode)
        ca = CaCertificate(
            ca_certificate=ca_certificate,
            status="ACTIVE" if set_as_active else "INACTIVE",
            account_id=self.account_id,
            region_name=self.region_name,
            registration_config=registration_config,
            mode=mode,
            auto_registration=allow_auto_registration,
        )
        if ca.certificate_id in self.ca_certificates:
            raise ResourceAlreadyExistsException(
                "The CA certificate is already registered", ca.certificate_id, ca.arn
            )
        if len(self._cas_named(certificate.subject)) >= CAS_PER_SUBJECT:
            raise Refused(
                410, "LimitExceededException", f"{CAS_PER_SUBJECT} CA certificates have this subject."
            )
        self.ca_certificates[ca.certificate_id] = ca
        return ca

    def _check_possession(self, ca: x509.Certificate, verification: str | None, mode: str) -> None:
        if mode == "SNI_ONLY":
            if verification:
                raise InvalidRequestException("SNI_ONLY mode takes no verification certificate.")
            return
        if mode != "DEFAULT":
            raise InvalidRequestException(f"{mode} is not a certificate mode.")
        if not verification:
            raise InvalidRequestException("DEFAULT mode requires a verification certificate.")
        proof = self._checked(verification)
        names = [str(a.value) for a in proof.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        if names != [self.get_registration_code()]:
            raise Refused(
                400,
                "RegistrationCodeValidationException",
                "The common name of the verification certificate is not the registration code.",
            )
        if not is_signed_by(proof, ca):
            raise invalid_certificate("The verification certificate is not signed by the CA certificate.")

    def update_ca_certificate(
        self,
        certificate_id: str,
        new_status: str | None,
        config: dict[str, str] | None,
        auto_registration: str | None = None,
        remove_auto_registration: bool = False,
    ) -> None:
        """Change the state of a CA certificate and of its automatic registration."""
        if new_status not in (None, "ACTIVE", "INACTIVE"):
            raise InvalidRequestException(f"{new_status} is not a status of a CA certificate.")
        if auto_registration not in (None, "ENABLE", "DISABLE"):
            raise InvalidRequestException(f"{auto_registration} is neither ENABLE nor DISABLE.")
        _check_registration(config or {})
        ca = self.describe_ca_certificate(certificate_id)
        super().update_ca_certificate(certificate_id, new_status, config)
        if isinstance(ca, CaCertificate):
            if auto_registration is not None:
                ca.auto_registration = auto_registration == "ENABLE"
            if remove_auto_registration:
                ca.auto_registration, ca.registration_config = False, {}

    # -- things and policies ------------------------------------------------------------------

    def create_thing(
        self,
        thing_name: str,
        thing_type_name: str,
        attribute_payload: dict[str, Any] | None,
        billing_group_name: str | None = None,
    ) -> FakeThing:
        """Create a thing; the same call again is the same thing, another one is refused."""
        check_name("thing", THING_NAME, thing_name)
        existing = next((thing for thing in self.things.values() if thing.thing_name == thing_name), None)
        if existing is None:
            return super().create_thing(thing_name, thing_type_name, attribute_payload, billing_group_name)
        type_name = existing.thing_type.thing_type_name if existing.thing_type else None
        attributes = (attribute_payload or {}).get("attributes", {})
        same = (type_name, existing.attributes, existing.billing_group_name)
        if same != (thing_type_name or None, attributes, billing_group_name or None):
            raise ResourceAlreadyExistsException(
                f"Thing {thing_name} already exists in account with different properties",
                existing.thing_id,
                existing.arn,
            )
        return existing

    def delete_thing(self, thing_name: str) -> None:
        """Delete a thing; one that does not exist counts as deleted."""
        with contextlib.suppress(ResourceNotFoundException):
            super().delete_thing(thing_name)

    def attach_thing_principal(
        self, thing_name: str, principal_arn: str, principal_type: str | None = None
    ) -> None:
        """Attach a principal, exclusively if asked for."""
        attached = [thing for thing in self.list_principal_things(principal_arn) if thing != thing_name]
        exclusive = self.exclusive.get(principal_arn, thing_name)
        if attached and (principal_type == "EXCLUSIVE_THING" or exclusive != thing_name):
            raise InvalidRequestException(f"The principal is attached to {', '.join(attached)}.")
        super().attach_thing_principal(thing_name, principal_arn)
        if principal_type == "EXCLUSIVE_THING":
            self.exclusive[principal_arn] = thing_name

    def detach_thing_principal(self, thing_name: str, principal_arn: str) -> None:
        """Detach a principal and forget that it was exclusive."""
        super().detach_thing_principal(thing_name, principal_arn)
        self.exclusive.pop(principal_arn, None)

    def create_policy(self, policy_name: str, policy_document: Any) -> FakePolicy:  # noqa: ANN401  (text)
        """Create a policy whose document makes sense."""
        check_name("policy", POLICY_NAME, policy_name)
        check_policy(policy_document)
        return super().create_policy(policy_name, policy_document)

    def create_policy_version(
        self,
        policy_name: str,
        policy_document: Any,  # noqa: ANN401  (text)
        set_as_default: bool,
    ) -> FakePolicyVersion:
        """Add a version whose document makes sense."""
        check_policy(policy_document)
        return super().create_policy_version(policy_name, policy_document, set_as_default)


def _check_registration(config: dict[str, str]) -> None:
    """Refuse a template that nobody could carry out."""
    if config.get("templateName"):
        raise ResourceNotFoundException(f"There is no template {config['templateName']}.")
    if "templateBody" in config:
        Template.parse(config["templateBody"])


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Use the overlay instead of moto's own backend and responses; what was there returns at the end.

    Existing accounts are dropped at both ends: their backends are of the other class.
    """
    from hil.cloud.local.responses import installed_responses

    plain = iot_backends.backend
    iot_backends.clear()
    iot_backends.backend = AwsBackend
    try:
        with installed_responses():
            yield
    finally:
        iot_backends.backend = plain
        iot_backends.clear()
