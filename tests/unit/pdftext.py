"""The text on each page of a PDF that Chromium printed: just enough of ISO 32000-1 for that."""

from __future__ import annotations

import re
import unicodedata
import zlib

__all__ = ["pages"]

_OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_SHOWN = re.compile(rb"/(F\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)> Tj|\[((?:<[0-9A-Fa-f]*>|[-\d. ]+)*)\] TJ")
_CHAR = re.compile(rb"<([0-9A-Fa-f]+)> <([0-9A-Fa-f]+)>\n")
_RANGE = re.compile(rb"<([0-9A-Fa-f]+)> <([0-9A-Fa-f]+)> <([0-9A-Fa-f]+)>\n")


def pages(pdf: bytes) -> list[str]:
    """What stands on each page, in the order of drawing, without spaces between pieces."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    found = []
    for body in objects.values():
        if re.search(rb"/Type /Page\b", body):
            fonts = {
                name: _characters(objects, int(number))
                for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", body)
            }
            (content,) = re.findall(rb"/Contents (\d+) 0 R", body)
            found.append(_text(_stream(objects[int(content)]), fonts))
    return found


def _stream(body: bytes) -> bytes:
    data = body.partition(b">> stream\n")[2]
    return zlib.decompressobj().decompress(data) if b"/FlateDecode" in body else data


def _characters(objects: dict[int, bytes], font: int) -> dict[int, str]:
    (table,) = re.findall(rb"/ToUnicode (\d+) 0 R", objects[font]) or [b""]
    if not table:
        return {}
    text = _stream(objects[int(table)])
    found = {}
    for block in re.findall(rb"beginbfchar\n(.*?)endbfchar", text, re.DOTALL):
        for glyph, character in _CHAR.findall(block):
            found[int(glyph, 16)] = bytes.fromhex(character.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange\n(.*?)endbfrange", text, re.DOTALL):
        for first, last, start in _RANGE.findall(block):
            for offset in range(int(last, 16) - int(first, 16) + 1):
                found[int(first, 16) + offset] = chr(int(start, 16) + offset)
    return found


def _text(content: bytes, fonts: dict[bytes, dict[int, str]]) -> str:
    characters: dict[int, str] = {}
    shown = []
    for font, plain, spaced in _SHOWN.findall(content):
        if font:
            characters = fonts.get(font, {})
        for piece in [plain] if plain else re.findall(rb"<([0-9A-Fa-f]*)>", spaced):
            glyphs = [int(piece[at : at + 4], 16) for at in range(0, len(piece), 4)]
            shown.append("".join(characters.get(glyph, "?") for glyph in glyphs))
    return unicodedata.normalize("NFKC", "".join(shown))  # a ligature is two letters
