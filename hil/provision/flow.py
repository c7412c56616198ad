"""A plan on a rig: look, rehearse, and only then do."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hil.errors import ConfigError, GuardRefusal
from hil.provision.board import board_steps, left_quiet, quiet
from hil.provision.identity import identity_for
from hil.provision.rehearsal import rehearse
from hil.provision.steps import ELEMENT_STEPS, Bench, carry_out
from hil.rig.policy import named_config, rig_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.element.configzone import ConfigZone
    from hil.provision.identity import Identity
    from hil.provision.plan import Plan
    from hil.provision.rehearsal import Rehearsal
    from hil.provision.steps import Result
    from hil.rig.rig import Rig

__all__ = ["Outcome", "Preview", "configuration_of", "described", "preview", "provision"]


class Outcome(msgspec.Struct, frozen=True):
    """What came of provisioning.

    Attributes:
        serial: the element's serial number.
        results: step by step.
        identity: the keys and the certificate that element and board hold now.
    """

    serial: str
    results: tuple[Result, ...]
    identity: Identity

    @property
    def changed(self) -> bool:
        """Whether anything was done to element or board."""
        return any(result.done for result in self.results)


class Preview(msgspec.Struct, frozen=True):
    """What provisioning would do; nothing was sent.

    Attributes:
        element: the element in words.
        rehearsal: what the twin was sent, packet by packet.
        board: for each step of the board that has something to do, what.
        files: what would be made on this computer.
        refused: what the guard would still ask for, with what to do about it.
    """

    element: str
    rehearsal: Rehearsal
    board: dict[str, str]
    files: tuple[str, ...]
    refused: dict[str, str]

    @property
    def nothing_to_do(self) -> bool:
        """Whether element and board are as the plan wants them."""
        return not (self.rehearsal.missing or self.board or self.files)

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"dry run, nothing is sent to {self.element}"]
        lines += [f"would make {name}" for name in self.files]
        for step, what in self.rehearsal.missing.items():
            lines.append(f"{step}: {what}")
            lines += [f"    {packet}" for packet in self.rehearsal.packets if packet.step == step]
        lines += [f"{step}: {what}" for step, what in self.board.items()]
        if self.nothing_to_do:
            lines.append("everything is as the plan wants it already")
        lines += [f"the guard would refuse: {reason}\n  → {hint}" for reason, hint in self.refused.items()]
        return lines


def configuration_of(rig: Rig, plan: Plan) -> ConfigZone:
    """The element configuration that a plan wants on a rig.

    Raises:
        ConfigError: neither the plan nor the rig file names one, or it cannot be read.
    """
    from hil.element.configfiles import load_config

    if plan.config is None:
        return rig_config(rig.file)
    path = plan.folder / Path(plan.config).expanduser()
    if path.suffix or path.is_file():
        return load_config(path)
    return named_config(plan.config, rig.file.path.parent / "configs")


def preview(rig: Rig, plan: Plan) -> Preview:
    """Look at element and board, and rehearse what is missing on a twin. Changes nothing, anywhere."""
    with _bench(rig, plan, make=False) as bench:
        rehearsal = rehearse(bench)
        found = {step.name: step.missing(bench) for step in board_steps(rig)}
        return Preview(
            element=described(rig),
            rehearsal=rehearsal,
            board={name: what for name, what in found.items() if what is not None},
            files=bench.identity.made,
            refused=_refused(bench, rehearsal),
        )


def provision(rig: Rig, plan: Plan, say: Callable[[Result], None] = lambda result: None) -> Outcome:
    """Bring element and board to what the plan says, verified step by step.

    Running it twice changes nothing the second time; after an interruption it goes on where it stopped.

    Raises:
        ConfigError: the plan cannot be carried out on this element; nothing was sent, no file was made.
        GuardRefusal: a permit would not be given, for whichever step; likewise.
        DeviceError: a step failed.
    """
    with _bench(rig, plan, make=False) as bench:
        rehearsal = rehearse(bench)
        for step in board_steps(rig):
            step.missing(bench)  # the board answers, and every file that it is to get can be read
        refused = _refused(bench, rehearsal)
        if refused:
            raise GuardRefusal(
                f"provisioning element {bench.serial} refused: {'; '.join(refused)}",
                hint="; ".join(dict.fromkeys(refused.values())),
            )
    disturbing = bool(rehearsal.missing) or left_quiet(rig)
    with quiet(rig) if disturbing else nullcontext(), _bench(rig, plan, make=True) as bench:
        results = carry_out(bench, ELEMENT_STEPS, say)
    results += carry_out(bench, board_steps(rig), say)  # needs no permit
    return Outcome(bench.serial, tuple(results), bench.identity)


def _refused(bench: Bench, rehearsal: Rehearsal) -> dict[str, str]:
    """What the guard would ask for before the last step is done, with what to do about it."""
    refused: dict[str, str] = {}
    asked = dict(reversed(rehearsal.asked))  # one of each operation: no condition concerns the slot
    for operation, facts in reversed(asked.items()):
        refused |= bench.guard.unmet(operation, facts)
    return refused


def described(rig: Rig) -> str:
    """The element in the rig in words, read now; says if it is emulated."""
    rig.need_start()
    element = rig.element
    locks = element.lock_state()
    zones = f"configuration {_locked(locks.config)}, data {_locked(locks.data)}"
    kind = ", EMULATED" if rig.emulated is not None else ""
    part = f"{element.identify().upper()} revision {element.info_revision().hex()}"
    return f"element {element.serial_number().hex()} of {rig.name}{kind}: {part}, {zones}"


def _locked(locked: bool) -> str:
    return "locked" if locked else "open"


@contextmanager
def _bench(rig: Rig, plan: Plan, *, make: bool) -> Iterator[Bench]:
    """What the plan is carried out on; its secrets are masked in the record from here on.

    What the plan allows by name is allowed as long as it is carried out, and no longer.
    """
    rig.need_start()
    element = rig.element
    wanted = configuration_of(rig, plan)
    if not wanted.slots[plan.key.slot].holds_private_key:
        raise ConfigError(f"slot {plan.key.slot} holds no P-256 private key by the plan's configuration")
    serial = element.serial_number().hex()
    authority = plan.certificate.authority
    for password in (plan.key.password, None if authority is None else authority.password):
        if password is not None:
            rig.journal.redactor.add(password.value())
    identity = identity_for(plan, serial, now=rig.calendar.time(), make=make)
    bench = Bench(element, rig.guard, plan, wanted, identity)
    for secret in bench.secrets():
        rig.journal.redactor.add(bytes(secret))
    policy = rig.guard.policy
    rig.guard.policy = msgspec.structs.replace(
        policy,
        accepted_findings=policy.accepted_findings | frozenset(plan.accepted_findings),
        exceptions=frozenset(plan.exceptions),
    )
    try:
        yield bench
    finally:
        rig.guard.policy = policy
