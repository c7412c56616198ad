"""Errors that leave a function which knows a secret carry no variables."""

from __future__ import annotations

import ast
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.discretion import SecretBytes, discreet
from hil.element.keyfiles import PrivateScalar

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SECRET_ARGUMENTS = {"scalar", "kek", "write_key", "io_key", "password"}
KEY = b"0123456789abcdef"


def shown(error: BaseException) -> str:
    """The traceback with every variable of every frame, causes included."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@contextmanager
def held(key: bytes) -> Iterator[bytes]:
    copied = key + b""
    yield copied


def deep(key: bytes) -> None:
    with held(key) as copied:
        try:
            raise KeyError(f"{len(copied)}")
        except KeyError as error:
            raise ValueError("both know it") from error


def in_a_group(key: bytes) -> None:
    try:
        deep(key)
    except ValueError as error:
        raise ExceptionGroup("several", [error, ValueError("another")]) from None


@pytest.mark.parametrize("function", [deep, in_a_group])
def test_an_error_takes_no_variables_along_and_neither_do_its_causes(function: object) -> None:
    assert callable(function)
    with pytest.raises((ValueError, ExceptionGroup), match="both|several") as caught:
        function(KEY)
    assert "0123456789abcdef" in shown(caught.value)
    with pytest.raises((ValueError, ExceptionGroup), match="both|several") as caught:
        discreet(function)(key=KEY)
    text = shown(caught.value)
    assert "0123456789abcdef" not in text
    assert "raise ValueError" in text


def test_a_discreet_function_is_otherwise_the_same() -> None:
    @discreet
    def doubled(key: bytes, *, times: int = 2) -> bytes:
        """Docs."""
        return key * times

    assert doubled(b"a", times=3) == b"aaa"
    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Docs.")


def test_secret_bytes_are_bytes_that_do_not_print_themselves() -> None:
    secret = SecretBytes(KEY)
    assert (secret, len(secret), secret.hex()) == (KEY, 16, KEY.hex())
    assert {f"{secret}", f"{secret!r}", str(secret), f"{[secret]}"[1:-1]} == {"<16 secret bytes>"}
    assert repr(PrivateScalar(bytes(32))) == "<private scalar, 32 bytes>"


def functions_with_secrets() -> dict[str, ast.FunctionDef]:
    """Public functions and methods of the host side that take a key or a password."""
    found = {}
    for path in sorted((ROOT / "hil").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith("hil/emulator/"):
            continue  # what it raises comes out of the host's driver, which forgets it
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
                if arguments & SECRET_ARGUMENTS:
                    found[f"{name}::{node.name}"] = node
    return found


def test_every_function_that_takes_a_key_or_a_password_is_discreet() -> None:
    found = functions_with_secrets()
    assert "hil/element/irreversible.py::write_private_key" in found
    assert len(found) > 15
    loud = [
        name
        for name, node in found.items()
        if "discreet" not in {ast.unparse(d) for d in node.decorator_list}
    ]
    assert loud == []
