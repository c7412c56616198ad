"""YAML onto frozen dataclasses, strictly, with the line and column of every mistake.

The document is read as a tree of nodes, not as Python objects: the declared type of a key decides
how its text is understood, so that ``012300`` stays a string where a string belongs, ``off`` is not
``False`` and ``1.2`` is a TLS version. A field of a model is a key of the file exactly if its
annotation is ``Annotated[type, Key(…)]``; everything the schema and the reference page say comes
from the same place.

Types understood: ``str``, ``int``, ``float``, ``bool``, ``Literal`` of strings, ``X | None``,
``tuple[X, ...]``, other models, and :class:`Secret`; ``object`` and ``Mapping[str, object]`` for the
settings of parts that other packages bring (:mod:`hil.extensions`).
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from hil import extensions
from hil.errors import ConfigError
from hil.yamltext import LOADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hil.extensions import Group

__all__ = ["Binder", "FieldSpec", "Key", "Secret", "fields_of", "parse", "suggest"]

Model = TypeVar("Model")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Key:
    """What a rig file may say under one key.

    Attributes:
        doc: one or two sentences for the reference page.
        low, high: inclusive bounds of a number.
        pattern: regular expression that the whole text must match.
        form: the pattern in words, for the message.
        choices: the built-in kinds, for a text that names one.
        group: entry points that bring further kinds, or the settings of one.
    """

    doc: str
    low: float | None = None
    high: float | None = None
    pattern: str | None = None
    form: str = ""
    choices: tuple[str, ...] = ()
    group: Group | None = None


@dataclass(frozen=True)
class Secret:
    """A reference to a secret; the value itself never stands in a rig file.

    Attributes:
        source: where to look, ``env`` or ``file``.
        name: the environment variable, or the file's path.
        folder: the rig file's folder, from which a relative path counts.
    """

    source: Literal["env", "file"]
    name: str
    folder: Path = Path()

    def value(self) -> str:
        """The value, without a trailing newline.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read.
        """
        if self.source == "env":
            value = os.environ.get(self.name)
            if value is None:
                raise ConfigError(
                    f"the environment variable {self.name} is not set", hint=f"export {self.name}=…"
                )
            return value
        path = self.folder / Path(self.name).expanduser()
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the secret file {path} cannot be read: {error}") from error

    def __str__(self) -> str:
        return f"{{{self.source}: {self.name}}}"


@dataclass(frozen=True)
class FieldSpec:
    """One key of a model: its name, its type without the annotation, its rules."""

    name: str
    type: Any
    key: Key
    required: bool
    default: Any


@cache
def fields_of(model: type) -> dict[str, FieldSpec]:
    """The keys of a model in the order they were declared."""
    hints = get_type_hints(model, include_extras=True)
    specs: dict[str, FieldSpec] = {}
    for field in dataclasses.fields(model):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        inner, key = get_args(hint)
        required = field.default is MISSING and field.default_factory is MISSING
        made = field.default if field.default_factory is MISSING else field.default_factory()
        specs[field.name] = FieldSpec(field.name, inner, key, required, made)
    return specs


def suggest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing when no known word is near."""
    import difflib  # only needed once something is wrong

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f" (did you mean {near[0]!r}?)" if near else ""


def parse(path: Path) -> yaml.Node:
    """Read one YAML document as nodes.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, not YAML, or empty.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        node = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{path}:{where}: not valid YAML: {what}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1:1: not valid YAML: {' '.join(str(error).split())}") from error
    if node is None:
        raise ConfigError(f"{path}:1:1: the file is empty")
    return node


def check_model(model: type) -> None:
    """Whether a model that another package brings can be read from a file at all.

    Raises:
        ConfigError: an annotation or a pattern cannot be understood; says which.
    """
    try:
        specs = fields_of(model)
    except Exception as error:  # whatever evaluating foreign annotations raises
        raise ConfigError(f"the annotations of {model.__qualname__} cannot be read: {error!r}") from error
    for spec in specs.values():
        kind = spec.type
        if get_origin(kind) in (Union, types.UnionType):
            others = [part for part in get_args(kind) if part is not types.NoneType]
            kind = others[0] if len(others) == 1 else kind
        if get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind is not Secret:
            check_model(kind)
        elif kind is not Secret and get_origin(kind) is not Literal and kind not in _CONVERT:
            raise ConfigError(f"{model.__qualname__}.{spec.name} has a type that no rig file can say: {kind}")
        try:
            re.compile(spec.key.pattern or "")
        except re.error as error:
            raise ConfigError(f"the pattern of {model.__qualname__}.{spec.name}: {error}") from error


class Binder:
    """Turns the nodes of one file into models and collects every problem on the way.

    Args:
        path: the file, as it shall stand in messages.
        folder: from where relative paths of secrets count.
        what: what kind of file it is, for messages.
    """

    def __init__(self, path: Path, folder: Path, what: str = "the rig file") -> None:
        self._path = path
        self._folder = folder
        self._what = what
        self._problems: list[tuple[int, int, str]] = []
        self._places: dict[tuple[str, ...], yaml.Node] = {}

    def bind(self, node: yaml.Node, model: type[Model]) -> Model:
        """The model that ``node`` describes.

        Raises:
            ConfigError: one message, a line for each problem.
        """
        bound = self._model(node, model, ())
        self.check()
        assert isinstance(bound, model), "no problems were found, so the model was built"
        return bound

    def problem(self, place: Sequence[str], text: str) -> None:
        """Note a problem at the key ``place``, or at the nearest section that is in the file."""
        keys = tuple(place)
        while keys not in self._places:
            keys = keys[:-1]
        self._note(self._places[keys], text)

    def check(self) -> None:
        """Raise what was noted so far.

        Raises:
            ConfigError: there was a problem.
        """
        if self._problems:
            lines = [f"{self._path}:{line}:{column}: {text}" for line, column, text in sorted(self._problems)]
            raise ConfigError("\n".join(lines))

    def _note(self, node: yaml.Node, text: str) -> None:
        mark = node.start_mark
        self._problems.append((mark.line + 1, mark.column + 1, text))

    def _model(self, node: yaml.Node, model: type, place: tuple[str, ...]) -> object | None:
        where = ".".join(place) or self._what
        self._places[place] = node
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{where} must be a section of keys, not {_kind(node)}")
            return None
        specs = fields_of(model)
        given: dict[str, object] = {}
        meant: set[str] = set()
        options: list[tuple[FieldSpec, yaml.Node]] = []
        before = len(self._problems)
        for key_node, value_node in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else _kind(key_node)
            spec = specs.get(name)
            if spec is None:
                known = [candidate for candidate in specs if candidate not in given]
                hint = suggest(name, known)
                meant.update(candidate for candidate in known if repr(candidate) in hint)
                self._note(key_node, f"unknown key {name!r} in {where}{hint}")
            elif name in given:
                self._note(key_node, f"{name!r} stands twice in {where}")
            else:
                self._places[(*place, name)] = value_node
                if spec.type is object:
                    options.append((spec, value_node))
                else:
                    given[name] = self._value(value_node, spec.type, spec.key, (*place, name))
        for spec in specs.values():
            if spec.type is object:  # its model depends on the kind, which may stand behind it
                node_of = dict((one.name, value) for one, value in options)
                given[spec.name] = self._options(specs, given, spec, node_of.get(spec.name), node, place)
        for spec in specs.values():
            if spec.required and spec.name not in given and spec.name not in meant:
                self._note(node, f"{where} lacks the key {spec.name!r}: {spec.key.doc}")
        return model(**given) if len(self._problems) == before else None

    def _value(self, node: yaml.Node, kind: Any, key: Key, place: tuple[str, ...]) -> object:  # noqa: ANN401
        if get_origin(kind) in (Union, types.UnionType):
            if isinstance(node, yaml.ScalarNode) and _plain(node) and node.value in _NULL:
                return None
            (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
        if dataclasses.is_dataclass(kind) and kind is not Secret:
            assert isinstance(kind, type)
            return self._model(node, kind, place)
        if get_origin(kind) is tuple:
            return self._items(node, get_args(kind)[0], key, place)
        if kind is Secret:
            return self._secret(node, place)
        if get_origin(kind) is Mapping:
            assert key.group is not None, "settings of one's own belong to a group"
            return self._by_name(node, key.group, place)
        return self._scalar(node, kind, key, place)

    def _options(
        self,
        specs: Mapping[str, FieldSpec],
        given: Mapping[str, object],
        spec: FieldSpec,
        node: yaml.Node | None,
        section: yaml.Node,
        place: tuple[str, ...],
    ) -> object:
        """The settings of a section's kind, if another package brings that kind."""
        kind, group = str(given.get("kind", specs["kind"].default)), spec.key.group
        assert group is not None, "settings of one's own belong to a group"
        built_in = kind in specs["kind"].key.choices
        extension = None if built_in else self._extension(group, kind, section)
        if extension is None or extension.options is None:
            if node is not None and (built_in or extension is not None):
                self._note(node, f"{spec.name} is for a kind of one's own; kind {kind} has none")
            return None
        model = extension.options
        if node is None:
            lacking = [one for one in fields_of(model).values() if one.required]
            if not lacking:
                return self._own_model(
                    yaml.MappingNode("tag:yaml.org,2002:map", [], section.start_mark), model, place
                )
            self._note(section, f"{'.'.join(place)} lacks the section {spec.name!r}, which kind {kind} needs")
            return None
        return self._own_model(node, model, (*place, spec.name))

    def _own_model(self, node: yaml.Node, model: type, place: tuple[str, ...]) -> object | None:
        """Settings whose model another package brings; it may refuse what it is given."""
        try:
            return self._model(node, model, place)
        except ValueError as error:
            self._note(node, f"{'.'.join(place)}: {error}")
            return None

    def _by_name(self, node: yaml.Node, group: Group, place: tuple[str, ...]) -> Mapping[str, object]:
        """Settings by the name of the extension that they are for."""
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{place[-1]} must be a section of keys, not {_kind(node)}")
            return {}
        given: dict[str, object] = {}
        for key_node, value_node in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else _kind(key_node)
            extension = self._extension(group, name, key_node)
            if extension is None and name in extensions.names(group):
                continue  # its package is broken: that is noted
            if extension is None:
                known = extensions.names(group)
                listed = f"; installed: {', '.join(known)}" if known else "; none is installed"
                self._note(key_node, f"{place[-1]} knows no {name!r}{suggest(name, known)}{listed}")
            elif extension.options is None:
                self._note(key_node, f"{name} has no settings")
            elif name in given:
                self._note(key_node, f"{name!r} stands twice in {place[-1]}")
            else:
                self._places[(*place, name)] = value_node
                given[name] = self._own_model(value_node, extension.options, (*place, name))
        return given

    def _extension(self, group: Group, name: str, node: yaml.Node) -> extensions.Extension | None:
        try:
            found = extensions.find(group, name)
            if found is not None and found.options is not None:
                check_model(found.options)
        except ConfigError as error:
            self._note(node, error.message)
            return None
        return found

    def _items(self, node: yaml.Node, kind: Any, key: Key, place: tuple[str, ...]) -> object:  # noqa: ANN401
        if not isinstance(node, yaml.SequenceNode):
            self._note(node, f"{place[-1]} must be a list, not {_kind(node)}")
            return None
        return tuple(
            self._value(item, kind, key, (*place, str(index))) for index, item in enumerate(node.value)
        )

    def _secret(self, node: yaml.Node, place: tuple[str, ...]) -> object:
        if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
            source, name = node.value[0]
            if source.value in ("env", "file") and isinstance(name, yaml.ScalarNode) and name.value:
                return Secret(source.value, name.value, self._folder)
        # The text is not repeated here: it may be the secret itself.
        self._note(node, f"{place[-1]} must be {{env: NAME}} or {{file: PATH}}, never the secret itself")
        return None

    def _scalar(self, node: yaml.Node, kind: Any, key: Key, place: tuple[str, ...]) -> object:  # noqa: ANN401
        name = place[-1] if not place[-1].isdigit() else place[-2]
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, f"{name} must be {_wanted(kind)}, not {_kind(node)}")
            return None
        text = node.value
        if _plain(node) and text in _NULL:
            self._note(node, f"{name} has no value; it must be {_wanted(kind)}")
            return None
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if text not in choices:
                hint = suggest(text, choices)
                self._note(node, f"{name} must be {_wanted(kind)}, not {text!r}{hint}")
            return text
        if key.choices and text not in key.choices and not self._brought(key, text):
            known = (*key.choices, *(extensions.names(key.group) if key.group else ()))
            self._note(node, f"{name} must be {_listed(known)}, not {text!r}{suggest(text, known)}")
            return text
        value = _CONVERT[kind](text)
        if value is None or (kind is not str and not _plain(node)):
            shown = repr(text) if _plain(node) else f"the text {text!r}"
            self._note(node, f"{name} must be {_wanted(kind)}, not {shown}")
            return None
        if key.pattern is not None and not re.fullmatch(key.pattern, text):
            self._note(node, f"{name} must be {key.form}, not {text!r}")
        elif isinstance(value, int | float) and not _within(value, key):
            self._note(node, f"{name} is {text}; allowed is {key.low:.15g} to {key.high:.15g}")
        return value

    def _brought(self, key: Key, text: str) -> bool:
        """Whether a package brings that kind; whether it can be loaded is found out with its settings."""
        return key.group is not None and text in extensions.names(key.group)


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _within(value: float, key: Key) -> bool:
    return (key.low is None or value >= key.low) and (key.high is None or value <= key.high)


def _integer(text: str) -> int | None:
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return int(text)
    return int(text, 16) if re.fullmatch(r"0x[0-9A-Fa-f]+", text) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else None


_CONVERT: dict[Any, Any] = {str: str, int: _integer, float: _number, bool: _BOOLEANS.get}
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _wanted(kind: Any) -> str:  # noqa: ANN401
    return _listed(get_args(kind)) if get_origin(kind) is Literal else _WORDS[kind]


def _plain(node: yaml.ScalarNode) -> bool:
    """True for text without quotes; the C parser says '' where the Python parser says None."""
    return not node.style


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a section"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"{node.value!r}" if node.value else "empty"
