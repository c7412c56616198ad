from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.boards.mongoose_fs import FileSystem, Flash


def test_a_slash_in_front_names_the_same_file() -> None:
    fs = FileSystem(Flash())
    fs.write("/ecc.crt.pem", b"test")
    assert fs.read("ecc.crt.pem") == b"test"
    assert fs.names() == ["ecc.crt.pem"]


def test_missing_files_are_missing() -> None:
    fs = FileSystem(Flash({"a": b""}))
    for operation in (lambda: fs.read("b"), lambda: fs.remove("b"), lambda: fs.rename("b", "c")):
        with pytest.raises(FileNotFoundError):
            operation()
    assert fs.names() == ["a"]


@pytest.mark.parametrize("name", ["", "/"])
def test_a_file_needs_a_name(name: str) -> None:
    fs = FileSystem(Flash({"a": b"x"}))
    with pytest.raises(OSError, match="name"):
        fs.write(name, b"x")
    with pytest.raises(OSError, match="name"):
        fs.rename("a", name)
    assert fs.read("a") == b"x"


def test_rename_replaces_the_target() -> None:
    fs = FileSystem(Flash({"a": b"new", "b": b"old"}))
    fs.rename("a", "b")
    assert fs.names() == ["b"]
    assert fs.read("b") == b"new"


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    flash = Flash({"a": b"12345"}, size=8)
    fs = FileSystem(flash)
    with pytest.raises(OSError, match="no room"):
        fs.write("b", b"1234")
    with pytest.raises(OSError, match="no room"):
        fs.put("a", b"1", offset=10**12, append=False)
    assert flash.files == {"a": b"12345"}
    fs.write("a", b"12345678")  # replacing counts the old content as free
    assert fs.free == 0


@given(data=st.binary(min_size=1, max_size=2000), size=st.integers(1, 600), append=st.booleans())
def test_chunks_as_mos_puts_them_make_the_file(data: bytes, size: int, append: bool) -> None:
    fs = FileSystem(Flash({"f": b"older and longer than some"}))
    for at in range(0, len(data), size):
        fs.put("f", data[at : at + size], offset=at, append=append or at > 0)
    assert fs.read("f") == data


@given(data=st.binary(max_size=500), size=st.integers(1, 100))
def test_chunks_without_offset_append(data: bytes, size: int) -> None:
    fs = FileSystem(Flash({"f": b"old"}))
    fs.put("f", b"", offset=-1, append=False)
    for at in range(0, len(data), size):
        fs.put("f", data[at : at + size], offset=-1, append=True)
    assert fs.read("f") == data


def test_put_at_an_offset_overwrites_in_the_middle_and_fills_gaps() -> None:
    fs = FileSystem(Flash({"f": b"abcdef"}))
    fs.put("f", b"XY", offset=2, append=False)
    assert fs.read("f") == b"abXYef"
    fs.put("f", b"Z", offset=8, append=True)
    assert fs.read("f") == b"abXYef\0\0Z"


def test_a_copy_of_the_flash_is_independent() -> None:
    flash = Flash({"a": b"1"}, strapped_for_loader=True)
    copy = flash.copy()
    copy.files["a"] = b"2"
    assert flash.files == {"a": b"1"}
    assert copy.strapped_for_loader
