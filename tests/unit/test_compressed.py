import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.element.certificates.compressed import (
    Compressed,
    Dates,
    SerialSource,
    raw_signature,
    serial_number,
    signature_der,
)
from hil.errors import CertificateError

SAMPLE = Compressed(bytes(range(64)), Dates(2020, 6, 9, 22, 28), b"\x2c\x10", 3, 0, SerialSource.KEY_HASH)


def dates(years: int) -> st.SearchStrategy[Dates]:
    return st.builds(
        Dates,
        st.integers(2000, 2000 + years),
        st.integers(1, 12),
        st.integers(1, 31),
        st.integers(0, 23),
        st.integers(0, years),
    )


def test_the_published_date_example() -> None:
    example = Dates(2014, 10, 15, 16, 14)
    assert example.encode() == (bytes.fromhex("753e0e"), 0)
    assert Dates.decode(bytes.fromhex("753e0e")) == example
    assert (example.issued, example.expires()) == ("20141015160000Z", "20281015160000Z")


def test_no_expiry_is_the_greatest_date_of_the_encoding() -> None:
    forever = Dates(2018, 8, 21, 22, 0)
    assert forever.expires() == "99991231235959Z"
    assert forever.expires(two_digits=True) == "20491231235959Z"


def test_wide_dates_keep_their_upper_bits_in_byte_71() -> None:
    late = Dates(2127, 12, 31, 23, 127)
    assert late.needed_format == 1
    data = replace(SAMPLE, dates=late, format=1, reserved=5).encode()
    assert (data[64:67].hex(), data[71]) == ("fe7eff", 0xF5)
    assert Compressed.decode(data).dates == late


def test_layout_of_the_72_bytes() -> None:
    data = SAMPLE.encode()
    assert len(data) == 72
    assert data[:64] == bytes(range(64))
    assert data[64:].hex() == "a326dc2c1030a000"


@given(dates(31), st.binary(min_size=64, max_size=64), st.binary(min_size=2, max_size=2), st.integers(0, 255))
def test_format_0_reads_back(when: Dates, signature: bytes, signer: bytes, reserved: int) -> None:
    item = replace(SAMPLE, dates=when, signature=signature, signer_id=signer, reserved=reserved)
    assert Compressed.decode(item.encode()) == item


@given(dates(127), st.sampled_from((1, 2)), st.integers(0, 15), st.sampled_from(SerialSource))
def test_formats_1_and_2_read_back(when: Dates, format: int, reserved: int, source: SerialSource) -> None:
    item = replace(SAMPLE, dates=when, format=format, reserved=reserved, serial_source=source)
    assert Compressed.decode(item.encode()) == item


@given(st.binary(min_size=72, max_size=72))
def test_any_72_bytes_read_back_to_themselves_or_are_refused(data: bytes) -> None:
    try:
        item = Compressed.decode(data)
    except CertificateError:
        return
    assert item.encode() == data


@pytest.mark.parametrize(
    "bad",
    [
        Dates(2032, 1, 1, 0, 1),
        Dates(2020, 1, 1, 0, 32),
        Dates(2020, 13, 1, 0, 1),
        Dates(2020, 1, 0, 0, 1),
        Dates(2020, 1, 1, 24, 1),
    ],
)
def test_dates_that_format_0_cannot_hold_are_refused(bad: Dates) -> None:
    with pytest.raises(CertificateError):
        bad.encode()


@pytest.mark.parametrize(
    "changes", [{"format": 3}, {"template": 16}, {"chain": -1}, {"reserved": 16, "format": 1}]
)
def test_fields_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CertificateError):
        replace(SAMPLE, **changes).encode()


@pytest.mark.parametrize("data", [b"", bytes(71), b"\xff" * 72, SAMPLE.encode()[:70] + b"\x1f\x00"])
def test_what_is_no_compressed_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError):
        Compressed.decode(data)


KEY, DEVICE, DATES = b"k" * 64, bytes.fromhex("0123e07e0000063501"), b"\x01\x02\x03"
KEY_HASH = hashlib.sha256(KEY + DATES).digest()[:16]
DEVICE_HASH = hashlib.sha256(DEVICE + DATES).digest()[:16]


def clipped(number: bytes, keep: int, force: int) -> bytes:
    return bytes((number[0] & keep | force,)) + number[1:]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SerialSource.STORED, b"stored"),
        (SerialSource.STORED_DYNAMIC, b"stored"),
        (SerialSource.DEVICE, b"\x40" + DEVICE),
        (SerialSource.SIGNER_ID, b"\x40\x2a\x00"),
        (SerialSource.KEY_HASH, clipped(KEY_HASH, 0x7F, 0x40)),
        (SerialSource.DEVICE_HASH, clipped(DEVICE_HASH, 0x7F, 0x40)),
        (SerialSource.KEY_HASH_POSITIVE, clipped(KEY_HASH, 0x7F, 0)),
        (SerialSource.DEVICE_HASH_POSITIVE, clipped(DEVICE_HASH, 0x7F, 0)),
        (SerialSource.KEY_HASH_RAW, KEY_HASH),
        (SerialSource.DEVICE_HASH_RAW, DEVICE_HASH),
    ],
)
def test_every_serial_number_rule(source: SerialSource, expected: bytes) -> None:
    number = serial_number(
        source, 16, dates=DATES, public_key=KEY, device=DEVICE, signer_id=b"\x2a\x00", stored=b"stored"
    )
    assert number == expected


@pytest.mark.parametrize("source", [SerialSource.STORED, SerialSource.DEVICE, SerialSource.DEVICE_HASH])
def test_a_rule_that_lacks_its_input_is_refused(source: SerialSource) -> None:
    with pytest.raises(CertificateError):
        serial_number(source, 16, dates=DATES, public_key=KEY)


def test_wide_dates_are_hashed_with_a_fourth_byte() -> None:
    assert len(SAMPLE.hashed_dates) == 3
    wide = replace(SAMPLE, dates=Dates(2040, 1, 1, 0, 40), format=1)
    assert wide.hashed_dates == wide.encode()[64:67] + bytes((wide.encode()[71],))


@given(st.binary(min_size=64, max_size=64))
def test_signatures_convert_both_ways_whatever_their_leading_bytes(signature: bytes) -> None:
    assert raw_signature(signature_der(signature)) == signature


@pytest.mark.parametrize(
    ("signature", "length"),
    [(b"\x7f" * 64, 70), (b"\x80" * 64, 72), (b"\x00\x7f" + b"\x7f" * 30 + b"\x80" * 32, 70), (bytes(64), 8)],
)
def test_lengths_of_der_signatures(signature: bytes, length: int) -> None:
    assert len(signature_der(signature)) == length


def test_a_signature_of_another_curve_is_refused() -> None:
    with pytest.raises(CertificateError):
        raw_signature(bytes.fromhex("3006020101020101") + b"\x00")
    with pytest.raises(CertificateError):
        raw_signature(signature_der(b"\x01" * 64).replace(b"\x02\x20\x01", b"\x02\x20\xff"))
