import pytest

from hil.element.certificates import asn1
from hil.element.certificates.names import parse_name
from hil.errors import CertificateError


def name(*pairs: tuple[str, bytes]) -> bytes:
    return asn1.sequence(*(asn1.tlv(asn1.SET, asn1.sequence(asn1.oid(kind), value)) for kind, value in pairs))


def utf8(text: str) -> bytes:
    return asn1.tlv(asn1.UTF8_STRING, text.encode())


def test_an_issuer_prints_as_the_openssl_program_prints_it() -> None:
    raw = name(
        ("2.5.4.10", utf8("Microchip Technology Inc")), ("2.5.4.3", utf8("Crypto Authentication Signer 2A00"))
    )
    assert str(parse_name(raw)) == "O = Microchip Technology Inc, CN = Crypto Authentication Signer 2A00"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ("#a", '"#a"'),
        ("a#", "a#"),
        ("#", "#"),
        (" a", '" a"'),
        ('say "x"', 'say \\"x\\"'),
        ("back\\slash", "back\\\\slash"),
        ("Zürich", "Z\\C3\\BCrich"),
        ("tab\t", "tab\\09"),
        ("", ""),
    ],
)
def test_special_characters_are_quoted_or_escaped(value: str, printed: str) -> None:
    assert str(parse_name(name(("2.5.4.3", utf8(value))))) == f"CN = {printed}"


def test_an_unknown_attribute_prints_as_its_number_and_a_non_string_as_hex() -> None:
    raw = name(("1.2.3.4", utf8("x")), ("2.5.4.3", asn1.bit_string(b"\x01")))
    assert str(parse_name(raw)) == "1.2.3.4 = x, CN = #03020001"


def test_attributes_of_one_relative_name_are_joined_with_a_plus() -> None:
    pair = asn1.tlv(
        asn1.SET,
        asn1.sequence(asn1.oid("2.5.4.10"), utf8("A")),
        asn1.sequence(asn1.oid("2.5.4.3"), utf8("B")),
    )
    assert str(parse_name(asn1.sequence(pair))) == "O = A + CN = B"


def test_the_last_of_several_attributes_counts() -> None:
    parsed = parse_name(name(("2.5.4.11", utf8("first")), ("2.5.4.11", utf8("second"))))
    assert parsed.get("OU") == "second"
    assert parsed.get("CN") is None


def test_text_that_breaks_its_encoding_is_refused() -> None:
    with pytest.raises(CertificateError, match="not utf-8"):
        parse_name(name(("2.5.4.3", asn1.tlv(asn1.UTF8_STRING, b"\xff"))))


def test_a_value_that_is_no_text_is_refused_as_openssl_refuses_it() -> None:
    with pytest.raises(CertificateError, match="no text"):
        parse_name(name(("2.5.4.3", asn1.octet_string(b"x"))))
