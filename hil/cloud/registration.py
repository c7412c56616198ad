"""The four ways of a device into AWS IoT, and what belongs to them.

==============  ==========================================  =================================
way             calls                                       who makes the key
==============  ==========================================  =================================
``aws-ca``      ``CreateKeysAndCertificate``                the cloud
``csr``         ``CreateCertificateFromCsr``                the device; the cloud's CA signs
``own-ca``      ``RegisterCertificate``, or just in time    the device; one's own CA signs
``without-ca``  ``RegisterCertificateWithoutCA``            the device; its maker's CA signs
==============  ==========================================  =================================

Each can be run again: what is there is used, what is missing is made, what this run makes goes into the
ledger. A certificate is activated last, when thing and policy are attached.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hil.cloud.cleanup import document_digest
from hil.cloud.pem import key_digest, load_certificate, load_csr, to_der, to_pem
from hil.cloud.refusals import refusals
from hil.cloud.registry import certificate_id
from hil.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from cryptography import x509
    from mypy_boto3_iot.type_defs import CertificateDescriptionTypeDef, RegistrationConfigTypeDef

    from hil.cloud.ledger import Kind, Ledger, Receipt
    from hil.cloud.session import CloudSession

__all__ = ["Registrar", "Registration", "Way"]

Way = Literal["aws-ca", "csr", "own-ca", "without-ca"]


@dataclass(frozen=True)
class Registration:
    """A device that the cloud knows.

    Attributes:
        certificate_id: SHA-256 of the certificate's DER, lower-case hexadecimal.
        certificate_arn: its ARN.
        pem: the certificate that the device presents.
        endpoint: the host that the device connects to.
        thing: the thing's name, prefix included.
        policy: the policy's name, prefix included.
        way: how it came there.
        private_key_pem: only of ``aws-ca``, and only when it was made just now: the cloud forgets it.
    """

    certificate_id: str
    certificate_arn: str
    pem: str
    endpoint: str
    thing: str
    policy: str
    way: Way
    private_key_pem: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Certificate:
    id: str
    arn: str
    pem: str
    status: str


class Registrar:
    """Registers devices in one account.

    Args:
        session: an open session.
        ledger: where what is created is noted.
    """

    def __init__(self, session: CloudSession, ledger: Ledger) -> None:
        self.session = session
        self.ledger = ledger
        self._iot = session.iot
        self._endpoint: str | None = None

    def endpoint(self) -> str:
        """The host of the account's data endpoint; asked once."""
        if self._endpoint is None:
            self._endpoint = self.session.endpoint()
        return self._endpoint

    def _creating(self, kind: Kind, identity: str) -> AbstractContextManager[Receipt]:
        return self.ledger.creating(
            kind, identity, account=self.session.account_id, region=self.session.region
        )

    # -- the four ways --------------------------------------------------------------------------

    def from_aws_ca(self, *, thing: str, policy: str, held: str | None = None) -> Registration:
        """Way 1: the cloud makes key and certificate.

        Args:
            thing: name of the thing.
            policy: name of a policy that exists.
            held: the certificate (PEM) of an earlier run whose private key is still at hand; it is used
                again if the cloud still accepts it. The cloud never shows a private key twice.
        """
        found = self._usable(load_certificate(held)) if held else None
        if found is not None:
            return self._complete(found, thing, policy, "aws-ca")
        with self._creating("certificate", f"for thing {self.session.name(thing)}") as receipt:
            with refusals("create keys and certificate"):
                answer = self._iot.create_keys_and_certificate(setAsActive=False)
            receipt.identity = answer["certificateId"]
        made = _Certificate(
            answer["certificateId"], answer["certificateArn"], answer["certificatePem"], "INACTIVE"
        )
        return self._complete(
            made, thing, policy, "aws-ca", fresh=True, private_key=answer["keyPair"]["PrivateKey"]
        )

    def from_csr(self, csr_pem: str, *, thing: str, policy: str, renew: bool = False) -> Registration:
        """Way 2: the cloud signs a certificate for the key of the request.

        Args:
            csr_pem: a PKCS#10 request, signed by the device's key.
            thing: name of the thing.
            policy: name of a policy that exists.
            renew: ask for another certificate although there is a usable one for the same key.

        Raises:
            CertificateError: not a request.
            CloudError: the cloud refuses it, or answers with a certificate for another key.
        """
        key = key_digest(load_csr(csr_pem).public_key())
        found = None if renew else self._of_key(key, self.session.name(thing))
        if found is not None:
            return self._complete(found, thing, policy, "csr")
        with self._creating("certificate", f"for thing {self.session.name(thing)}") as receipt:
            with refusals("create a certificate from the signing request"):
                answer = self._iot.create_certificate_from_csr(
                    certificateSigningRequest=csr_pem, setAsActive=False
                )
            receipt.identity = answer["certificateId"]
            receipt.facts["key"] = key
        if key_digest(load_certificate(answer["certificatePem"]).public_key()) != key:
            raise CloudError(
                f"certificate {answer['certificateId']} does not carry the key of the signing request",
                hint="plain moto does this; use the stand-in of this program",
            )
        made = _Certificate(
            answer["certificateId"], answer["certificateArn"], answer["certificatePem"], "INACTIVE"
        )
        return self._complete(made, thing, policy, "csr", fresh=True)

    def with_own_ca(self, pem: str, *, ca_pem: str, thing: str, policy: str) -> Registration:
        """Way 3: register a certificate that a registered CA has signed (see :meth:`ensure_ca`).

        Args:
            pem: the device's certificate.
            ca_pem: the CA's certificate.
            thing: name of the thing.
            policy: name of a policy that exists.
        """
        certificate = load_certificate(pem)

        def register() -> str:
            answer = self._iot.register_certificate(
                certificatePem=pem, caCertificatePem=ca_pem, status="INACTIVE"
            )
            return answer["certificateArn"]

        found, fresh = self._registered(certificate, pem, register)
        return self._complete(found, thing, policy, "own-ca", fresh=fresh)

    def without_ca(self, pem: str, *, thing: str, policy: str) -> Registration:
        """Way 4: register a certificate as it is, whoever signed it.

        Args:
            pem: the device's certificate; of a chain the first one.
            thing: name of the thing.
            policy: name of a policy that exists.
        """
        certificate = load_certificate(pem)
        first = to_pem(certificate)

        def register() -> str:
            answer = self._iot.register_certificate_without_ca(certificatePem=first, status="INACTIVE")
            return answer["certificateArn"]

        found, fresh = self._registered(certificate, first, register)
        return self._complete(found, thing, policy, "without-ca", fresh=fresh)

    def just_in_time(self, certificate_id: str, *, thing: str, policy: str) -> Registration:
        """Way 3 without a call of ours before: complete a certificate that registered itself.

        Args:
            certificate_id: as the registration event names it.
            thing: name of the thing.
            policy: name of a policy that exists.
        """
        found = self._describe(certificate_id)
        if found is None:
            raise CloudError(f"certificate {certificate_id} is not registered")
        return self._complete(found, thing, policy, "own-ca")

    # -- what they are made of ------------------------------------------------------------------

    def ensure_policy(self, name: str, document: str) -> str:
        """A policy with this document.

        Returns:
            Its name, prefix included.

        Raises:
            CloudError: a policy of that name has another document; it is not ours to change.
        """
        name = self.session.name(name)
        with refusals(f"create policy {name}"):
            try:
                existing = self._iot.get_policy(policyName=name)["policyDocument"]
            except self._iot.exceptions.ResourceNotFoundException:
                with self._creating("policy", name) as receipt:
                    self._iot.create_policy(policyName=name, policyDocument=document)
                    receipt.facts["document"] = document_digest(document)
                return name
        if _canonical(existing) != _canonical(document):
            raise CloudError(
                f"policy {name} exists and says something else", hint="use another name or delete it yourself"
            )
        return name

    def ensure_thing(self, name: str, attributes: Mapping[str, str] | None = None) -> str:
        """A thing; one that exists is used as it is.

        Returns:
            Its name, prefix included.
        """
        name = self.session.name(name)
        with refusals(f"create thing {name}"):
            try:
                self._iot.describe_thing(thingName=name)
            except self._iot.exceptions.ResourceNotFoundException:
                with self._creating("thing", name) as receipt:
                    answer = self._iot.create_thing(
                        thingName=name, attributePayload={"attributes": dict(attributes or {})}
                    )
                    receipt.facts["thingId"] = answer["thingId"]
        return name

    def ensure_ca(
        self,
        ca_pem: str,
        prove: Callable[[str], str],
        *,
        auto_registration: bool = False,
        provisioning: RegistrationConfigTypeDef | None = None,
    ) -> str:
        """A registered, active CA certificate.

        Args:
            ca_pem: the CA's certificate.
            prove: makes the verification certificate (PEM) for a registration code, signed by the CA's key.
            auto_registration: let devices register themselves by connecting.
            provisioning: template and role that make thing and policy for them, or None.

        Returns:
            The CA certificate's id.
        """
        ca_id = certificate_id(to_der(load_certificate(ca_pem)))
        with refusals(f"register CA certificate {ca_id}"):
            try:
                self._iot.describe_ca_certificate(certificateId=ca_id)
            except self._iot.exceptions.ResourceNotFoundException:
                code = self._iot.get_registration_code()["registrationCode"]
                proof = prove(code)
                with self._creating("ca", ca_id):
                    self._iot.register_ca_certificate(
                        caCertificate=ca_pem,
                        verificationCertificate=proof,
                        setAsActive=True,
                        allowAutoRegistration=auto_registration,
                    )
            else:
                self._iot.update_ca_certificate(
                    certificateId=ca_id,
                    newStatus="ACTIVE",
                    newAutoRegistrationStatus="ENABLE" if auto_registration else "DISABLE",
                )
            if provisioning is not None:
                self._iot.update_ca_certificate(certificateId=ca_id, registrationConfig=provisioning)
        return ca_id

    def attach(self, certificate_arn: str, *, thing: str, policy: str, fresh: bool = False) -> None:
        """Attach thing and policy to a certificate; what is attached already stays.

        Args:
            certificate_arn: the certificate.
            thing: full name of the thing.
            policy: full name of the policy.
            fresh: the certificate was created just now, so nothing can be attached yet: do not ask.
        """
        with refusals(f"attach {policy} and {thing} to {certificate_arn}"):
            if fresh or policy not in self._policies_of(certificate_arn):
                with self._creating("policy-attachment", f"{policy} {certificate_arn}"):
                    self._iot.attach_policy(policyName=policy, target=certificate_arn)
            if fresh or thing not in self._things_of(certificate_arn):
                with self._creating("thing-attachment", f"{thing} {certificate_arn}"):
                    self._iot.attach_thing_principal(thingName=thing, principal=certificate_arn)

    def activate(self, certificate_id: str) -> None:
        """Let the device in."""
        self._set_status(certificate_id, "ACTIVE")

    def deactivate(self, certificate_id: str) -> None:
        """Lock the device out for the time being."""
        self._set_status(certificate_id, "INACTIVE")

    def revoke(self, certificate_id: str) -> None:
        """Lock the device out for ever: a revoked certificate cannot be activated again."""
        self._set_status(certificate_id, "REVOKED")

    def _set_status(self, certificate_id: str, status: Literal["ACTIVE", "INACTIVE", "REVOKED"]) -> None:
        with refusals(f"make certificate {certificate_id} {status}"):
            self._iot.update_certificate(certificateId=certificate_id, newStatus=status)

    def retire(self, registration: Registration) -> None:
        """Lock a certificate out and detach it from its thing and policy; the certificate stays."""
        self.deactivate(registration.certificate_id)
        arn = registration.certificate_arn
        with refusals(f"detach certificate {registration.certificate_id}"):
            if registration.policy in self._policies_of(arn):
                self._iot.detach_policy(policyName=registration.policy, target=arn)
            if registration.thing in self._things_of(arn):
                self._iot.detach_thing_principal(thingName=registration.thing, principal=arn)
        for kind, name in (
            ("policy-attachment", registration.policy),
            ("thing-attachment", registration.thing),
        ):
            for entry in self.ledger.find(kind, f"{name} {arn}"):  # type: ignore[arg-type]  # both are kinds
                self.ledger.deleted(entry)

    def rotate(
        self,
        old: Registration,
        make: Callable[[], Registration],
        confirm: Callable[[Registration], None] = lambda registration: None,
    ) -> Registration:
        """Replace a certificate: the old one is retired only after the new one has proven itself.

        Args:
            old: what the device uses now.
            make: registers the new certificate.
            confirm: raises if the device cannot use the new one, e.g. by connecting with it; the new one is
                then retired and the old one stays as it is.
        """
        new = make()
        if new.certificate_id == old.certificate_id:
            raise CloudError(
                f"certificate {old.certificate_id} cannot replace itself", hint="from_csr(…, renew=True)"
            )
        try:
            confirm(new)
        except BaseException:
            self.retire(new)
            raise
        self.retire(old)
        return new

    # -- inside ---------------------------------------------------------------------------------

    def _complete(
        self,
        certificate: _Certificate,
        thing: str,
        policy: str,
        way: Way,
        *,
        fresh: bool = False,
        private_key: str | None = None,
    ) -> Registration:
        if certificate.status == "REVOKED":
            raise CloudError(
                f"certificate {certificate.id} is revoked and stays so",
                hint="give the device another certificate; delete this one if it was a mistake",
            )
        thing = self.ensure_thing(thing)
        policy = self.session.name(policy)
        self.attach(certificate.arn, thing=thing, policy=policy, fresh=fresh)
        if certificate.status != "ACTIVE":
            self.activate(certificate.id)
        return Registration(
            certificate_id=certificate.id,
            certificate_arn=certificate.arn,
            pem=certificate.pem,
            endpoint=self.endpoint(),
            thing=thing,
            policy=policy,
            way=way,
            private_key_pem=private_key,
        )

    def _registered(
        self, certificate: x509.Certificate, pem: str, register: Callable[[], str]
    ) -> tuple[_Certificate, bool]:
        """The certificate as the cloud has it, and whether it was registered just now."""
        identity = certificate_id(to_der(certificate))
        with (
            refusals(f"register certificate {identity}"),
            self._creating("certificate", identity) as receipt,
        ):
            try:
                arn = register()
            except self._iot.exceptions.ResourceAlreadyExistsException:
                receipt.fresh = False
        if receipt.fresh:
            return _Certificate(identity, arn, pem, "INACTIVE"), True
        found = self._describe(identity)
        if found is None:
            raise CloudError(f"certificate {identity} exists, but the account does not show it")
        return found, False

    def _describe(self, certificate_id: str) -> _Certificate | None:
        with refusals(f"look up certificate {certificate_id}"):
            try:
                answer = self._iot.describe_certificate(certificateId=certificate_id)
            except self._iot.exceptions.ResourceNotFoundException:
                return None
        return _described(answer["certificateDescription"])

    def _usable(self, certificate: x509.Certificate) -> _Certificate | None:
        found = self._describe(certificate_id(to_der(certificate)))
        return None if found is None or found.status == "REVOKED" else found

    def _of_key(self, key: str, thing: str) -> _Certificate | None:
        """A certificate for this key that is not revoked: of this ledger, or attached to the thing."""
        ids = [entry.identity for entry in self.ledger.find("certificate", key=key)]
        with refusals(f"look for certificates of thing {thing}"):
            ids += [arn.rpartition("/")[2] for arn in self._principals_of(thing) if ":cert/" in arn]
        for found in map(self._describe, dict.fromkeys(ids)):
            if (
                found
                and found.status != "REVOKED"
                and key_digest(load_certificate(found.pem).public_key()) == key
            ):
                return found
        return None

    def _principals_of(self, thing: str) -> list[str]:
        pages = self._iot.get_paginator("list_thing_principals").paginate(thingName=thing)
        try:
            return [arn for page in pages for arn in page["principals"]]
        except self._iot.exceptions.ResourceNotFoundException:
            return []

    def _policies_of(self, arn: str) -> Iterator[str]:
        for page in self._iot.get_paginator("list_attached_policies").paginate(target=arn):
            yield from (policy["policyName"] for policy in page["policies"])

    def _things_of(self, arn: str) -> Iterator[str]:
        for page in self._iot.get_paginator("list_principal_things").paginate(principal=arn):
            yield from page["things"]


def _canonical(document: str) -> str:
    return json.dumps(json.loads(document), sort_keys=True)


def _described(description: CertificateDescriptionTypeDef) -> _Certificate:
    return _Certificate(
        description["certificateId"],
        description["certificateArn"],
        description["certificatePem"],
        description["status"],
    )
