"""The guard: decides about permits, arms the filter, keeps the ledger.

What a permit needs is a table (:data:`hil.guard.requirements.REQUIREMENTS`). A permit alone sends
nothing: it is *armed* with the exact packets, the intent is written and synced, the filter lets each
packet pass once, and the result is written. In between the element's ledger is held, so that no
second process, whatever its rig is called, can do anything irreversible to the same element.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.errors import DeviceError, ElementError, GuardRefusal, RpcError
from hil.guard import coverage
from hil.guard.filter import TransactionFilter
from hil.guard.operations import Operation
from hil.guard.permit import Permit, RpcCall, issue
from hil.guard.programs import program_action
from hil.guard.requirements import REQUIREMENTS, Case, Facts, Policy, lock_crc
from hil.guard.roads import USES_KEY, BusWrite, misfit, rpc_actions
from hil.guard.slotrules import UNREAD, SlotRules, classify_on

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from hil.clock import Clock
    from hil.guard.ledger import Intent, Ledger
    from hil.guard.requirements import Witness
    from hil.wire.atecc import Command

__all__ = ["Facts", "Guard", "Policy"]

POWER_OFF = RpcCall("power off")
WRITE_US = 1_700_000
"""How long an element may still be writing after a command whose answer was lost: its watchdog ends
everything after this time (DS508 section 8, tWATCHDOG maximum)."""

_SEEN_IN_CONFIG = frozenset(
    {
        Operation.LOCK_CONFIG,
        Operation.LOCK_DATA,
        Operation.LOCK_SLOT,
        Operation.WRITE_CONFIG,
        Operation.UPDATE_EXTRA,
        Operation.COUNTER,
    }
)
"""Operations whose effect the configuration zone shows; reading it disturbs no exchange of theirs."""


@dataclass
class _Armed:
    """A permit whose packets may pass now."""

    permit: Permit
    intent: Intent
    actions: list[Command | RpcCall]


class Guard:
    """Makes permits, arms them, and stands at the transport.

    Args:
        policy: what rig file, command line and plan allow.
        ledger: irreversible operations of the elements.
        owns_rig: whether this process holds the rig's lock at this moment.
        witness: the guard's own look at the element; without one nothing can be permitted.
        record: called with ``(kind, fields)`` for the run's journal.
        foreign: addresses of other devices on the bus.
        clock: the rig's clock, for the power's sake.
        rig: the rig's name, for the ledger.

    Attributes:
        policy: may be replaced, e.g. when a plan is loaded or the next part is inserted.
        rules: what the element's configuration says about commands that look harmless.
        rig: the rig's name.
    """

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        *,
        owns_rig: Callable[[], bool],
        witness: Witness | None = None,
        record: Callable[[str, Mapping[str, Any]], None] = lambda kind, fields: None,
        foreign: Container[int] = (),
        clock: Clock | None = None,
        rig: str = "",
    ) -> None:
        if policy.address in foreign:
            raise GuardRefusal(f"0x{policy.address:02x} is the element's address and cannot be foreign")
        self.policy = policy
        self.ledger = ledger
        self.owns_rig = owns_rig
        self.witness = witness
        self.rules: SlotRules = UNREAD
        self.filter = TransactionFilter(self._allow_command, foreign)
        self._record = record
        self._clock = clock
        self.rig = rig
        self._armed: list[_Armed] = []
        self._unsettled_since: int | None = None
        self._spoken: list[tuple[str, Permit | None]] = []

    # -- the element -------------------------------------------------------------------------

    @property
    def physical(self) -> bool:
        """Whether the element has to be taken for a physical one."""
        return self.witness is None or self.witness.physical

    def learn(self, config: bytes) -> None:
        """Take note of the element's configuration, read from it just now."""
        self.rules = SlotRules.of(config)

    def forget(self) -> None:
        """The part may be another one: what was learnt of it no longer counts."""
        self.rules = UNREAD

    def _known_rules(self) -> SlotRules:
        """The rules; read now if need be, which only a caller outside of an exchange may ask for."""
        if not self.rules.read:
            self._read_back()
        return self.rules

    # -- permits -----------------------------------------------------------------------------

    def permit(self, operation: Operation, facts: Facts) -> Permit:
        """A permit for ``operation``, if every requirement is met.

        Raises:
            GuardRefusal: lists each unmet requirement with what to do; nothing was sent.
        """
        unmet = self.unmet(operation, facts)
        if unmet:
            raise GuardRefusal(
                f"{operation} on element {facts.serial} refused: {'; '.join(unmet)}",
                hint="; ".join(dict.fromkeys(unmet.values())),
            )
        return issue(
            self,
            operation,
            facts.serial,
            facts.slot,
            config=facts.config,
            lock_crc=lock_crc(operation, facts),
            public_key=facts.public_key,
        )

    def unmet(self, operation: Operation, facts: Facts) -> dict[str, str]:
        """What is missing for a permit: each unmet requirement with what to do about it."""
        case = self._case(operation, facts)
        return {r.unmet(case): r.hint for r in REQUIREMENTS if not r.met(case)}

    def _case(self, operation: Operation, facts: Facts) -> Case:
        seen, why = None, ""
        if self.witness is not None and self.owns_rig():
            try:
                seen = self.witness.serial()
            except DeviceError as error:
                why = f": {error.message}"
        return Case(operation, facts, self.policy, self.ledger, self.owns_rig(), self.physical, seen, why)

    @contextmanager
    def arm(self, permit: Permit, actions: Sequence[Command | RpcCall]) -> Iterator[None]:
        """Let exactly ``actions`` pass, each once; see :meth:`hil.guard.permit.Permit.armed`."""
        if self._armed and permit.operation is not Operation.CUT_POWER:
            raise GuardRefusal(f"{permit!r} while {self._armed[-1].permit!r} is armed")
        for action in actions:
            coverage.check(permit, action, self.rules)
        if not self.owns_rig():
            raise GuardRefusal("the rig's lock was lost", hint="start again; nothing was sent")
        if any(isinstance(a, RpcCall) and a.method.startswith("ATCA.") for a in actions):
            self._check_firmware(permit)
        with self.ledger.hold(permit.serial):
            ours = {armed.intent.number for armed in self._armed if armed.permit.serial == permit.serial}
            if any(entry.intent not in ours for entry in self.ledger.open_intents(permit.serial)):
                raise GuardRefusal(
                    f"an earlier operation on element {permit.serial} has no known result",
                    hint="inspect it: hil ledger resolve RIG; nothing was sent",
                )
            before = None
            if permit.operation is Operation.COUNTER and self.witness is not None:
                before = self.witness.config()  # a counter's value alone does not tell who counted
            intent = self.ledger.intend(
                permit.serial,
                permit.operation,
                permit.slot,
                tuple(map(self._fingerprint, actions)),
                rig=self.rig,
                config=permit.config,
                public_key=permit.public_key,
                before=before,
            )
            self._note(permit, actions, intent.number, "intent")
            armed = _Armed(permit, intent, list(actions))
            self._armed.append(armed)
            refused = None
            ended = False
            try:
                yield
                ended = True
            except (ElementError, RpcError) as error:
                refused = error.message  # it answered: the result is known
                raise
            finally:
                self._armed.remove(armed)
                outcome = _outcome(len(actions), len(armed.actions), ended=ended, refused=refused)
                self._conclude(armed, actions, outcome, quietly=not ended)

    def _check_firmware(self, permit: Permit) -> None:
        """The firmware's own calls act on the element that it is configured for: is it the same one?

        Raises:
            GuardRefusal: it is another one, or nobody can say.
        """
        try:
            found = None if self.witness is None else self.witness.firmware_serial()
        except DeviceError as error:
            raise GuardRefusal(
                f"{permit!r}: which element the firmware talks to cannot be read: {error.message}",
                hint="nothing was sent; start the firmware with the element connected",
            ) from error
        if found != permit.serial:
            raise GuardRefusal(
                f"{permit!r}: the firmware talks to element {found}; nothing was sent",
                hint="compare sys.atca.i2c_addr of the firmware with `address` in the rig file",
            )

    def _conclude(
        self, armed: _Armed, actions: Sequence[Command | RpcCall], outcome: str | None, *, quietly: bool
    ) -> None:
        """Read back and write the result; without a result the intent stays open.

        Args:
            armed: what was armed.
            actions: all of it, before some of it was sent.
            outcome: what is known; None if the answer was lost.
            quietly: another error is on its way and must not be hidden by one of reading back.
        """
        seen = None
        if outcome is not None and armed.permit.operation in _SEEN_IN_CONFIG:
            try:
                seen = self._read_back()
            except DeviceError:
                outcome = None
                if not quietly:
                    raise
            finally:
                if outcome is None:
                    self._note(armed.permit, actions, armed.intent.number, "unknown")
        elif outcome is None:
            self._note(armed.permit, actions, armed.intent.number, "unknown")
        if outcome is not None:
            self.ledger.close(armed.intent, outcome, seen)
            self._unsettled_since = None
            self._note(armed.permit, actions, armed.intent.number, outcome)

    def _read_back(self) -> bytes | None:
        """The configuration after an operation that shows there; it also refreshes the rules."""
        self.forget()
        config = None if self.witness is None else self.witness.config()
        if config is not None:
            self.learn(config)
        return config

    # -- the roads ---------------------------------------------------------------------------

    def check_rpc(self, method: str, params: Mapping[str, Any]) -> None:
        """Look at a firmware call before it is sent; the board's client calls this for every one.

        Raises:
            GuardRefusal: it is, or carries, something irreversible that is not armed.
        """
        for action in rpc_actions(method, params):
            if isinstance(action, BusWrite):
                self.filter.outgoing(action.address, action.data, main_bus=action.main_bus)
            elif action.method not in USES_KEY or action.slot in self._known_rules().limited:
                self._allow_call(action, method, params)
        self._spoken = [(method.lower(), None)]

    def check_call(self, call: RpcCall) -> None:
        """Look at an irreversible console command before it is sent.

        Raises:
            GuardRefusal: it is not armed.
        """
        permit = self._allow_call(call)
        self._spoken = [(call.method, permit)]

    def check_program(self, argv: Sequence[str]) -> None:
        """Look at a command line of esptool or espefuse before it is run.

        Raises:
            GuardRefusal: it burns fuses and is not armed, or it cannot be understood.
        """
        action = program_action(argv)
        if action is not None:
            self._allow_call(action)

    def check_power_off(self) -> int:
        """Look at a power cut before it is made: it must not hit a non-volatile write.

        Returns:
            How many microseconds to wait first, because an element whose answer was lost may
            still be writing.

        Raises:
            GuardRefusal: something irreversible is being sent, and the cut is not armed.
        """
        cut = next((armed for armed in self._armed if POWER_OFF in armed.actions), None)
        if cut is not None:
            cut.actions.remove(POWER_OFF)
            return 0
        if self._armed:
            raise GuardRefusal(
                f"refused to cut the power while {self._armed[-1].permit!r} is armed",
                hint="a torn write may spoil the part; arm a permit for cut-power if that is the purpose",
            )
        since, self._unsettled_since = self._unsettled_since, None
        if since is None or self._clock is None:
            return 0
        return max(0, since + WRITE_US - self._clock.now)

    def take_spoken(self, *names: str) -> Permit | None:
        """Use up the admission of a call that was checked; for the filter of the serial line.

        Raises:
            GuardRefusal: no call of one of these names was checked just before.
        """
        for entry in self._spoken:
            if entry[0] in names:
                self._spoken.remove(entry)
                return entry[1]
        raise GuardRefusal(
            f"refused before a byte was sent: {names[0]!r} written to the console by hand",
            hint="use the board's own methods, which the guard can check",
        )

    def admit_once(self, name: str) -> None:
        """Let one console command of that name pass the filter of the serial line."""
        self._spoken = [(name, None)]

    def _allow_command(self, address: int, command: Command) -> None:
        """Called by the filter with every command."""
        operation = classify_on(command, self.rules)
        if operation is None:
            return
        armed = next((a for a in self._armed if command in a.actions), None)
        if armed is None:
            raise self._refusal(command, operation)
        if address != self.policy.address:
            raise GuardRefusal(
                f"refused to send {self._describe(command)} to 0x{address:02x}: "
                f"the permitted element is at 0x{self.policy.address:02x}"
            )
        self._pass(armed, command)

    def _allow_call(self, call: RpcCall, method: str = "", params: Mapping[str, Any] | None = None) -> Permit:
        armed = next((a for a in self._armed if call in a.actions), None)
        if armed is None:
            raise self._refusal(call, None)
        why = misfit(armed.permit, method, params or {})
        if why is not None:
            raise GuardRefusal(f"refused before a byte was sent: {self._describe(call)}: {why}")
        self._pass(armed, call)
        return armed.permit

    def _pass(self, armed: _Armed, action: Command | RpcCall) -> None:
        armed.actions.remove(action)
        if self._clock is not None:
            self._unsettled_since = self._clock.now

    def _refusal(self, action: Command | RpcCall, operation: Operation | None) -> GuardRefusal:
        if operation is Operation.LIMITED_USE and not self.rules.read:
            return GuardRefusal(
                f"refused before a byte was sent: {self._describe(action)} uses a key, and whether its "
                "uses are counted is not known: needs a permit",
                hint="let the rig read the element's configuration first (`rig.element`)",
            )
        return GuardRefusal(
            f"refused before a byte was sent: {self._describe(action)} needs a permit",
            hint="irreversible operations go through hil.element.irreversible with a Permit",
        )

    # -- words -------------------------------------------------------------------------------

    def _note(self, permit: Permit, actions: Sequence[Command | RpcCall], number: int, phase: str) -> None:
        self._record(
            "irreversible",
            {
                "operation": permit.operation.value,
                "serial": permit.serial,
                "slot": permit.slot,
                "intent": number,
                "phase": phase,
                "actions": [self._describe(a) for a in actions],
            },
        )

    def _describe(self, action: Command | RpcCall) -> str:
        return coverage.describe(action, self.rules)

    def _fingerprint(self, action: Command | RpcCall) -> str:
        """What the ledger keeps of an action: enough to recognise it, nothing secret."""
        text = self._describe(action)
        if isinstance(action, RpcCall) or classify_on(action, self.rules) is not Operation.WRITE_CONFIG:
            return text
        return f"{text} sha256 {hashlib.sha256(action.encode()).hexdigest()[:16]}"


def _outcome(planned: int, unsent: int, *, ended: bool, refused: str | None) -> str | None:
    """What is known about the packets of one armed block; None if an answer was lost."""
    if unsent == planned and planned:
        return "nothing was sent"
    if refused is not None:
        return f"refused by the device: {refused}"
    if not ended:
        return None
    return "done" if not unsent else f"done: {planned - unsent} of {planned} sent"
