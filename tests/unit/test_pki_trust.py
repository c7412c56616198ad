"""The endpoint's certificates and the decision about a server's chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from hil.clock import Calendar
from hil.cloud.local.pki import ServerChain, ServerPki
from hil.errors import UsageError
from hil.tls.alerts import ServerChainError
from hil.tls.operations import Operations
from hil.tls.trust import verify_links, verify_server_chain
from tests.unit.tls_rig import NOW, make_device

if TYPE_CHECKING:
    from hil.cloud.local.pki import ChainKind, Variant

HOST = "endpoint.example"
DAY = 86_400


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return ServerPki(HOST, Calendar(NOW), names=("localhost", "127.0.0.1"))


def ders(chain: ServerChain) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in chain.certificates]


def judge(
    pki: ServerPki, chain: list[bytes], *, name: str = HOST, kind: ChainKind = "ec"
) -> list[x509.Certificate]:
    return verify_server_chain(chain, server_name=name, roots=[pki.root(kind)], at=NOW)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_chain_is_server_intermediate_root(pki: ServerPki, kind: ChainKind) -> None:
    chain = pki.chain(kind)
    path = judge(pki, ders(chain), kind=kind)
    assert path == [*chain.certificates, pki.root(kind)]
    assert len(chain.certificates) == 2
    key_type = ec.EllipticCurvePublicKey if kind == "ec" else rsa.RSAPublicKey
    assert all(isinstance(one.public_key(), key_type) for one in path)
    assert all("Emulated" in one.subject.rfc4514_string() for one in path), "nobody takes it for Amazon's"


def test_without_intermediate_the_root_signs_the_server() -> None:
    pki = ServerPki(HOST, Calendar(NOW), intermediate=False)
    chain = pki.chain()
    assert len(chain.certificates) == 1
    assert judge(pki, ders(chain)) == [*chain.certificates, pki.root()]


def test_the_server_certificate_has_what_the_web_pki_asks_for(pki: ServerPki) -> None:
    extensions = pki.chain().certificates[0].extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST, "localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = pki.chain().certificates[1].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == issuer.digest


def test_validity_follows_the_calendar_to_the_second() -> None:
    first, second = (ServerPki(HOST, Calendar(NOW)).chain().certificates[0] for _ in range(2))
    assert first.not_valid_before_utc.timestamp() == NOW - DAY
    assert first.not_valid_after_utc == second.not_valid_after_utc


@pytest.mark.parametrize("name", [HOST, "localhost", "127.0.0.1", "ENDPOINT.example"])
def test_every_name_of_the_certificate_is_accepted(pki: ServerPki, name: str) -> None:
    assert judge(pki, ders(pki.chain()), name=name)


@pytest.mark.parametrize(
    ("variant", "reason", "words"),
    [
        ("expired", "expired", "expired at 2026-05-27"),
        ("not-yet-valid", "not-yet-valid", "is valid from 2026-05-29"),
        ("wrong-name", "wrong-name", "wrong-name.invalid, not for endpoint.example"),
        ("unknown-ca", "unknown-ca", "no trusted root issued CN=Unknown Emulated Root CA 3"),
    ],
)
def test_each_bad_chain_is_refused_for_its_own_reason(
    pki: ServerPki, variant: Variant, reason: str, words: str
) -> None:
    with pytest.raises(ServerChainError, match=words) as caught:
        judge(pki, ders(pki.chain("ec", variant)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["elsewhere.example", "10.0.0.1", "sub.endpoint.example"])
def test_another_name_is_refused(pki: ServerPki, name: str) -> None:
    with pytest.raises(ServerChainError, match=name) as caught:
        judge(pki, ders(pki.chain()), name=name)
    assert caught.value.reason == "wrong-name"


def test_the_intermediate_must_be_shown(pki: ServerPki) -> None:
    with pytest.raises(ServerChainError, match="no trusted root issued") as caught:
        judge(pki, ders(pki.chain())[:1])
    assert caught.value.reason == "unknown-ca"


def test_a_foreign_intermediate_of_the_same_name_does_not_sign(pki: ServerPki) -> None:
    stranger = ServerPki(HOST, Calendar(NOW))
    mixed = [ders(pki.chain())[0], ders(stranger.chain())[1]]
    with pytest.raises(ServerChainError, match="is not signed by") as caught:
        judge(pki, mixed)
    assert caught.value.reason == "bad-signature"


def test_a_changed_byte_in_the_signature_is_refused(pki: ServerPki) -> None:
    leaf, intermediate = ders(pki.chain())
    broken = leaf[:-1] + bytes([leaf[-1] ^ 1])
    with pytest.raises(ServerChainError) as caught:
        judge(pki, [broken, intermediate])
    assert caught.value.reason == "bad-signature"


def test_a_certificate_without_a_name_is_refused_for_its_name(pki: ServerPki) -> None:
    device = make_device()
    roots = [x509.load_der_x509_certificate(device.issuer_der)]
    with pytest.raises(ServerChainError) as caught:
        verify_server_chain([device.der], server_name=HOST, roots=roots, at=NOW)
    assert caught.value.reason == "wrong-name"


def test_garbage_is_refused_and_no_roots_is_our_mistake(pki: ServerPki) -> None:
    with pytest.raises(ServerChainError, match="cannot be read"):
        judge(pki, [b"\x30\x00"])
    with pytest.raises(UsageError):
        verify_server_chain(ders(pki.chain()), server_name=HOST, roots=[], at=NOW)


@pytest.mark.parametrize(("kind", "name"), [("ec", "verify"), ("rsa", "rsa-verify")])
def test_links_are_reported_by_the_kind_of_their_issuers_key(
    pki: ServerPki, kind: ChainKind, name: str
) -> None:
    operations = Operations(None, None)
    verify_links(judge(pki, ders(pki.chain(kind)), kind=kind), operations)
    assert [one.name for one in operations.done] == [name, name]
    assert operations.done[0].detail.startswith("link 0: CN=endpoint.example")


def test_chains_are_made_once(pki: ServerPki) -> None:
    assert pki.chain("ec", "expired") is pki.chain("ec", "expired")
    assert pki.chain().root == pki.chain("ec", "wrong-name").root != pki.chain("ec", "unknown-ca").root


def test_the_pem_of_a_chain_can_be_read_back(pki: ServerPki) -> None:
    chain = pki.chain()
    assert x509.load_pem_x509_certificates(chain.pem()) == list(chain.certificates)
    assert b"BEGIN PRIVATE KEY" in chain.key_pem()
