"""What a permit needs, as a table; a refusal lists every row that is not met, with what to do.

Emulated elements walk the same path. For them three rows are met from the start: they are
expendable, their serial numbers (a reserved range that only this project emulates) count as named,
and the configuration that their rig file names counts as reviewed. What is emulated is decided by
the ports, never by the rig file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

from hil.guard.lint import lint
from hil.guard.operations import LOCKS, Operation
from hil.wire.atecc import crc16
from hil.wire.serials import is_reserved

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from hil.guard.ledger import Ledger

__all__ = [
    "EXCEPTIONS",
    "REQUIREMENTS",
    "Case",
    "Facts",
    "Policy",
    "Requirement",
    "Witness",
    "config_digest",
    "findings_in_the_way",
    "lock_crc",
]

EXCEPTIONS: Mapping[str, str] = {
    "lock-data-without-crc": "lock the data zone although the content of some slot is not known",
}
"""What a provisioning plan may allow by name. There is none for the configuration zone: it can always
be read, so its checksum can always be computed."""


class Policy(msgspec.Struct, frozen=True):
    """What the rig file, the command line and the plan allow.

    Attributes:
        serial: the element that the rig file names, 18 hex digits.
        expendable: the rig file says that the element may be used up.
        allowed_serials: serial numbers named with ``--allow-irreversible``.
        approved_configs: digests reviewed with ``hil config approve``.
        emulated_configs: digests that count as reviewed for an emulated element.
        accepted_findings: ids of lint findings accepted by name.
        exceptions: names out of :data:`EXCEPTIONS`.
        production: the rig qualifies a product, so a test configuration is an error.
        part: the part the rig file names, e.g. ``atecc608b``.
        address: the 7-bit I2C address that the rig file expects.
    """

    serial: str | None = None
    expendable: bool = False
    allowed_serials: Container[str] = frozenset()
    approved_configs: Container[str] = frozenset()
    emulated_configs: Container[str] = frozenset()
    accepted_findings: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()
    production: bool = False
    part: str = "atecc508a"
    address: int = 0x60


@dataclass(frozen=True)
class Facts:
    """What the operation is about, and the element that the caller believes to have.

    Attributes:
        serial: 18 hex digits, read from the chip, never from the rig file; the guard reads again.
        slot: the slot concerned.
        config: for configuration writes and locks, the 128 bytes that are to be in force.
        data: for the data lock, what its checksum covers: every slot without ECC private key in
            order and in full length, then the OTP zone. None if that is not known.
        public_key: for a key that is written, its public half: what inspection will look for.
    """

    serial: str
    slot: int | None = None
    config: bytes | None = None
    data: bytes | None = field(default=None, repr=False)
    public_key: bytes | None = None


class Witness(Protocol):
    """The guard's own look at the element, over the rig's own bus."""

    @property
    def physical(self) -> bool:
        """False only if every port of the rig is one of this process's own ``emu://`` lines."""
        ...

    def serial(self) -> str:
        """The serial number, 18 hex digits, read now.

        Raises:
            DeviceError: it cannot be read.
        """
        ...

    def config(self) -> bytes | None:
        """The 128 configuration bytes, read now; None if this rig has no way to read them."""
        ...

    def firmware_serial(self) -> str:
        """The serial number of the element that the firmware's own driver talks to, 18 hex digits.

        Its address is a setting of the firmware and need not be that of the rig file.

        Raises:
            DeviceError: the firmware cannot be asked, or found no element.
        """
        ...


class Case(msgspec.Struct, frozen=True):
    """One request for a permit, with everything that decides about it.

    Attributes:
        operation: what is asked for.
        facts: what the caller says.
        policy: what was allowed.
        ledger: what happened before.
        owned: this process holds the rig at this moment.
        physical: whether the element has to be taken for a physical one.
        seen: the serial number that the guard has just read, or None if it cannot.
        why_unseen: why not.
    """

    operation: Operation
    facts: Facts
    policy: Policy
    ledger: Ledger
    owned: bool
    physical: bool
    seen: str | None
    why_unseen: str = ""

    @property
    def emulated_part(self) -> bool:
        """An emulated port *and* a serial number that only emulated parts have."""
        return not self.physical and self.seen is not None and is_reserved(bytes.fromhex(self.seen))


class Requirement(msgspec.Struct, frozen=True):
    """One condition of a permit.

    Attributes:
        name: for the table in ``docs/guard.md``.
        met: whether it holds.
        unmet: what is missing, in words.
        hint: what to do.
        why: which misfortune it keeps away, for ``docs/guard.md``.
    """

    name: str
    met: Callable[[Case], bool]
    unmet: Callable[[Case], str]
    hint: str
    why: str


def config_digest(config: bytes) -> str:
    """Digest of what a configuration decides: 128 bytes without serial, revision and lock bytes."""
    decided = bytearray(config)
    for index in (*range(16), 84, 85, 86, 87):
        decided[index] = 0
    return hashlib.sha256(bytes(decided)).hexdigest()


def lock_crc(operation: Operation, facts: Facts) -> int | None:
    """The checksum that the Lock command has to carry; None where there is none."""
    covered = {Operation.LOCK_CONFIG: facts.config, Operation.LOCK_DATA: facts.data}.get(operation)
    return None if covered is None else int.from_bytes(crc16(covered), "little")


def as_reviewed(operation: Operation, config: bytes) -> bytes:
    """The configuration as it was before it was locked: with what the element itself changes undone.

    Behind the configuration lock the lock bytes, the slots' own locks and the counters move; for
    the data lock and the slot locks they are set back to where they began.
    """
    if operation is Operation.LOCK_CONFIG or len(config) != 128:
        return config
    counters = b"\xff\xff\xff\xff\0\0\0\0" * 2
    return config[:52] + counters + config[68:86] + b"\x55\x55\xff\xff" + config[90:]


def findings_in_the_way(policy: Policy, operation: Operation, facts: Facts) -> list[str]:
    """Lint findings that nobody accepted, as text; only locks care."""
    if operation not in LOCKS or facts.config is None:
        return []
    config = as_reviewed(operation, facts.config)
    findings = lint(config, part=policy.part, address=policy.address, production=policy.production)
    return [f"{f.id}: {f.meaning}" for f in findings if f.blocks and f.id not in policy.accepted_findings]


def _concerns_config(case: Case) -> bool:
    return case.operation in (*LOCKS, Operation.WRITE_CONFIG)


def _approved(case: Case) -> bool:
    if case.operation not in LOCKS:
        return True
    if case.facts.config is None:
        return False
    digest = config_digest(as_reviewed(case.operation, case.facts.config))
    return digest in case.policy.approved_configs or (
        case.emulated_part and digest in case.policy.emulated_configs
    )


def _not_approved(case: Case) -> str:
    if case.facts.config is None:
        return "the configuration was not approved"
    digest = config_digest(as_reviewed(case.operation, case.facts.config))
    return f"the configuration was not approved: digest {digest[:16]}…"


def _checksummed(case: Case) -> bool:
    if case.operation is not Operation.LOCK_DATA or case.facts.data is not None:
        return True
    return "lock-data-without-crc" in case.policy.exceptions


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "rig lock",
        lambda case: case.owned,
        lambda case: "this process does not own the rig",
        "run through the rig, so that its lock is held",
        "two processes on one rig mix their commands; a lock of the kernel falls with its holder, "
        "so that no stale file can fake it",
    ),
    Requirement(
        "serial number read",
        lambda case: case.seen is not None,
        lambda case: f"the element's serial number cannot be read{case.why_unseen}",
        "wire, power and name the element so that it can be read",
        "what a rig file says about the part was written some day by somebody; only the part says "
        "who it is now",
    ),
    Requirement(
        "serial number equal",
        lambda case: case.seen is None or case.seen == case.facts.serial,
        lambda case: f"the element in the rig is {case.seen}, not {case.facts.serial}",
        "somebody exchanged the part, or a serial number was copied",
        "the part was exchanged between the command and the act, or the caller speaks of another one",
    ),
    Requirement(
        "rig file names it",
        lambda case: case.emulated_part or case.facts.serial == case.policy.serial,
        lambda case: f"the rig file names {case.policy.serial or 'no element'}",
        "put the part's serial number under `element:` in its own rig file",
        "a copied rig file names the part of the other bench",
    ),
    Requirement(
        "expendable",
        lambda case: case.emulated_part or case.policy.expendable,
        lambda case: "the rig file does not say that the element is expendable",
        "set `expendable: true` under `element:` only if this part may be used up",
        "most parts are not there to be used up, and the decision belongs to whoever keeps the "
        "bench, not to whoever starts a run",
    ),
    Requirement(
        "serial number named",
        lambda case: case.emulated_part or case.facts.serial in case.policy.allowed_serials,
        lambda case: f"element {case.facts.serial} was not named on the command line",
        "add --allow-irreversible SERIAL with the serial number printed on the part's record",
        "it has to be said for this run, about this part: a flag without a name would hold for "
        "whatever is plugged in",
    ),
    Requirement(
        "ledger outlives the run",
        lambda case: case.ledger.durable or not case.physical,
        lambda case: "this ledger does not outlive the run",
        "keep the ledgers of physical elements in the user's data folder",
        "an intent that is thrown away with the run protects nobody",
    ),
    Requirement(
        "ledger closed",
        lambda case: not case.ledger.open_intents(case.facts.serial),
        lambda case: f"an earlier operation on element {case.facts.serial} has no known result",
        "inspect it: hil ledger resolve RIG",
        "after a crash nobody knows what the part holds; acting on a guess is how it gets lost",
    ),
    Requirement(
        "configuration known",
        lambda case: (
            not _concerns_config(case) or (case.facts.config is not None and len(case.facts.config) == 128)
        ),
        lambda case: f"{case.operation} without the configuration it concerns",
        "pass the 128 bytes that are to be in force",
        "a write or a lock that nobody can compare with an intention cannot be checked, before or after",
    ),
    Requirement(
        "configuration approved",
        _approved,
        _not_approved,
        "review it, then: hil config approve FILE --part PART",
        "a lock is for ever, and somebody has to have read what is locked; the digest binds the "
        "act to what was read, to the byte",
    ),
    Requirement(
        "content known",
        _checksummed,
        lambda case: "the content of the data zone is not known, so the lock would go without a checksum",
        "write every slot without a private key and the OTP zone first, or allow lock-data-without-crc "
        "by name in the plan",
        "the lock carries the checksum of what should be there, so that the element itself "
        "refuses if a write went wrong",
    ),
    Requirement(
        "lint",
        lambda case: not findings_in_the_way(case.policy, case.operation, case.facts),
        lambda case: (
            "the configuration lint found: "
            + "; ".join(findings_in_the_way(case.policy, case.operation, case.facts))
        ),
        "mend the configuration, or accept a finding by its id",
        "what was read and approved may still be wrong in a way that only experience shows",
    ),
)
"""Every condition of a permit, in the order in which a refusal lists them."""
