"""The rig file's schema, as JSON Schema for editors and as rows for the reference page."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from hil.extensions import names
from hil.rigfile.binding import Key, Secret, fields_of
from hil.rigfile.model import RigFile

__all__ = ["json_schema", "reference_rows"]

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SECRET = {
    "type": "object",
    "properties": {"env": {"type": "string"}, "file": {"type": "string"}},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a rig file; rules between keys are not expressed in it."""
    schema = _model(RigFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hil rig file", **schema}


def _model(model: Any) -> dict[str, Any]:  # noqa: ANN401
    properties: dict[str, Any] = {}
    for spec in fields_of(model).values():
        entry = _type(spec.type, spec.key)
        target = entry.get("items", entry)
        for name, value in (
            ("minimum", spec.key.low),
            ("maximum", spec.key.high),
            ("pattern", f"^({spec.key.pattern})$" if spec.key.pattern else None),
        ):
            if value is not None:
                target[name] = value
        entry["description"] = spec.key.doc
        if not spec.required and not dataclasses.is_dataclass(spec.default) and spec.default is not None:
            entry["default"] = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        properties[spec.name] = entry
    return {
        "type": "object",
        "description": (model.__doc__ or "").splitlines()[0],
        "properties": properties,
        "required": [spec.name for spec in fields_of(model).values() if spec.required],
        "additionalProperties": False,
    }


def _type(kind: Any, key: Key | None = None) -> dict[str, Any]:  # noqa: ANN401
    if kind is object or get_origin(kind) is Mapping:
        return {"type": "object"}
    if key is not None and key.choices:
        return {"enum": [*key.choices, *(names(key.group) if key.group else ())]}
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (part for part in get_args(kind) if part is not types.NoneType)
        entry = _type(inner)
        if "enum" in entry:
            entry["enum"].append(None)
        if "type" in entry:
            entry["type"] = [entry["type"], "null"]
        return entry
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _type(get_args(kind)[0])}
    if kind is Secret:
        return dict(_SECRET)
    return _model(kind) if dataclasses.is_dataclass(kind) else {"type": _SIMPLE[kind]}


@dataclasses.dataclass(frozen=True)
class ReferenceRow:
    """One key as the reference page shows it."""

    key: str
    type: str
    default: str
    doc: str


def reference_rows(model: type = RigFile) -> list[tuple[str, str, list[ReferenceRow]]]:
    """Section name, its description and its keys, the top level first; of the rig file, or another model."""
    sections: list[tuple[str, str, list[ReferenceRow]]] = []
    _rows(model, "", sections)
    return sections


def _rows(model: type, name: str, sections: list[tuple[str, str, list[ReferenceRow]]]) -> None:
    rows: list[ReferenceRow] = []
    sections.append((name, (model.__doc__ or "").splitlines()[0], rows))
    seen: set[type] = set()
    for spec in fields_of(model).values():
        inner = spec.type
        if get_origin(inner) in (Union, types.UnionType):
            (inner,) = (part for part in get_args(inner) if part is not types.NoneType)
        section = dataclasses.is_dataclass(inner) and inner is not Secret
        default = "required" if spec.required else "" if section else _shown(spec.default)
        words = _words(inner, spec.key.low, spec.key.high, spec.key)
        rows.append(ReferenceRow(spec.name, words, default, spec.key.doc))
        if get_origin(inner) is tuple and dataclasses.is_dataclass(get_args(inner)[0]):
            inner, section = get_args(inner)[0], True
        if section and inner not in seen:
            seen.add(inner)
            place = f"{name}.{spec.name}" if name else spec.name
            _rows(inner, place, sections)


def _shown(default: object) -> str:
    if default is None or default == "":
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return "[" + ", ".join(map(str, default)) + "]" if isinstance(default, tuple) else str(default)


def _words(kind: Any, low: float | None, high: float | None, key: Key | None = None) -> str:  # noqa: ANN401
    if kind is object or get_origin(kind) is Mapping:
        return "section"
    if key is not None and key.choices:
        return " | ".join(key.choices) + (", or one of your own" if key.group else "")
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_words(get_args(kind)[0], low, high)}"
    if kind is Secret:
        return "{env: NAME} or {file: PATH}"
    if dataclasses.is_dataclass(kind):
        return "section"
    words = {str: "text", int: "whole number", float: "number", bool: "true | false"}[kind]
    return words if low is None else f"{words}, {low:.15g} to {high:.15g}"
