"""Each row of docs/aws-fidelity.md, on plain moto and on the overlay.

A row that fails on ``plain`` says that moto changed: look whether the overlay is still needed there.
A row that fails on ``overlay`` or ``server`` says that the stand-in no longer behaves like AWS IoT.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from moto import mock_aws

from hil.clock import Calendar
from hil.cloud.local.control import LocalCloud
from hil.cloud.local.server import LocalCloudServer
from hil.cloud.ownca import OwnCa
from hil.cloud.pem import load_certificate, to_der

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = ec.generate_private_key(ec.SECP256R1())
RSA_2048 = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_1024 = rsa.generate_private_key(public_exponent=65537, key_size=1024)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test-device")])
PEM = serialization.Encoding.PEM
ALLOW = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}


def policy(*statements: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def csr(key: Any = KEY) -> str:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(key, digest)
    return request.public_bytes(PEM).decode()


def forged_csr() -> str:
    der = bytearray(x509.load_pem_x509_csr(csr().encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(PEM).decode()


def today() -> datetime:
    return datetime.fromtimestamp(int(Calendar().time()), UTC)


def self_signed(
    key: Any = KEY,
    *,
    starts: datetime | None = None,
    ends: datetime | None = None,
    digest: type[hashes.SHA256 | hashes.SHA224] | None = hashes.SHA256,
) -> str:
    now = today()
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts or now - timedelta(days=1))
        .not_valid_after(ends or now + timedelta(days=30))
    )
    return builder.sign(key, digest() if digest else None).public_bytes(PEM).decode()


def outcome(call: Callable[..., object], **arguments: object) -> str:
    """``ok``, the error's name, or ``crash`` where moto itself breaks."""
    try:
        call(**arguments)
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        return code if code.endswith("Exception") else "crash"
    except (NotImplementedError, ValueError):
        return "crash"
    return "ok"


def describe(iot: Any, certificate_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    return answer


def register_ca(iot: Any, ca: OwnCa, **options: Any) -> dict[str, Any]:
    code = iot.get_registration_code()["registrationCode"]
    arguments = {"verificationCertificate": ca.prove(code), "setAsActive": True, **options}
    answer: dict[str, Any] = iot.register_ca_certificate(caCertificate=ca.pem, **arguments)
    return answer


# -- probes: what a row looks at -------------------------------------------------------------------


def csr_key_is_kept(iot: Any) -> bool:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=True)
    return bool(load_certificate(made["certificatePem"]).public_key() == KEY.public_key())


def csr_rsa_key_is_kept(iot: Any) -> bool:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr(RSA_2048), setAsActive=True)
    return bool(load_certificate(made["certificatePem"]).public_key() == RSA_2048.public_key())


def csr_subject_is_kept(iot: Any) -> bool:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=True)
    return bool(load_certificate(made["certificatePem"]).subject == NAME)


def csr_twice_gives_two_certificates(iot: Any) -> int:
    return len(
        {iot.create_certificate_from_csr(certificateSigningRequest=csr())["certificateId"] for _ in range(2)}
    )


def csr_inactive_is_inactive(iot: Any) -> str:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=False)
    return str(describe(iot, made["certificateId"])["status"])


def csr_status_by_default(iot: Any) -> str:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr())
    return str(describe(iot, made["certificateId"])["status"])


def csr_expiry(iot: Any) -> str:
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr())
    return str(load_certificate(made["certificatePem"]).not_valid_after_utc.year - today().year > 10)


def csr_outcome(request: Callable[[], str]) -> Callable[[Any], str]:
    return lambda iot: outcome(iot.create_certificate_from_csr, certificateSigningRequest=request())


def keys_certificate_fits_its_key(iot: Any) -> bool:
    made = iot.create_keys_and_certificate(setAsActive=True)
    key = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None)
    return bool(load_certificate(made["certificatePem"]).public_key() == key.public_key())


def keys_expire_2049(iot: Any) -> bool:
    made = iot.create_keys_and_certificate(setAsActive=True)
    end = load_certificate(made["certificatePem"]).not_valid_after_utc
    return end == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


def id_is_hash_of_der(make: Callable[[Any], dict[str, Any]]) -> Callable[[Any], bool]:
    def probe(iot: Any) -> bool:
        made = make(iot)
        der = to_der(load_certificate(describe(iot, made["certificateId"])["certificatePem"]))
        return bool(made["certificateId"] == hashlib.sha256(der).hexdigest())

    return probe


def whitespace_makes_another_certificate(iot: Any) -> str:
    pem = self_signed()
    iot.register_certificate_without_ca(certificatePem=pem)
    return outcome(iot.register_certificate_without_ca, certificatePem=pem + "\n")


def chain_is_its_first_certificate(iot: Any) -> bool:
    pem = self_signed()
    made = iot.register_certificate_without_ca(certificatePem=pem + OwnCa().pem)
    return bool(made["certificateId"] == hashlib.sha256(to_der(load_certificate(pem))).hexdigest())


def ca_without_proof(iot: Any) -> str:
    return outcome(iot.register_ca_certificate, caCertificate=OwnCa().pem, setAsActive=True)


def ca_with_wrong_code(iot: Any) -> str:
    ca = OwnCa()
    return outcome(register_ca, iot=iot, ca=ca, verificationCertificate=ca.prove("0" * 64))


def ca_with_foreign_proof(iot: Any) -> str:
    code = iot.get_registration_code()["registrationCode"]
    return outcome(register_ca, iot=iot, ca=OwnCa(), verificationCertificate=OwnCa().prove(code))


def ca_with_proof(iot: Any) -> str:
    return outcome(register_ca, iot=iot, ca=OwnCa())


def ca_that_is_a_leaf(iot: Any) -> str:
    ca = OwnCa()
    ca.pem = ca.issue("leaf", KEY.public_key())
    return outcome(register_ca, iot=iot, ca=ca)


def ca_sni_only(iot: Any) -> tuple[str, str]:
    bare = outcome(iot.register_ca_certificate, caCertificate=OwnCa().pem, certificateMode="SNI_ONLY")
    return bare, outcome(register_ca, iot=iot, ca=OwnCa(), certificateMode="SNI_ONLY")


def ca_twice(iot: Any) -> str:
    ca = OwnCa()
    register_ca(iot, ca)
    return outcome(register_ca, iot=iot, ca=ca)


def ca_arn(iot: Any) -> str:
    return str(register_ca(iot, OwnCa())["certificateArn"]).split(":")[5].split("/")[0]


def ca_auto_registration(iot: Any) -> list[str | None]:
    made = register_ca(iot, OwnCa(), allowAutoRegistration=True)
    seen = []
    for change in ({}, {"newAutoRegistrationStatus": "DISABLE"}, {"newStatus": "INACTIVE"}):
        if change:
            iot.update_ca_certificate(certificateId=made["certificateId"], **change)
        described = iot.describe_ca_certificate(certificateId=made["certificateId"])["certificateDescription"]
        seen += [described.get("autoRegistrationStatus"), described["status"]]
    return seen


def registration_code(iot: Any) -> tuple[bool, bool]:
    codes = {iot.get_registration_code()["registrationCode"] for _ in range(2)}
    return len(codes) == 1, all(re.fullmatch("[0-9a-f]{64}", code) for code in codes)


def registration_code_deleted(iot: Any) -> str:
    before = iot.get_registration_code()["registrationCode"]
    gone = outcome(iot.delete_registration_code)
    return gone if gone != "ok" else str(before != iot.get_registration_code()["registrationCode"])


def lists_cas(iot: Any) -> str:
    made = register_ca(iot, OwnCa())
    listed = outcome(iot.list_ca_certificates)
    if listed != "ok":
        return listed
    return str(
        [ca["certificateArn"] for ca in iot.list_ca_certificates()["certificates"]]
        == [made["certificateArn"]]
    )


def leaf_without_registered_ca(iot: Any) -> str:
    return outcome(iot.register_certificate, certificatePem=OwnCa().issue("leaf", KEY.public_key()))


def leaf_with_its_ca(iot: Any) -> tuple[str, bool, str]:
    ca = OwnCa()
    made = register_ca(iot, ca)
    leaf = ca.issue("leaf", KEY.public_key())
    answer = iot.register_certificate(certificatePem=leaf, status="ACTIVE")
    described = describe(iot, answer["certificateId"])
    return (
        described["status"],
        described.get("caCertificateId") == made["certificateId"],
        described.get("certificateMode", "missing"),
    )


def leaf_of_a_namesake(iot: Any) -> str:
    register_ca(iot, OwnCa("same name"))
    return outcome(
        iot.register_certificate, certificatePem=OwnCa("same name").issue("leaf", KEY.public_key())
    )


def leaf_of_two_cas_of_one_name(iot: Any) -> tuple[str, str]:
    ca, other = OwnCa("same name"), OwnCa("same name")
    register_ca(iot, ca)
    register_ca(iot, other)
    leaf = ca.issue("leaf", KEY.public_key())
    return (
        outcome(iot.register_certificate, certificatePem=leaf),
        outcome(iot.register_certificate, certificatePem=leaf, caCertificatePem=ca.pem),
    )


def leaf_of_an_inactive_ca(iot: Any) -> str:
    ca = OwnCa()
    register_ca(iot, ca, setAsActive=False)
    return outcome(iot.register_certificate, certificatePem=ca.issue("leaf", KEY.public_key()))


def too_many_cas_of_one_name(iot: Any) -> str:
    for _ in range(10):
        register_ca(iot, OwnCa("same name"))
    return outcome(register_ca, iot=iot, ca=OwnCa("same name"))


def without_ca_outcome(pem: Callable[[], str], **options: str) -> Callable[[Any], str]:
    return lambda iot: outcome(iot.register_certificate_without_ca, certificatePem=pem(), **options)


def without_ca_by_default(iot: Any) -> tuple[str, str]:
    made = iot.register_certificate_without_ca(certificatePem=self_signed())
    described = describe(iot, made["certificateId"])
    return described.get("status", "missing"), described.get("certificateMode", "missing")


def expired() -> str:
    now = today()
    return self_signed(starts=now - timedelta(days=3), ends=now - timedelta(days=1))


def not_yet_valid() -> str:
    now = today()
    return self_signed(starts=now + timedelta(days=1))


def duplicate(iot: Any) -> tuple[str, bool]:
    pem = self_signed()
    made = iot.register_certificate_without_ca(certificatePem=pem)
    try:
        iot.register_certificate_without_ca(certificatePem=pem)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response.get("resourceArn") == made["certificateArn"]
    return "ok", False


def described_validity(iot: Any) -> bool:
    pem = self_signed()
    made = iot.register_certificate_without_ca(certificatePem=pem, status="INACTIVE")
    validity = describe(iot, made["certificateId"])["validity"]
    certificate = load_certificate(pem)
    return bool(
        validity
        == {"notBefore": certificate.not_valid_before_utc, "notAfter": certificate.not_valid_after_utc}
    )


def described_members(iot: Any) -> list[str]:
    made = iot.create_keys_and_certificate(setAsActive=True)
    described = describe(iot, made["certificateId"])
    return sorted({"certificateMode", "customerVersion", "generationId"} & set(described))


def endpoint_is_stable(iot: Any) -> bool:
    return len({iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] for _ in range(3)}) == 1


def endpoint_of_each_type(iot: Any) -> list[str]:
    hosts = [
        iot.describe_endpoint(**({"endpointType": kind} if kind else {}))["endpointAddress"]
        for kind in ("iot:Data-ATS", "iot:Data", "iot:CredentialProvider", "iot:Jobs", None)
    ]
    return [re.sub("^[a-z0-9]{14}", "ID", host) for host in hosts]


def endpoint_of_no_type(iot: Any) -> str:
    return outcome(iot.describe_endpoint, endpointType="iot:Nonsense")


def status_change(*states: str) -> Callable[[Any], str]:
    def probe(iot: Any) -> str:
        made = iot.create_keys_and_certificate(setAsActive=True)
        result = "ok"
        for state in states:
            result = outcome(iot.update_certificate, certificateId=made["certificateId"], newStatus=state)
        return result

    return probe


def delete_certificate(status: str, *, thing: bool = False, attached: bool = False) -> Callable[[Any], str]:
    def probe(iot: Any) -> str:
        made = iot.create_keys_and_certificate(setAsActive=status == "ACTIVE")
        if thing:
            iot.create_thing(thingName="t")
            iot.attach_thing_principal(thingName="t", principal=made["certificateArn"])
        if attached:
            iot.create_policy(policyName="p", policyDocument=policy(ALLOW))
            iot.attach_policy(policyName="p", target=made["certificateArn"])
        return outcome(iot.delete_certificate, certificateId=made["certificateId"])

    return probe


def delete_attached_policy(iot: Any) -> str:
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_policy(policyName="p", policyDocument=policy(ALLOW))
    iot.attach_policy(policyName="p", target=made["certificateArn"])
    return outcome(iot.delete_policy, policyName="p")


def thing_again(attributes: dict[str, str]) -> Callable[[Any], tuple[str, bool]]:
    def probe(iot: Any) -> tuple[str, bool]:
        first = iot.create_thing(thingName="t", attributePayload={"attributes": {"a": "1"}})
        result = outcome(iot.create_thing, thingName="t", attributePayload={"attributes": attributes})
        return result, iot.describe_thing(thingName="t")["thingId"] == first["thingId"]

    return probe


def thing_named(name: str) -> Callable[[Any], str]:
    return lambda iot: outcome(iot.create_thing, thingName=name)


def thing_that_does_not_exist_is_deleted(iot: Any) -> str:
    return outcome(iot.delete_thing, thingName="nobody")


def policy_of(document: str, name: str = "p") -> Callable[[Any], str]:
    return lambda iot: outcome(iot.create_policy, policyName=name, policyDocument=document)


def policy_version_of(document: str) -> Callable[[Any], str]:
    def probe(iot: Any) -> str:
        iot.create_policy(policyName="p", policyDocument=policy(ALLOW))
        return outcome(iot.create_policy_version, policyName="p", policyDocument=document)

    return probe


def exclusive_thing(iot: Any) -> tuple[str, str]:
    made = iot.create_keys_and_certificate(setAsActive=True)
    for name in ("one", "two"):
        iot.create_thing(thingName=name)

    def attach(thing: str, kind: str) -> str:
        return outcome(
            iot.attach_thing_principal,
            thingName=thing,
            principal=made["certificateArn"],
            thingPrincipalType=kind,
        )

    return attach("one", "EXCLUSIVE_THING"), attach("two", "NON_EXCLUSIVE_THING")


def pages_of_certificates(iot: Any) -> tuple[list[int], int]:
    made = {
        iot.create_certificate_from_csr(certificateSigningRequest=csr())["certificateId"] for _ in range(5)
    }
    pages = [
        [entry["certificateId"] for entry in page["certificates"]]
        for page in iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 2})
    ]
    return [len(page) for page in pages], len(made & {entry for page in pages for entry in page})


def newest_certificate_first(iot: Any) -> tuple[bool, bool]:
    made = [
        iot.create_certificate_from_csr(certificateSigningRequest=csr())["certificateId"] for _ in range(3)
    ]

    def listed(**order: bool) -> list[str]:
        return [entry["certificateId"] for entry in iot.list_certificates(**order)["certificates"]]

    return listed() == made[::-1], listed(ascendingOrder=True) == made


def pages_of_policies(iot: Any) -> tuple[int, int]:
    for number in range(30):
        iot.create_policy(policyName=f"p{number}", policyDocument=policy(ALLOW))
    pages = list(iot.get_paginator("list_policies").paginate())
    return len(pages), len({entry["policyName"] for page in pages for entry in page["policies"]})


def marker_of_nobody(iot: Any) -> str:
    return outcome(iot.list_certificates, marker="AAAA")


@dataclass(frozen=True)
class Row:
    """What a probe sees on plain moto and on AWS."""

    name: str
    probe: Callable[[Any], object]
    plain: object
    aws: object


INVALID = "CertificateValidationException"
BAD = "InvalidRequestException"
SURROUNDED = "CN: x\r\n" + "ARN: y\r\n"

ROWS = [
    Row("csr: the certificate carries the request's key", csr_key_is_kept, False, True),
    Row("csr: an RSA key too", csr_rsa_key_is_kept, False, True),
    Row("csr: the subject is kept", csr_subject_is_kept, True, True),
    Row("csr: each call gives another certificate", csr_twice_gives_two_certificates, 2, 2),
    Row("csr: setAsActive false is obeyed", csr_inactive_is_inactive, "ACTIVE", "INACTIVE"),
    Row("csr: inactive by default", csr_status_by_default, "INACTIVE", "INACTIVE"),
    Row("csr: a bad signature is refused", csr_outcome(forged_csr), "ok", BAD),
    Row("csr: text that is none is refused", csr_outcome(lambda: "nonsense"), "crash", BAD),
    Row("csr: RSA 1024 is refused", csr_outcome(lambda: csr(RSA_1024)), "ok", BAD),
    Row(
        "csr: secp256k1 is refused",
        csr_outcome(lambda: csr(ec.generate_private_key(ec.SECP256K1()))),
        "ok",
        BAD,
    ),
    Row("csr: Ed25519 is refused", csr_outcome(lambda: csr(ed25519.Ed25519PrivateKey.generate())), "ok", BAD),
    Row("csr: P-384 is taken", csr_outcome(lambda: csr(ec.generate_private_key(ec.SECP384R1()))), "ok", "ok"),
    Row("csr: P-521 is taken", csr_outcome(lambda: csr(ec.generate_private_key(ec.SECP521R1()))), "ok", "ok"),
    Row("csr: the certificate outlives the device", csr_expiry, "False", "True"),
    Row("keys: the certificate fits its key", keys_certificate_fits_its_key, True, True),
    Row("keys: valid until 2049", keys_expire_2049, False, True),
    Row(
        "id: hash of the DER (csr)",
        id_is_hash_of_der(lambda iot: iot.create_certificate_from_csr(certificateSigningRequest=csr())),
        False,
        True,
    ),
    Row(
        "id: hash of the DER (keys)",
        id_is_hash_of_der(lambda iot: iot.create_keys_and_certificate()),
        False,
        True,
    ),
    Row(
        "id: hash of the DER (without CA)",
        id_is_hash_of_der(lambda iot: iot.register_certificate_without_ca(certificatePem=self_signed())),
        False,
        True,
    ),
    Row(
        "id: white space makes no difference",
        whitespace_makes_another_certificate,
        "ok",
        "ResourceAlreadyExistsException",
    ),
    Row("id: of a chain the first one", chain_is_its_first_certificate, False, True),
    Row("ca: a proof of possession is required", ca_without_proof, "ok", BAD),
    Row("ca: the proof names the code", ca_with_wrong_code, "ok", "RegistrationCodeValidationException"),
    Row("ca: the proof is signed by the CA", ca_with_foreign_proof, "ok", INVALID),
    Row("ca: a good proof is taken", ca_with_proof, "ok", "ok"),
    Row("ca: a leaf is none", ca_that_is_a_leaf, "ok", INVALID),
    Row("ca: SNI_ONLY takes no proof", ca_sni_only, ("ok", "ok"), ("ok", BAD)),
    Row("ca: once only", ca_twice, "ok", "ResourceAlreadyExistsException"),
    Row("ca: its ARN", ca_arn, "cert", "cacert"),
    Row(
        "ca: automatic registration is kept and changed",
        ca_auto_registration,
        [None, "ACTIVE", None, "ACTIVE", None, "INACTIVE"],
        ["ENABLE", "ACTIVE", "DISABLE", "ACTIVE", "DISABLE", "INACTIVE"],
    ),
    Row("ca: ten of one subject", too_many_cas_of_one_name, "ok", "LimitExceededException"),
    Row(
        "ca: the registration code is stable, 64 hex digits", registration_code, (False, False), (True, True)
    ),
    Row("ca: the registration code can be deleted", registration_code_deleted, "crash", "True"),
    Row("ca: they can be listed", lists_cas, "crash", "True"),
    Row("register: the CA must be registered", leaf_without_registered_ca, "ok", INVALID),
    Row(
        "register: the CA is found by itself",
        leaf_with_its_ca,
        ("ACTIVE", False, "missing"),
        ("ACTIVE", True, "DEFAULT"),
    ),
    Row("register: the CA must have signed", leaf_of_a_namesake, "ok", INVALID),
    Row(
        "register: of two CAs of one name one must be named",
        leaf_of_two_cas_of_one_name,
        ("ok", "ResourceAlreadyExistsException"),
        ("CertificateConflictException", "ok"),
    ),
    Row("register: the CA must be active", leaf_of_an_inactive_ca, "ok", "CertificateStateException"),
    Row(
        "without CA: inactive and SNI_ONLY",
        without_ca_by_default,
        ("missing", "missing"),
        ("INACTIVE", "SNI_ONLY"),
    ),
    Row("without CA: text that is none", without_ca_outcome(lambda: "nonsense"), "ok", INVALID),
    Row("without CA: expired", without_ca_outcome(expired), "ok", INVALID),
    Row("without CA: not yet valid", without_ca_outcome(not_yet_valid), "ok", INVALID),
    Row("without CA: RSA 1024", without_ca_outcome(lambda: self_signed(RSA_1024)), "ok", INVALID),
    Row(
        "without CA: secp256k1",
        without_ca_outcome(lambda: self_signed(ec.generate_private_key(ec.SECP256K1()))),
        "ok",
        INVALID,
    ),
    Row(
        "without CA: Ed25519",
        without_ca_outcome(lambda: self_signed(ed25519.Ed25519PrivateKey.generate(), digest=None)),
        "ok",
        INVALID,
    ),
    Row(
        "without CA: DSA",
        without_ca_outcome(lambda: self_signed(dsa.generate_private_key(2048))),
        "ok",
        INVALID,
    ),
    Row(
        "without CA: SHA-224",
        without_ca_outcome(lambda: self_signed(digest=hashes.SHA224)),
        "ok",
        INVALID,
    ),
    Row(
        "without CA: a pending status cannot be asked for",
        without_ca_outcome(self_signed, status="PENDING_ACTIVATION"),
        "ok",
        BAD,
    ),
    Row(
        "without CA: text around the certificate is ignored",
        without_ca_outcome(lambda: SURROUNDED + self_signed()),
        "ok",
        "ok",
    ),
    Row(
        "duplicate: refused with the first one's ARN",
        duplicate,
        ("ResourceAlreadyExistsException", True),
        ("ResourceAlreadyExistsException", True),
    ),
    Row("describe: real validity", described_validity, False, True),
    Row(
        "describe: mode, version, generation",
        described_members,
        [],
        ["certificateMode", "customerVersion", "generationId"],
    ),
    Row("endpoint: stable", endpoint_is_stable, False, True),
    Row(
        "endpoint: a host for each type, the older one by default",
        endpoint_of_each_type,
        [
            "ID-ats.iot.us-east-1.amazonaws.com",
            "ID.iot.us-east-1.amazonaws.com",
            "ID.credentials.iot.us-east-1.amazonaws.com",
            "ID.jobs.iot.us-east-1.amazonaws.com",
            "ID-ats.iot.us-east-1.amazonaws.com",
        ],
        [
            "ID-ats.iot.us-east-1.amazonaws.com",
            "ID.iot.us-east-1.amazonaws.com",
            "ID.credentials.iot.us-east-1.amazonaws.com",
            "ID.jobs.iot.us-east-1.amazonaws.com",
            "ID.iot.us-east-1.amazonaws.com",
        ],
    ),
    Row("endpoint: other types are refused", endpoint_of_no_type, BAD, BAD),
    Row("status: inactive and active again", status_change("INACTIVE", "ACTIVE"), "ok", "ok"),
    Row("status: PENDING_ACTIVATION cannot be set", status_change("PENDING_ACTIVATION"), "ok", BAD),
    Row("status: PENDING_TRANSFER cannot be set", status_change("PENDING_TRANSFER"), "ok", BAD),
    Row("status: nonsense cannot be set", status_change("NONSENSE"), "ok", BAD),
    Row("status: revoked is for ever", status_change("REVOKED", "ACTIVE"), "ok", "CertificateStateException"),
    Row("status: revoked twice is revoked", status_change("REVOKED", "REVOKED"), "ok", "ok"),
    Row(
        "delete: not while active",
        delete_certificate("ACTIVE"),
        "CertificateStateException",
        "CertificateStateException",
    ),
    Row(
        "delete: not with a thing",
        delete_certificate("INACTIVE", thing=True),
        "DeleteConflictException",
        "DeleteConflictException",
    ),
    Row(
        "delete: not with a policy",
        delete_certificate("INACTIVE", attached=True),
        "DeleteConflictException",
        "DeleteConflictException",
    ),
    Row("delete: an inactive certificate", delete_certificate("INACTIVE"), "ok", "ok"),
    Row(
        "delete: no attached policy",
        delete_attached_policy,
        "DeleteConflictException",
        "DeleteConflictException",
    ),
    Row("thing: the same again is the same", thing_again({"a": "1"}), ("ok", False), ("ok", True)),
    Row(
        "thing: another of the name is refused",
        thing_again({"a": "2"}),
        ("ok", False),
        ("ResourceAlreadyExistsException", True),
    ),
    Row("thing: a name with a blank is refused", thing_named("one two"), "ok", BAD),
    Row("thing: a name of 129 characters is refused", thing_named("x" * 129), "ok", BAD),
    Row("thing: a name of 128 characters is taken", thing_named("x" * 128), "ok", "ok"),
    Row(
        "thing: one that does not exist counts as deleted",
        thing_that_does_not_exist_is_deleted,
        "ResourceNotFoundException",
        "ok",
    ),
    Row("policy: a good one is taken", policy_of(policy(ALLOW)), "ok", "ok"),
    Row("policy: no JSON", policy_of("nonsense"), "ok", "MalformedPolicyException"),
    Row("policy: no statement", policy_of(policy()), "ok", "MalformedPolicyException"),
    Row(
        "policy: no effect",
        policy_of(policy({"Action": "iot:*", "Resource": "*"})),
        "ok",
        "MalformedPolicyException",
    ),
    Row(
        "policy: no action",
        policy_of(policy({"Effect": "Allow", "Resource": "*"})),
        "ok",
        "MalformedPolicyException",
    ),
    Row(
        "policy: no resource",
        policy_of(policy({"Effect": "Allow", "Action": "*"})),
        "ok",
        "MalformedPolicyException",
    ),
    Row("policy: too long", policy_of(policy(ALLOW | {"Sid": "x" * 2048})), "ok", "MalformedPolicyException"),
    Row("policy: white space does not count", policy_of(policy(ALLOW) + " " * 3000), "ok", "ok"),
    Row("policy: a name with a blank is refused", policy_of(policy(ALLOW), "one two"), "ok", BAD),
    Row("policy: a version that is no JSON", policy_version_of("nonsense"), "ok", "MalformedPolicyException"),
    Row("attach: exclusive", exclusive_thing, ("ok", "ok"), ("ok", BAD)),
    Row("pages: certificates", pages_of_certificates, ([5], 5), ([2, 2, 1], 5)),
    Row(
        "pages: newest certificate first unless asked", newest_certificate_first, (False, True), (True, True)
    ),
    Row("pages: policies", pages_of_policies, (1, 30), (2, 30)),
    Row("pages: a marker of nobody's", marker_of_nobody, "ok", BAD),
]


ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False)


def client(**options: Any) -> Any:
    session: Any = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    return session.client("iot", config=ONCE, **options)


@dataclass(frozen=True)
class StandIn:
    """Who answers, and whether rows are to be read as AWS or as plain moto."""

    iot: Any
    like_aws: bool


@contextmanager
def plain_moto() -> Iterator[Any]:
    from moto.iot.models import IoTBackend, iot_backends

    assert iot_backends.backend is IoTBackend, "somebody left the overlay installed"
    with mock_aws():
        yield client()


@contextmanager
def overlay() -> Iterator[Any]:
    with LocalCloud() as cloud:
        yield cloud.session.client("iot", config=ONCE)


@contextmanager
def server() -> Iterator[Any]:
    with LocalCloudServer() as server:
        yield client(endpoint_url=server.url)


@pytest.fixture(scope="module", params=[plain_moto, overlay, server], ids=lambda kind: kind.__name__)
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with request.param() as iot:
        yield StandIn(iot, like_aws=request.param is not plain_moto)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_plain_moto_differs_where_we_think_and_the_stand_in_behaves_like_aws(
    row: Row, stand_in: StandIn
) -> None:
    from moto.iot.models import iot_backends

    iot_backends["123456789012"]["us-east-1"].reset()
    assert row.probe(stand_in.iot) == (row.aws if stand_in.like_aws else row.plain)


def test_every_row_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "aws-fidelity.md").read_text(encoding="utf-8")
    missing = [row.name for row in ROWS if row.name not in document]
    assert missing == []
