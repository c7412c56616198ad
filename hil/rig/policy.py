"""What the guard of a rig allows, from its file, the command line and the approvals."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from hil.clock import Calendar
from hil.errors import ConfigError
from hil.guard.ledger import Ledger
from hil.guard.requirements import Policy, config_digest
from hil.homes import find_homes, made
from hil.records.journal import utc

if TYPE_CHECKING:
    from pathlib import Path

    from hil.element.configzone import ConfigZone
    from hil.rigfile import RigFile

__all__ = [
    "approvals",
    "approve",
    "approved",
    "inspection_needed",
    "lasting",
    "named_config",
    "policy_for",
    "revoke",
    "rig_config",
]


class _NamedConfig:
    """The digest of the configuration that a rig file names; it is read when somebody asks."""

    def __init__(self, file: RigFile) -> None:
        self._file = file
        self._digest: str | None = None

    def __contains__(self, digest: object) -> bool:
        if self._digest is None:
            self._digest = config_digest(rig_config(self._file).to_bytes())
        return digest == self._digest


def policy_for(file: RigFile, allow_irreversible: frozenset[str]) -> Policy:
    """The policy of a rig.

    What an emulated element is spared (:mod:`hil.guard.requirements`) is decided by the ports that
    are opened later, not here.
    """
    return Policy(
        serial=file.element.serial,
        expendable=file.element.expendable,
        allowed_serials=frozenset(serial.lower() for serial in allow_irreversible),
        approved_configs=approved(),
        emulated_configs=() if file.element.config is None else _NamedConfig(file),
        accepted_findings=frozenset(file.element.accepted_findings),
        production=file.element.production,
        part=file.element.part,
        address=file.element.address,
    )


def lasting(file: RigFile) -> bool:
    """Whether the rig's element outlives this process: a real part, or one with a state file."""
    return file.emulation is None or file.emulation.state_file is not None


def inspection_needed(file: RigFile) -> str | None:
    """Why nothing irreversible may be done on a rig before somebody has looked; None if all is known.

    Raises:
        ConfigError: a ledger is damaged.
    """
    if not lasting(file):
        return None
    ledger = Ledger(find_homes().ledgers, Calendar())
    found = ledger.needs_inspection(file.rig, file.element.serial)
    if not found:
        return None
    serial, entry = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"{file.rig} needs inspection: {entry.fields.get('operation')} on element {serial} was begun and "
        f"has no known result{more}; see `hil ledger`, then: hil ledger resolve {file.rig}"
    )


def rig_config(file: RigFile) -> ConfigZone:
    """The element configuration that a rig file names, from the ``configs`` folder beside it or ours.

    Raises:
        ConfigError: it names none, or the file is not there.
    """
    name = file.element.config
    if name is None:
        raise ConfigError(
            f"{file.rig} names no element configuration", hint="add `config: NAME` to its `element:` section"
        )
    return named_config(name, file.path.parent / "configs")


def named_config(name: str, beside: Path | None = None) -> ConfigZone:
    """An element configuration by name.

    Args:
        name: the file's name without its suffix.
        beside: a folder to look into first; then come the project's ``rigs/configs`` and the shipped ones.

    Raises:
        ConfigError: there is none of that name, or it cannot be read.
    """
    from hil.element.configfiles import parse_config

    shipped = files("hil.rigs") / "configs"
    project = find_homes().baselines.parent / "rigs" / "configs"
    for folder in (*([] if beside is None else [beside]), project, shipped):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return parse_config(path.read_text(encoding="utf-8"), "yaml", str(path))
    known = sorted(
        entry.name.removesuffix(".yaml") for entry in shipped.iterdir() if entry.name.endswith(".yaml")
    )
    raise ConfigError(f"there is no element configuration {name!r}", hint=f"shipped: {', '.join(known)}")


def _approvals() -> Path:
    return find_homes().ledgers / "approved-configurations.json"


def approvals() -> dict[str, dict[str, str]]:
    """The configurations that somebody has reviewed: digest → when, by whom, under which name.

    Raises:
        ConfigError: the file is damaged.
    """
    path = _approvals()
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {str(digest): {str(k): str(v) for k, v in note.items()} for digest, note in rows.items()}
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged: {error}", hint="approve the configurations again") from error


def approved() -> frozenset[str]:
    """Digests of the configurations that somebody has reviewed."""
    return frozenset(approvals())


def approve(config: bytes, *, name: str = "", by: str = "") -> str:
    """Remember that a configuration was reviewed; returns its digest.

    Args:
        config: its 128 bytes; what a part decides itself (serial number, locks) does not count.
        name: the file it came from.
        by: who reviewed it.
    """
    digest = config_digest(config)
    note = {"at": utc(Calendar().time()), "by": by, "name": name}
    _keep(approvals() | {digest: note})
    return digest


def revoke(digest: str) -> None:
    """Forget an approval; nothing if there is none."""
    _keep({known: note for known, note in approvals().items() if known != digest})


def _keep(rows: dict[str, dict[str, str]]) -> None:
    path = _approvals()
    made(path.parent)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
