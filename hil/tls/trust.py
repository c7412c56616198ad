"""The trust decision about a server's certificate chain.

``cryptography``'s verifier decides, by the rules of the web PKI; when it refuses, the reason is
looked up here, because its messages do not tell an expired certificate from an unknown authority.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from hil.errors import UsageError
from hil.tls.alerts import ServerChainError
from hil.tls.software import point_of, raw_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.tls.operations import Operations

__all__ = ["ServerVerifier", "server_subject", "verify_links", "verify_server_chain"]


class ServerVerifier(Protocol):
    """What decides about a server's chain; :func:`verify_server_chain` does it by the rules."""

    def __call__(
        self, chain: Sequence[bytes], *, server_name: str, roots: Sequence[x509.Certificate], at: float
    ) -> list[x509.Certificate]:
        """The path, the server's certificate first, or ``ServerChainError``."""
        ...


@lru_cache(maxsize=64)
def server_subject(server_name: str) -> x509.DNSName | x509.IPAddress:
    """The name to verify: an IP address if it is one, else a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(server_name))
    except ValueError:
        return x509.DNSName(server_name)


def verify_server_chain(
    chain: Sequence[bytes], *, server_name: str, roots: Sequence[x509.Certificate], at: float
) -> list[x509.Certificate]:
    """Decide whether the server that showed ``chain`` is ``server_name``.

    Args:
        chain: DER certificates as sent, the server's own first.
        server_name: DNS name or IP address that was asked for.
        roots: the authorities to trust.
        at: seconds since the epoch at which the certificates must be valid.

    Returns:
        The path that was built, the server's certificate first, the root last.

    Raises:
        ServerChainError: the chain is not acceptable; says which rule it breaks.
        UsageError: there are no roots.
    """
    if not roots:
        raise UsageError("no server can be trusted without at least one root certificate")
    try:
        leaf, *rest = [x509.load_der_x509_certificate(der) for der in chain]
    except ValueError as error:
        raise ServerChainError("not-acceptable", f"a certificate cannot be read: {error}") from error
    when = datetime.fromtimestamp(at, UTC)
    subject = server_subject(server_name)
    policy = PolicyBuilder().store(Store(list(roots))).time(when.replace(tzinfo=None))
    try:
        return list(policy.build_server_verifier(subject).verify(leaf, rest))
    except VerificationError as error:
        reason, words = _reason([leaf, *rest], subject, roots, when)
        raise ServerChainError(reason, words or str(error)) from error


def _reason(
    chain: list[x509.Certificate],
    subject: x509.DNSName | x509.IPAddress,
    roots: Sequence[x509.Certificate],
    when: datetime,
) -> tuple[str, str]:
    """The first rule that ``chain`` breaks, and the rule in words ("" = as the verifier says)."""
    for certificate in chain:
        name = certificate.subject.rfc4514_string()
        if when > certificate.not_valid_after_utc:
            return "expired", f"{name} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
        if when < certificate.not_valid_before_utc:
            start = certificate.not_valid_before_utc
            return "not-yet-valid", (
                f"{name} is valid from {start:%Y-%m-%d %H:%M:%S} UTC, it is {when:%Y-%m-%d %H:%M:%S} here"
            )
    problem = _authority(chain, roots)
    if problem:
        return problem
    names = _names(chain[0], subject)
    if not any(_matches(name, subject) for name in names):
        shown = ", ".join(str(name) for name in names) or "no name"
        return "wrong-name", f"it is for {shown}, not for {subject.value}"
    return "not-acceptable", ""


def _authority(chain: list[x509.Certificate], roots: Sequence[x509.Certificate]) -> tuple[str, str] | None:
    """Follow the issuers from the leaf to a root; what breaks on the way."""
    current, pool = chain[0], [*roots, *chain[1:]]
    for _ in range(len(pool) + 1):
        if current in roots:
            return None
        issuers = [one for one in pool if one.subject == current.issuer and one != current]
        if not issuers:
            return "unknown-ca", f"no trusted root issued {current.issuer.rfc4514_string()}"
        signers = [one for one in issuers if _signed(current, one)]
        if not signers:
            names = current.subject.rfc4514_string(), current.issuer.rfc4514_string()
            return "bad-signature", f"{names[0]} is not signed by {names[1]}"
        current = signers[0]
    return "unknown-ca", "the chain never reaches a trusted root"


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _names(leaf: x509.Certificate, subject: x509.DNSName | x509.IPAddress) -> list[object]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kind = x509.DNSName if isinstance(subject, x509.DNSName) else x509.IPAddress
    return list(names.get_values_for_type(kind))


def _matches(name: object, subject: x509.DNSName | x509.IPAddress) -> bool:
    if isinstance(subject, x509.IPAddress):
        return name == subject.value
    wanted, shown = subject.value.lower(), str(name).lower()
    return shown == wanted or (shown.startswith("*.") and wanted.partition(".")[2] == shown[2:])


def verify_links(path: Sequence[x509.Certificate], operations: Operations) -> int:
    """Verify the signatures of ``path`` again, where the board would do it.

    The decision was made by :func:`verify_server_chain`. Here every P-256 signature over SHA-256
    goes to the element if the board verifies there; the others are reported as software.

    Args:
        path: the server's certificate first, the root last.
        operations: does and reports them.

    Returns:
        How many bytes the signatures are over, all together.

    Raises:
        ServerChainError: the element says that a signature is not good.
    """
    signed = 0
    for index, (child, issuer) in enumerate(pairwise(path)):
        key, content = issuer.public_key(), child.tbs_certificate_bytes
        signed += len(content)
        detail = f"link {index}: {child.subject.rfc4514_string()}"
        if isinstance(key, rsa.RSAPublicKey):
            operations.report("rsa-verify", "software", detail, key.key_size)
        elif _element_can(key, child):
            assert isinstance(key, ec.EllipticCurvePublicKey)
            digest = Hash(SHA256())
            digest.update(content)
            signature = raw_signature(child.signature)
            if not operations.verify(point_of(key), digest.finalize(), signature, detail):
                raise ServerChainError("bad-signature", f"{detail} is not signed by its issuer")
        else:
            operations.report("verify", "software", detail, getattr(key, "key_size", 0))
    return signed


def _element_can(key: object, child: x509.Certificate) -> bool:
    return (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, ec.SECP256R1)
        and isinstance(child.signature_hash_algorithm, SHA256)
    )
