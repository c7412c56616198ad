import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.element.certificates import asn1
from hil.errors import CertificateError


@given(st.binary(max_size=300))
def test_an_encoded_element_reads_back(content: bytes) -> None:
    node = asn1.parse(asn1.tlv(asn1.OCTET_STRING, content))
    assert (node.tag, node.content) == (asn1.OCTET_STRING, content)


@given(st.integers(-(1 << 300), 1 << 300))
def test_integers_read_back_and_are_minimal(value: int) -> None:
    node = asn1.parse(asn1.integer(value))
    assert node.integer() == value
    assert len(node.content) == 1 or node.content[:2] not in (b"\x00\x00", b"\xff\xff")


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("2.5.4.10", "060355040a"),
        ("1.2.840.10045.4.3.2", "06082a8648ce3d040302"),
        ("0.9.2342.19200300.100.1.25", "060a0992268993f22c640119"),
        ("2.999.3", "0603883703"),
    ],
)
def test_object_identifiers_both_ways(dotted: str, encoded: str) -> None:
    assert asn1.oid(dotted).hex() == encoded
    assert asn1.parse(bytes.fromhex(encoded)).oid() == dotted


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        ("", "cut off at byte 0"),
        ("30", "cut off"),
        ("3003020101ff", "1 bytes follow"),
        ("3080020101", "a length of 0 bytes"),
        ("308103020101", "not minimal"),
        ("308200030201ff", "not minimal"),
        ("3004020101", "1 bytes too far"),
        ("1f8101", "multi-byte tag"),
        ("308500000000030201ff", "a length of 5 bytes"),
    ],
)
def test_what_is_not_der_is_refused_with_its_reason(encoded: str, says: str) -> None:
    with pytest.raises(CertificateError, match=says):
        asn1.parse(bytes.fromhex(encoded))


def test_rewriting_corrects_every_enclosing_length_and_keeps_the_rest() -> None:
    inner = asn1.sequence(asn1.integer(1), asn1.octet_string(b"x" * 120))
    data = asn1.sequence(asn1.integer(7), inner, asn1.boolean(True))
    longer = asn1.rewrite(data, {(1, 1): b"y" * 200})
    assert longer == asn1.sequence(
        asn1.integer(7), asn1.sequence(asn1.integer(1), asn1.octet_string(b"y" * 200)), asn1.boolean(True)
    )
    assert asn1.rewrite(longer, {(1, 1): b"x" * 120}) == data


def test_rewriting_a_place_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CertificateError, match="no element at"):
        asn1.rewrite(asn1.sequence(asn1.integer(1)), {(3,): b""})


def test_a_bit_string_with_unused_bits_is_not_taken_for_bytes() -> None:
    with pytest.raises(CertificateError, match="does not fill"):
        asn1.parse(asn1.bit_string(b"\x80", unused=7)).bits()
