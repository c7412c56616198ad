"""From the name of a rig, or the path of its file, to a checked :class:`RigFile`."""

from __future__ import annotations

import dataclasses
import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hil.errors import UsageError
from hil.rigfile.binding import Binder, parse, suggest
from hil.rigfile.model import RigFile
from hil.rigfile.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "find_rig",
    "find_rigs",
    "image_path",
    "list_rigs",
    "load",
    "load_rig",
    "search_folders",
    "shipped_folder",
]

ALL = "all"
EXAMPLE = "example-"
_SUFFIXES = (".yaml", ".yml")


def load(path: Path) -> RigFile:
    """Read and check a rig file.

    Raises:
        ConfigError: one message with ``file:line:column`` for every problem.
    """
    node = parse(path)
    binder = Binder(path, path.resolve().parent)
    rig = dataclasses.replace(binder.bind(node, RigFile), path=path)
    for rule in RULES:
        for place, text in rule(rig):
            binder.problem(place, text)
    for place, text in _unknown_names(rig):
        binder.problem(place, text)
    binder.check()
    return rig


def _unknown_names(rig: RigFile) -> Iterator[tuple[tuple[str, ...], str]]:
    """Names in the rig file of files that are not there."""
    shipped = shipped_folder()
    named: list[tuple[tuple[str, str], str, list[Path]]] = []
    if rig.element.config is not None:
        own = rig.path.parent / "configs"
        named.append((("element", "config"), rig.element.config, [own, shipped / "configs"]))
    if rig.emulation is not None:
        own = rig.path.parent / "chips"
        named.append((("emulation", "chip"), rig.emulation.chip, [own, shipped / "chips"]))
        own = rig.path.parent / "boards"
        named.append((("emulation", "cost_model"), rig.emulation.cost_model, [own, shipped / "boards"]))
    for place, name, folders in named:
        if not any((folder / f"{name}.yaml").is_file() for folder in folders):
            known = [path.stem for folder in folders for path in folder.glob("*.yaml")]
            where = " or ".join(map(str, folders))
            yield place, f"{place[-1]}: there is no {name!r}{suggest(name, known)} in {where}"
    if rig.board.image is not None and image_path(rig) is None:
        yield ("board", "image"), f"image: there is no file {rig.board.image!r} in {rig.path.parent}"


def image_path(rig: RigFile) -> Path | None:
    """The firmware image that the rig file names: in its folder, else among the shipped ones."""
    if rig.board.image is None:
        return None
    folders = (rig.path.resolve().parent, shipped_folder())
    return next((path for path in (f / rig.board.image for f in folders) if path.is_file()), None)


def shipped_folder() -> Path:
    """The folder of the rig files, profiles and configurations that come with the package."""
    return Path(str(files("hil.rigs")))


def search_folders() -> tuple[Path, ...]:
    """Where rigs are looked for by name: the project's ``rigs`` folder, then the shipped ones."""
    return (Path("rigs"), shipped_folder())


def list_rigs(folders: Sequence[Path] | None = None) -> dict[str, Path]:
    """Every rig file by name, examples included; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in search_folders() if folders is None else folders:
        for path in sorted(folder.glob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                found.setdefault(path.stem, path)
    return found


def find_rig(name_or_path: str, folders: Sequence[Path] | None = None) -> Path:
    """The file of one rig.

    Args:
        name_or_path: a rig's name, or the path of a rig file.
        folders: where to look for names instead of :func:`search_folders`.

    Raises:
        UsageError: there is no such rig; the message names the nearest and lists the others.
    """
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        if not path.is_file():
            raise UsageError(f"there is no rig file {name_or_path}")
        return path
    known = list_rigs(folders)
    if name_or_path not in known:
        raise UsageError(
            f"there is no rig {name_or_path!r}{suggest(name_or_path, known)}",
            hint=f"known rigs: {', '.join(sorted(known)) or 'none'}; or give the path of a rig file",
        )
    return known[name_or_path]


def find_rigs(wanted: Iterable[str], folders: Sequence[Path] | None = None) -> list[Path]:
    """The files of the rigs that names, paths, globs or ``all`` ask for, each once, in order.

    ``all`` and globs leave out the ``example-`` rigs: those describe hardware that is not yours.

    Raises:
        UsageError: a name is unknown or a glob matches nothing.
    """
    known = list_rigs(folders)
    usable = [name for name in known if not name.startswith(EXAMPLE)]
    found: dict[Path, None] = {}
    for want in wanted:
        if want == ALL:
            names = usable
        elif any(character in want for character in "*?["):
            names = fnmatch.filter(usable, want)
        else:
            found[find_rig(want, folders)] = None
            continue
        if not names:
            hint = f"known rigs: {', '.join(sorted(usable)) or 'none'}"
            raise UsageError(f"no rig matches {want!r}", hint=hint)
        found.update((known[name], None) for name in names)
    return list(found)


def load_rig(name_or_path: str) -> RigFile:
    """Find a rig by name or path and load it.

    Raises:
        UsageError: there is no such rig.
        ConfigError: its file is wrong.
    """
    return load(find_rig(name_or_path))
