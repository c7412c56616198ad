"""DER as far as certificates need it: a walk that keeps every byte, and a rewriter.

Certificates of secure elements are rebuilt byte by byte, so nothing here normalises: a node
remembers the bytes it was read from, and :func:`rewrite` re-encodes only the nodes on the way
to a changed one. That corrects every enclosing length at once.

Source: ITU-T X.690.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Node",
    "Path",
    "bit_string",
    "boolean",
    "context",
    "integer",
    "octet_string",
    "oid",
    "parse",
    "read",
    "rewrite",
    "sequence",
    "tlv",
]

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

Path = tuple[int, ...]
"""Child indices from the outermost node, e.g. ``(0, 6)``: the public key of a certificate."""


@dataclass(frozen=True, slots=True)
class Node:
    """One element.

    Attributes:
        tag: identifier octet (multi-byte tags are refused).
        content: the bytes inside.
        raw: identifier, length and content as read.
    """

    tag: int
    content: bytes
    raw: bytes

    @property
    def constructed(self) -> bool:
        """Whether the content is elements again."""
        return bool(self.tag & 0x20)

    def children(self) -> list[Node]:
        """The elements inside.

        Raises:
            CertificateError: the content does not split into elements.
        """
        nodes, offset = [], 0
        while offset < len(self.content):
            node = read(self.content, offset)
            nodes.append(node)
            offset += len(node.raw)
        return nodes

    def expect(self, tag: int, what: str) -> Node:
        """This node, if its tag is ``tag``.

        Raises:
            CertificateError: another tag; the message names ``what``.
        """
        if self.tag != tag:
            raise CertificateError(f"{what}: tag 0x{self.tag:02x} where 0x{tag:02x} belongs")
        return self

    def oid(self) -> str:
        """Dotted text of an object identifier."""
        content = self.expect(OID, "object identifier").content
        if not content or content[-1] & 0x80:
            raise CertificateError("an object identifier is cut off")
        arcs, value = [], 0
        for byte in content:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                arcs.append(value)
                value = 0
        first = min(arcs[0] // 40, 2)
        return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))

    def integer(self) -> int:
        """Value of an INTEGER."""
        content = self.expect(INTEGER, "integer").content
        if not content:
            raise CertificateError("an integer has no content")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        """Value of a BOOLEAN."""
        content = self.expect(BOOLEAN, "boolean").content
        if len(content) != 1:
            raise CertificateError(f"a boolean has {len(content)} bytes of content")
        return content != b"\x00"

    def bits(self) -> bytes:
        """Content of a BIT STRING whose length is a multiple of eight."""
        content = self.expect(BIT_STRING, "bit string").content
        if not content or content[0]:
            raise CertificateError("a bit string does not fill its last byte")
        return content[1:]


def read(data: bytes, offset: int = 0) -> Node:
    """The element that starts at ``offset``.

    Raises:
        CertificateError: cut off, a multi-byte tag, or a length that DER does not allow.
    """
    if offset + 2 > len(data):
        raise CertificateError(f"an element is cut off at byte {offset}")
    tag, length, start = data[offset], data[offset + 1], offset + 2
    if tag & 0x1F == 0x1F:
        raise CertificateError(f"a multi-byte tag at byte {offset}")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or start + size > len(data):
            raise CertificateError(f"a length of {size} bytes at byte {offset}")
        length = int.from_bytes(data[start : start + size], "big")
        if length < 0x80 or data[start] == 0:
            raise CertificateError(f"a length that is not minimal at byte {offset}")
        start += size
    if start + length > len(data):
        raise CertificateError(
            f"the element at byte {offset} runs {start + length - len(data)} bytes too far"
        )
    return Node(tag, bytes(data[start : start + length]), bytes(data[offset : start + length]))


def parse(data: bytes) -> Node:
    """The one element that ``data`` consists of.

    Raises:
        CertificateError: not DER, or something follows.
    """
    node = read(data)
    if len(node.raw) != len(data):
        raise CertificateError(f"{len(data) - len(node.raw)} bytes follow the outermost element")
    return node


def tlv(tag: int, *parts: bytes) -> bytes:
    """Encode one element."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of encoded parts."""
    return tlv(SEQUENCE, *parts)


def integer(value: int) -> bytes:
    """INTEGER, minimal."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool) -> bytes:
    """BOOLEAN."""
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def octet_string(*parts: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(OCTET_STRING, *parts)


def bit_string(data: bytes, unused: int = 0) -> bytes:
    """BIT STRING whose last byte has ``unused`` unused bits."""
    return tlv(BIT_STRING, bytes((unused,)), data)


def context(number: int, *parts: bytes, constructed: bool = True) -> bytes:
    """Context-specific element ``[number]``."""
    return tlv(0x80 | (0x20 if constructed else 0) | number, *parts)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted text."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OID, *(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(arc & 0x7F | 0x80)
    return bytes(reversed(groups))


def rewrite(data: bytes, changes: Mapping[Path, bytes]) -> bytes:
    """``data`` with the *content* of the nodes at some paths replaced.

    Args:
        data: one DER element.
        changes: new content by path; the empty path is the outermost node.

    Raises:
        CertificateError: ``data`` is not DER or a path leads nowhere.
    """
    missing = set(changes)

    def build(node: Node, path: Path) -> bytes:
        if path in changes:
            missing.discard(path)
            return tlv(node.tag, changes[path])
        if not any(change[: len(path)] == path for change in missing):
            return node.raw
        return tlv(node.tag, *(build(child, (*path, i)) for i, child in enumerate(node.children())))

    rebuilt = build(parse(data), ())
    if missing:
        raise CertificateError(f"no element at {sorted(missing)}")
    return rebuilt
