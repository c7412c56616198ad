"""A Python prompt with a rig at hand: ``hil element shell``."""

from __future__ import annotations

import code
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.rig.rig import Rig

__all__ = ["AtHand", "interact", "names", "run_code"]


@dataclass(frozen=True)
class AtHand:
    """What the prompt offers.

    Attributes:
        values: by name.
        banner: what is there, in words.
    """

    values: dict[str, Any]
    banner: str


def names(rig: Rig) -> AtHand:
    """Everything of a rig that works; the banner says why the rest does not."""
    offered: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("element", "the secure element", lambda: _element(rig)),
        ("certificates", "device, signer and root that it was delivered with", rig.delivered_chain),
        ("board", "calls into the firmware", rig.booted_board),
        ("cloud", "the account: cloud.registrar, cloud.session.iot", lambda: rig.cloud),
    )
    values: dict[str, Any] = {"rig": rig}
    kind = "EMULATED" if rig.emulated is not None else "physical"
    lines = [f"{rig.name} ({kind}) {rig.file.description}", "  rig           the whole bench"]
    for name, words, get in offered:
        if name == "certificates" and rig.file.element.state != "trust":
            continue
        try:
            values[name] = get()
        except HilError as error:
            words = f"not here: {error.message}"
        lines.append(f"  {name:<14}{words}")
    return AtHand(values, "\n".join(lines))


def _element(rig: Rig) -> object:
    rig.need_start()
    return rig.element


def run_code(text: str, values: dict[str, Any]) -> None:
    """Run ``text`` with the names; what it raises is raised."""
    exec(compile(text, "<hil>", "exec"), values)


def interact(at_hand: AtHand, *, interactive: bool) -> None:
    """Ask and answer until the end of the input.

    Args:
        at_hand: names and banner.
        interactive: whether a person sits there; only then IPython is used.
    """
    if interactive and importlib.util.find_spec("IPython") is not None:
        from IPython import start_ipython

        print(at_hand.banner)
        start_ipython(argv=["--no-banner"], user_ns=at_hand.values)
        return
    code.interact(at_hand.banner, local=at_hand.values, exitmsg="")
