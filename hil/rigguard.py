"""What the guard of a rig allows, from its file, the command line and the approvals."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from hil.errors import ConfigError
from hil.guard.requirements import Policy, config_digest
from hil.homes import find_homes, made

if TYPE_CHECKING:
    from pathlib import Path

    from hil.element.configzone import ConfigZone
    from hil.rigfile import RigFile

__all__ = ["approve", "approved", "named_config", "policy_for"]


class _NamedConfig:
    """The digest of one shipped configuration; the file is read when somebody asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __contains__(self, digest: object) -> bool:
        return digest == config_digest(named_config(self._name).to_bytes())


def policy_for(file: RigFile, allow_irreversible: frozenset[str]) -> Policy:
    """The policy of a rig.

    What an emulated element is spared (:mod:`hil.guard.requirements`) is decided by the ports that
    are opened later, not here.
    """
    name = file.element.config
    return Policy(
        serial=file.element.serial,
        expendable=file.element.expendable,
        allowed_serials=frozenset(serial.lower() for serial in allow_irreversible),
        approved_configs=approved(),
        emulated_configs=() if name is None else _NamedConfig(name),
        accepted_findings=frozenset(file.element.accepted_findings),
        production=file.element.production,
        part=file.element.part,
        address=file.element.address,
    )


def named_config(name: str) -> ConfigZone:
    """An element configuration of ``rigs/configs`` (or of the project's folder of that name).

    Raises:
        ConfigError: there is none of that name, or it cannot be read.
    """
    from hil.element.configfiles import parse_config

    shipped = files("hil.rigs") / "configs"
    for folder in (find_homes().baselines.parent / "rigs" / "configs", shipped):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return parse_config(path.read_text(encoding="utf-8"), "yaml", str(path))
    known = sorted(
        entry.name.removesuffix(".yaml") for entry in shipped.iterdir() if entry.name.endswith(".yaml")
    )
    raise ConfigError(f"there is no element configuration {name!r}", hint=f"shipped: {', '.join(known)}")


def _approvals() -> Path:
    return find_homes().ledgers / "approved-configurations.json"


def approved() -> frozenset[str]:
    """Digests of the configurations that somebody has reviewed.

    Raises:
        ConfigError: the file is damaged.
    """
    path = _approvals()
    if not path.exists():
        return frozenset()
    try:
        return frozenset(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}", hint="approve the configurations again") from error


def approve(config: bytes) -> str:
    """Remember that a configuration was reviewed; returns its digest."""
    digest = config_digest(config)
    path = _approvals()
    made(path.parent)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(sorted(approved() | {digest}), indent=1) + "\n")
    draft.replace(path)
    return digest
