"""The tables of ``guard.md``, made from the code that they describe.

The page is written by hand; between the lines ``<!-- table: NAME -->`` and ``<!-- end -->`` stands what
is made here, so that page and code cannot say different things.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hil.guard import lint, lintslots, lintzone
from hil.guard.operations import BEYOND_PACKETS, IRREVERSIBLE
from hil.guard.programs import FUSE_COMMANDS, FUSE_OPTIONS
from hil.guard.requirements import EXCEPTIONS, REQUIREMENTS
from hil.guard.roads import CONSOLE_ROADS, RPC_MEANINGS, RPC_ROADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).parent / "guard.md"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _table(*rows: Iterable[str]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * (lines[0].replace("\\|", "").count("|") - 1))
    return "\n" + "\n".join(lines) + "\n\n"


def _operations() -> str:
    rows = [
        (f"`{r.operation}`", f"{r.opcode.name} `{r.opcode:02X}`", r.condition, r.meaning, r.source)
        for r in IRREVERSIBLE
    ]
    rows += [
        (f"`{operation}`", "–", condition, meaning, source)
        for operation, (condition, meaning, source) in BEYOND_PACKETS.items()
    ]
    return _table(("operation", "command", "when", "what cannot be undone", "source"), *rows)


def _requirements() -> str:
    rows = [(f"**{r.name}**", r.why, r.hint) for r in REQUIREMENTS]
    return _table(("a permit needs", "because", "if it is missing"), *rows)


def _exceptions() -> str:
    return _table(("exception", "meaning"), *((f"`{name}`", words) for name, words in EXCEPTIONS.items()))


def _calls() -> str:
    rows = [(f"`{method}`", RPC_MEANINGS[method]) for method in RPC_ROADS]
    rows += [(f"`{command}` (console)", meaning) for command, meaning in CONSOLE_ROADS.items()]
    return _table(("call", "what the guard makes of it"), *rows)


def _programs() -> str:
    rows = [
        (f"`{program} {command}`", meaning)
        for program, commands in FUSE_COMMANDS.items()
        for command, meaning in commands.items()
    ]
    rows += [(f"`{option}` of any command", meaning) for option, meaning in FUSE_OPTIONS.items()]
    return _table(("command", "what it does"), *rows)


def _lint() -> str:
    modules = (lint, lintzone, lintslots)
    rows = sorted({row for module in modules for row in _findings(inspect.getsource(module))})
    return _table(("finding", "severity", "consequence", "source"), *rows)


def _findings(source: str) -> Iterator[tuple[str, str, str, str]]:
    """Every ``Finding(…)`` of a module: id, severity, consequence, source; what varies is shown as N or …."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            name, severity, _where, _meaning, consequence, _fix, written = node.args
            yield f"`{_words(name, 'N')}`", _severity(severity), _words(consequence), _words(written)


def _severity(node: ast.expr) -> str:
    if isinstance(node, ast.IfExp):
        return f"{_words(node.body)}, or {_words(node.orelse)}"
    return _words(node, "error, or note")


def _words(node: ast.expr, varying: str = "…") -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.IfExp):
        return _words(node.body, varying)
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part, varying) for part in node.values)
    return varying


TABLES = {
    "operations": _operations,
    "requirements": _requirements,
    "exceptions": _exceptions,
    "calls": _calls,
    "programs": _programs,
    "lint": _lint,
}


def guard_page() -> str:
    """The page as it stands, its tables made anew."""
    text = PAGE.read_text(encoding="utf-8")
    found = _BLOCK.findall(text)
    if sorted(name for _, name, _ in found) != sorted(TABLES):
        raise ValueError(f"{PAGE} needs each of these tables once: {', '.join(TABLES)}")
    return _BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[3], text)
