"""The guard: decides about permits, arms the filter, keeps the ledger.

What a permit needs is a table (:data:`REQUIREMENTS`); a refusal lists every requirement that is
not met, with what to do. Emulated elements walk the same path: their rig declares them
expendable and names their serial number.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.errors import ElementError, GuardRefusal, RpcError
from hil.guard.filter import TransactionFilter
from hil.guard.lint import lint
from hil.guard.operations import Operation, classify, slot_of
from hil.guard.permit import Permit, RpcCall, issue
from hil.guard.roads import rpc_actions

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from hil.guard.ledger import Ledger
    from hil.wire.atecc import Command

__all__ = ["Facts", "Guard", "Policy", "Requirement", "config_digest"]

LOCKS = (Operation.LOCK_CONFIG, Operation.LOCK_DATA)


@dataclass(frozen=True)
class Policy:
    """What the rig file and the command line allow.

    Attributes:
        expendable: the rig file says that the element may be used up.
        allowed_serials: serial numbers named with ``--allow-irreversible``.
        approved_configs: digests reviewed with ``hil config approve``.
        accepted_findings: ids of lint findings accepted by name.
        production: the rig qualifies a product, so a test configuration is an error.
        part: the part the rig file names, e.g. ``atecc608b``.
        address: the 7-bit I2C address that the rig file expects.
    """

    expendable: bool = False
    allowed_serials: Container[str] = frozenset()
    approved_configs: Container[str] = frozenset()
    accepted_findings: frozenset[str] = frozenset()
    production: bool = False
    part: str = "atecc508a"
    address: int = 0x60


@dataclass(frozen=True)
class Facts:
    """What was just read from the element, and what the operation is about.

    Attributes:
        serial: 18 hex digits, read from the chip, never from the rig file.
        slot: the slot concerned.
        config: for locks and configuration writes, the 128 bytes that will be in force.
    """

    serial: str
    slot: int | None = None
    config: bytes | None = None


@dataclass(frozen=True)
class Requirement:
    """One condition of a permit."""

    name: str
    met: Callable[[Guard, Operation, Facts], bool]
    unmet: Callable[[Guard, Operation, Facts], str]
    hint: str


def config_digest(config: bytes) -> str:
    """Digest of what a configuration decides: 128 bytes without serial, revision and lock bytes."""
    decided = bytearray(config)
    for index in (*range(16), 84, 85, 86, 87):
        decided[index] = 0
    return hashlib.sha256(bytes(decided)).hexdigest()


class Guard:
    """Makes permits, arms them one at a time, and stands at the transport.

    Args:
        policy: what rig file and command line allow.
        ledger: irreversible operations of the elements.
        owns_rig: whether this process holds the rig's lock at this moment.
        record: called with ``(kind, fields)`` for the run's journal.
        foreign: addresses of other devices on the bus.
    """

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        *,
        owns_rig: Callable[[], bool],
        record: Callable[[str, Mapping[str, Any]], None] = lambda kind, fields: None,
        foreign: Container[int] = (),
    ) -> None:
        self.policy = policy
        self.ledger = ledger
        self.owns_rig = owns_rig
        self.filter = TransactionFilter(self._allow, foreign)
        self._record = record
        self._armed: list[Command | RpcCall] = []
        self._permit: Permit | None = None

    def permit(self, operation: Operation, facts: Facts) -> Permit:
        """A permit for ``operation``, if every requirement is met.

        Raises:
            GuardRefusal: lists each unmet requirement with what to do; nothing was sent.
        """
        unmet = [r for r in REQUIREMENTS if not r.met(self, operation, facts)]
        if unmet:
            reasons = "; ".join(r.unmet(self, operation, facts) for r in unmet)
            raise GuardRefusal(
                f"{operation} on element {facts.serial} refused: {reasons}",
                hint="; ".join(r.hint for r in unmet),
            )
        return issue(self, operation, facts.serial, facts.slot)

    def unaccepted(self, operation: Operation, facts: Facts) -> list[str]:
        """Lint findings that stand in the way of a lock, as text."""
        if operation not in LOCKS or facts.config is None:
            return []
        config = facts.config
        if operation is Operation.LOCK_DATA:  # by then the configuration zone is locked, rightly
            config = config[:87] + b"\x55" + config[88:]
        findings = lint(
            config,
            part=self.policy.part,
            address=self.policy.address,
            production=self.policy.production,
        )
        return [
            f"{f.id}: {f.meaning}" for f in findings if f.blocks and f.id not in self.policy.accepted_findings
        ]

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        """Let exactly ``actions`` pass, each once; see :meth:`hil.guard.permit.Permit.armed`."""
        if self._permit is not None:
            raise GuardRefusal(f"{permit!r} while {self._permit!r} is armed")
        for action in actions:
            _check_covered(permit, action)
        if not self.owns_rig():
            raise GuardRefusal("the rig's lock was lost", hint="start again; nothing was sent")
        intent = self.ledger.intend(
            permit.serial, permit.operation, permit.slot, tuple(map(_fingerprint, actions))
        )
        self._note(permit, actions, intent.number, "intent")
        self._permit, self._armed = permit, list(actions)
        outcome = None
        try:
            yield
            outcome = "done"
        except (ElementError, RpcError) as error:
            outcome = f"refused by the device: {error.message}"  # it answered: the result is known
            raise
        finally:
            self._permit, self._armed = None, []
            if outcome is not None:
                self.ledger.close(intent, outcome)
            self._note(permit, actions, intent.number, outcome or "unknown")

    def check_rpc(self, method: str, params: Mapping[str, Any]) -> None:
        """Look at a firmware call before it is sent; the board's client calls this for every one.

        Raises:
            GuardRefusal: it is, or carries, something irreversible that is not armed.
        """
        for action in rpc_actions(method, params):
            if isinstance(action, RpcCall):
                self._allow(action)
            else:
                self.filter.outgoing(*action)

    def check_call(self, call: RpcCall) -> None:
        """Look at an irreversible console command before it is sent.

        Raises:
            GuardRefusal: it is not armed.
        """
        self._allow(call)

    def _allow(self, action: Command | RpcCall) -> None:
        if action not in self._armed:
            raise GuardRefusal(
                f"refused before a byte was sent: {_describe(action)} needs a permit",
                hint="irreversible operations go through hil.element.irreversible with a Permit",
            )
        self._armed.remove(action)

    def _note(self, permit: Permit, actions: Sequence[Command | RpcCall], number: int, phase: str) -> None:
        self._record(
            "irreversible",
            {
                "operation": permit.operation.value,
                "serial": permit.serial,
                "slot": permit.slot,
                "intent": number,
                "phase": phase,
                "actions": [_describe(a) for a in actions],
            },
        )


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "rig lock",
        lambda guard, op, facts: guard.owns_rig(),
        lambda guard, op, facts: "this process does not own the rig",
        "run through the rig, so that its lock is held",
    ),
    Requirement(
        "expendable",
        lambda guard, op, facts: guard.policy.expendable,
        lambda guard, op, facts: "the rig file does not say that the element is expendable",
        "set `expendable: true` under `element:` only if this part may be used up",
    ),
    Requirement(
        "serial named",
        lambda guard, op, facts: facts.serial in guard.policy.allowed_serials,
        lambda guard, op, facts: f"element {facts.serial} was not named on the command line",
        "add --allow-irreversible SERIAL with the serial number printed on the part's record",
    ),
    Requirement(
        "ledger closed",
        lambda guard, op, facts: not guard.ledger.open_intents(facts.serial),
        lambda guard, op, facts: f"an earlier operation on element {facts.serial} has no known result",
        "inspect it: hil ledger resolve SERIAL",
    ),
    Requirement(
        "configuration known",
        lambda guard, op, facts: op not in (*LOCKS, Operation.WRITE_CONFIG) or facts.config is not None,
        lambda guard, op, facts: f"{op} without the configuration it concerns",
        "pass the 128 bytes that are to be in force",
    ),
    Requirement(
        "configuration approved",
        lambda guard, op, facts: (
            op not in LOCKS
            or (facts.config is not None and config_digest(facts.config) in guard.policy.approved_configs)
        ),
        lambda guard, op, facts: (
            "the configuration was not approved"
            + ("" if facts.config is None else f": digest {config_digest(facts.config)[:16]}…")
        ),
        "review it, then: hil config approve FILE",
    ),
    Requirement(
        "lint",
        lambda guard, op, facts: not guard.unaccepted(op, facts),
        lambda guard, op, facts: "the configuration lint found: " + "; ".join(guard.unaccepted(op, facts)),
        "mend the configuration, or accept a finding by its id",
    ),
)
"""Every condition of a permit, in the order in which a refusal lists them."""


def _check_covered(permit: Permit, action: Command | RpcCall) -> None:
    if isinstance(action, RpcCall):
        covered = permit.operation is Operation.FIRMWARE_DEFINED or action.slot == permit.slot
    else:
        covered = classify(action) is permit.operation and (
            permit.slot is None or slot_of(action) == permit.slot
        )
    if not covered:
        raise GuardRefusal(f"{permit!r} does not cover {_describe(action)}")


def _describe(action: Command | RpcCall) -> str:
    """The action in words; data bytes are left out, they may be keys."""
    if isinstance(action, RpcCall):
        return action.method if action.slot is None else f"{action.method} slot {action.slot}"
    operation = classify(action)
    name = f"{action.label} mode {action.p1:02X} param2 {action.p2:04X}"
    return f"{name} ({operation})" if operation else name


def _fingerprint(action: Command | RpcCall) -> str:
    """What the ledger keeps of an action: enough to recognise it, nothing secret."""
    if isinstance(action, RpcCall):
        return _describe(action)
    return f"{_describe(action)} sha256 {hashlib.sha256(action.encode()).hexdigest()[:16]}"
