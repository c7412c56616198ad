"""What is compared: where the client's key is, what the element does, which chain the server shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hil.errors import UsageError
from hil.rigfile import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hil.cloud.local.pki import ChainKind
    from hil.rigfile import RigFile
    from hil.tls.client import Version

__all__ = ["SCENARIOS", "Case", "Scenario", "cases", "find_scenario", "not_applicable"]

KeyPlace = Literal["element", "ecc-file", "rsa-file"]
Share = Literal["all", "sign", "none"]


@dataclass(frozen=True)
class Scenario:
    """One way to connect.

    Attributes:
        name: what it is called on the command line and in records.
        meaning: in words.
        key: where the client's private key is.
        element: what the element does: all P-256 operations, the client's signature alone, or nothing.
        server: the chain that the server shows.
    """

    name: str
    meaning: str
    key: KeyPlace
    element: Share
    server: ChainKind


SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("element", "sign, ECDH and verification in the element", "element", "all", "ec"),
        Scenario(
            "element-rsa-chain", "sign and ECDH in the element, RSA server chain", "element", "all", "rsa"
        ),
        Scenario("sign-only", "only the client's signature in the element", "element", "sign", "ec"),
        Scenario(
            "sign-only-rsa-chain", "only the client's signature in it, RSA chain", "element", "sign", "rsa"
        ),
        Scenario("software-ecc", "all in software, P-256 client key", "ecc-file", "none", "ec"),
        Scenario("software-rsa", "all in software, RSA-2048 client key and chain", "rsa-file", "none", "rsa"),
    )
}
"""Every scenario by name; ``element`` is the claim, the others are what it is compared with."""


@dataclass(frozen=True)
class Case:
    """A scenario with one TLS version."""

    scenario: Scenario
    version: Version

    @property
    def name(self) -> str:
        """E.g. ``element, TLS 1.3``."""
        return f"{self.scenario.name}, TLS {self.version}"


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SCENARIOS:
        raise UsageError(f"there is no scenario {name!r}", hint=f"there are: {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def not_applicable(rig: RigFile, case: Case) -> str | None:
    """Why a rig cannot do a case, or None if it can."""
    reason = missing(rig, {"mqtt", "config", "fs"})
    if reason is not None:
        return reason
    scenario = case.scenario
    if rig.element.state == "trust" and scenario.key == "element":
        return f"{rig.rig}: its element was delivered with keys and certificates of its own"
    if case.version not in rig.connect.tls_versions:
        return f"{rig.rig} does not use TLS {case.version}"
    if rig.emulated:
        return None
    if scenario.element == "sign":
        return f"{rig.rig} is physical: what its TLS library leaves to the element is built into the image"
    if len(rig.connect.tls_versions) > 1:
        return f"{rig.rig} is physical: its TLS library agrees on a version by itself; name one in the file"
    if scenario.server == "rsa" and rig.cloud.listen is None:
        return f"{rig.rig} meets an endpoint that is not ours: which chain it shows is not ours to choose"
    return None


def cases(
    rig: RigFile, scenarios: Iterable[Scenario], versions: Sequence[Version] | None = None
) -> tuple[list[Case], list[tuple[Case, str]]]:
    """The cases that a rig can do, and those that it cannot with the reason."""
    wanted = rig.connect.tls_versions if versions is None else versions
    able: list[Case] = []
    unable: list[tuple[Case, str]] = []
    for scenario in scenarios:
        for version in wanted:
            case = Case(scenario, version)
            reason = not_applicable(rig, case)
            if reason is None:
                able.append(case)
            else:
                unable.append((case, reason))
    return able, unable
