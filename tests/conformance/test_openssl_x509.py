"""The ``openssl`` program as a second opinion on names, certificates and chains."""

import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hil.element.certificates import asn1
from hil.element.certificates.anchors import anchor, microchip_anchors
from hil.element.certificates.certificate import Certificate, load, pem
from hil.element.certificates.chain import ChainReport, Rule, verify_chain
from hil.element.certificates.names import SHORT_NAMES, parse_name
from hil.element.certificates.selfsigned import self_signed, sign_again, signing_request
from hil.emulator.factory import FactoryCa, FactoryKey, seeded_scalar
from hil.errors import CertificateError

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not installed")

TRUST = Path(__file__).parents[2] / "rigs" / "trust"
AT = 1_750_000_000
KEY = FactoryKey.from_scalar(seeded_scalar("test", "openssl"))
CA = FactoryCa()
SERIAL = bytes.fromhex("0123e07e0000063501")


def openssl(*args: str, data: bytes = b"", ok: bool = True) -> str:
    assert OPENSSL is not None
    done = subprocess.run([OPENSSL, *args], input=data, capture_output=True, check=False)
    assert done.returncode == 0 or not ok, done.stderr.decode()
    return done.stdout.decode() if done.returncode == 0 else ""


def printed(what: str, der: bytes) -> str:
    text = openssl("x509", "-inform", "DER", "-noout", f"-{what}", "-nameopt", "oneline", data=der)
    return text.partition("=")[2].rstrip("\n")


@pytest.mark.parametrize("path", sorted(TRUST.glob("*.pem")), ids=lambda p: p.stem)
def test_names_of_every_published_certificate_print_alike(path: Path) -> None:
    if "csr" in path.name:
        assert "O = Example Inc, CN = Example Device" in openssl(
            "req", "-in", str(path), "-noout", "-subject", "-nameopt", "oneline"
        )
        return
    certificate = load(path.read_bytes())
    assert str(certificate.issuer) == printed("issuer", certificate.der)
    assert str(certificate.subject) == printed("subject", certificate.der)


def certificate_with_subject(*attributes: tuple[str, bytes]) -> bytes:
    name = [asn1.tlv(asn1.SET, asn1.sequence(asn1.oid(kind), value)) for kind, value in attributes]
    draft = self_signed(KEY, "CN=x", at=AT)
    return asn1.rewrite(draft, {(0, 5): b"".join(name)})


def text(value: str, tag: int = asn1.UTF8_STRING, codec: str = "utf-8") -> bytes:
    return asn1.tlv(tag, value.encode(codec))


@pytest.mark.parametrize("oid", [*sorted(SHORT_NAMES), "1.2.3.4.5"])
def test_short_names_are_openssls(oid: str) -> None:
    der = certificate_with_subject((oid, text("value")))
    assert str(load(der).subject) == printed("subject", der)


ODD = [
    *(
        "a,b",
        "a+b",
        'a"b',
        "a\\b",
        "a<b",
        "a>b",
        "a;b",
        "#a",
        "a#",
        "#",
        " a",
        "a ",
        " ",
        "a=b",
        "",
        "tab\t",
        "del\x7f",
    ),
    *("Zürich", "日本", "\U0001f511", 'mixed,ü"', "a\nb"),
]


@pytest.mark.parametrize("value", ODD)
def test_odd_values_are_escaped_as_openssl_escapes_them(value: str) -> None:
    der = certificate_with_subject(("2.5.4.10", text("x")), ("2.5.4.3", text(value)))
    assert str(load(der).subject) == printed("subject", der)


@pytest.mark.parametrize("seed", range(40))
def test_random_values_of_every_string_type_print_alike(seed: int) -> None:
    rng = random.Random(seed)
    pool = 'abc ,+"\\<>;#=\t\x01\x7f\xe9ÿ'
    kinds = [(0x0C, "utf-8"), (0x13, "latin-1"), (0x16, "latin-1"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be")]
    attributes = []
    for _ in range(rng.randint(1, 4)):
        tag, codec = rng.choice(kinds)
        value = "".join(rng.choice(pool) for _ in range(rng.randint(1, 6)))
        attributes.append((rng.choice(sorted(SHORT_NAMES)), text(value, tag, codec)))
    attributes.append(("2.5.4.3", asn1.bit_string(b"\x01\x02")))
    der = certificate_with_subject(*attributes)
    assert str(load(der).subject) == printed("subject", der)


def test_a_multi_valued_name_prints_alike() -> None:
    pair = asn1.tlv(
        asn1.SET,
        asn1.sequence(asn1.oid("2.5.4.10"), text("A")),
        asn1.sequence(asn1.oid("2.5.4.3"), text("B,C")),
    )
    der = asn1.rewrite(self_signed(KEY, "CN=x", at=AT), {(0, 5): pair})
    assert str(parse_name(asn1.sequence(pair))) == printed("subject", der)


def test_openssl_verifies_our_self_signed_certificate_and_request(tmp_path: Path) -> None:
    file = tmp_path / "self.pem"
    file.write_text(pem(self_signed(KEY, "C=IE,L=Dublin,O=ACME Ltd,OU=Testing,CN=test.acme.com", at=AT)))
    openssl("verify", "-attime", str(AT + 1), "-CAfile", str(file), str(file))
    request = signing_request(KEY, "CN=test.acme.com")
    openssl("req", "-inform", "DER", "-noout", "-verify", data=request)


# -- chains -------------------------------------------------------------------------------------


class Verifier:
    """``openssl verify`` on leaf, signer, root at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def accepted(self, leaves: list[bytes], signer: bytes, root: bytes, at: int) -> list[bool]:
        """Which of several leaves below the same signer and root are accepted."""
        above = self._folder / "root.pem", self._folder / "signer.pem"
        for file, data in zip(above, (root, signer), strict=True):
            file.write_text(pem(data))
        files = [self._folder / f"leaf-{number}.pem" for number in range(len(leaves))]
        for file, data in zip(files, leaves, strict=True):
            file.write_text(pem(data))
        assert OPENSSL is not None
        times = ("-attime", str(at), "-no-CApath", "-no-CAstore")
        command: tuple[str | Path, ...] = (
            OPENSSL,
            "verify",
            *times,
            "-CAfile",
            above[0],
            "-untrusted",
            above[1],
            *files,
        )
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        good = {line.removesuffix(": OK") for line in done.stdout.splitlines() if line.endswith(": OK")}
        return [str(file) in good for file in files]


def read(name: str) -> bytes:
    return load((TRUST / f"{name}.pem").read_bytes()).der


def chains() -> list[tuple[str, bytes, bytes, bytes]]:
    device = CA.device(SERIAL, KEY.public_key(), eui48="02E07E000635")[1]
    older = CA.device(SERIAL, KEY.public_key(), template=2)[1]
    root_002, root_001 = (a.certificate.der for a in microchip_anchors())
    mah4i, signer_2c10 = read("device-template-atecc608a-mah4i"), read("crypto-authentication-signer-2c10")
    mah1h, signer_218b = read("device-atecc608a-mah1h"), read("atecc-1h-signer-218b")
    return [
        ("MAH4I", mah4i, signer_2c10, root_002),
        ("MAH1H", mah1h, signer_218b, root_001),
        ("synthetic", device, CA.signer().certificate, CA.root),
        ("synthetic older", older, CA.signer().certificate, CA.root),
    ]


def ours(leaf: bytes, signer: bytes, root: bytes, at: int) -> ChainReport:
    return verify_chain(leaf, signer, root, at=at, anchors=[anchor(root)])


@pytest.mark.parametrize(("leaf", "signer", "root"), [c[1:] for c in chains()], ids=[c[0] for c in chains()])
@pytest.mark.parametrize("at", [AT, 1_500_000_000, 2_000_000_000, 2_700_000_000])
def test_good_chains_and_their_times_are_judged_alike(
    leaf: bytes, signer: bytes, root: bytes, at: int, tmp_path: Path
) -> None:
    assert Verifier(tmp_path).accepted([leaf], signer, root, at) == [ours(leaf, signer, root, at).ok]


EXTRA = {Rule.SERIAL_NUMBER, Rule.KEY_IDENTIFIERS, Rule.EXTENSIONS, Rule.ENCODING, Rule.CA, Rule.ISSUER_NAME}
"""Rules that may refuse what ``openssl verify`` accepts."""


def mutated(rng: random.Random, chain: tuple[bytes, bytes, bytes]) -> tuple[str, tuple[bytes, bytes, bytes]]:
    """A chain with one defect: bytes changed, or fields changed and signed again by the right key."""
    parts = list(chain)
    which = rng.choice((0, 0, 0, 1, 1, 2))
    kind = rng.choice(("flip", "flip", "flip", "cut", "field"))
    data = bytearray(parts[which])
    if kind == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        parts[which] = bytes(data)
    elif kind == "cut":
        at = rng.randrange(4, len(data) - 1)
        del data[at : at + rng.randint(1, 3)]
        parts[which] = bytes(data)
    else:
        parts[which] = _field(rng, parts[which], which)
    return f"{kind} of {('leaf', 'signer', 'root')[which]}", (parts[0], parts[1], parts[2])


def _field(rng: random.Random, data: bytes, which: int) -> bytes:
    """Change one field of a synthetic certificate and sign again, so that only that field is wrong."""
    certificate = Certificate(data)
    changes: list[tuple[asn1.Path, bytes]] = [
        ((0, 1), b"\x40" + rng.randbytes(15)),
        ((0, 4, 0), rng.choice((b"300101000000Z", b"991301000000Z", b"1101010000Z"))),
        ((0, 4, 1), rng.choice((b"20200101000000Z", b"20490230000000Z", b"2049010100Z"))),
        ((0, 3, 1, 0, 1), rng.choice((b"Crypto Authentication Signer 2B00", b"x", b""))),
    ]
    for i, extension in enumerate(certificate.extensions):
        path: asn1.Path = (0, 7, 0, i, 2 if extension.critical else 1)
        changes.append((path, extension.value[:-1] + bytes((extension.value[-1] ^ 1,))))
        changes.append((path, rng.randbytes(len(extension.value))))
        changes.append((path, b"\x30\x00"))
        changes.append(((0, 7, 0, i, 0), bytes.fromhex("551d63")))
    place, content = rng.choice(changes)
    key = CA.signer().key if which == 0 else CA._key
    try:
        return sign_again(asn1.rewrite(data, {place: content}), key)
    except CertificateError:
        return data[:-1]


def test_a_thousand_mutated_chains_are_refused_wherever_openssl_refuses_them(tmp_path: Path) -> None:
    rng = random.Random(20260101)
    verifier, seen = Verifier(tmp_path), Counter[tuple[str, str]]()
    candidates = [c[1:] for c in chains()[2:]]
    groups: dict[tuple[bytes, bytes], list[tuple[str, bytes]]] = {}
    for _ in range(1000):
        what, (leaf, signer, root) = mutated(rng, rng.choice(candidates))
        groups.setdefault((signer, root), []).append((what, leaf))
    for (signer, root), members in groups.items():
        verdicts = verifier.accepted([leaf for _, leaf in members], signer, root, AT)
        for (what, leaf), accepted in zip(members, verdicts, strict=True):
            report = verify_chain(leaf, signer, root, at=AT, anchors=[anchor(CA.root)])
            assert accepted or not report.ok, f"openssl refuses a {what}, we do not:\n{report}"
            rules = {verdict.rule for _, verdict in report.refusals}
            beyond = EXTRA | ({Rule.ANCHOR, Rule.SIGNATURE} if "root" in what else set())
            assert not accepted or rules <= beyond, f"a {what}:\n{report}"
            seen[
                "accepted by openssl" if accepted else "refused", "accepted" if report.ok else "refused"
            ] += 1
    assert seen["refused", "refused"] > 500
    assert seen["accepted by openssl", "refused"] > 10
    assert seen["accepted by openssl", "accepted"] < 100  # key-usage bits, an EUI-48, an unknown extension
    assert sum(seen.values()) == 1000
