"""The steps of a plan, as data: what is missing, how it is done. Each is judged by reading back.

A step that finds everything as wanted does nothing. A step that was interrupted finds what is
missing and does that. After it was done it is asked again, and must find nothing missing.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from hil.element import digests, irreversible
from hil.element.configwords import diff
from hil.element.configzone import ConfigZone
from hil.element.zones import BLOCK
from hil.errors import ConfigError, DeviceError, ElementError
from hil.guard.guard import Facts
from hil.guard.operations import Operation
from hil.guard.requirements import as_reviewed
from hil.provision import zones
from hil.provision.plan import read_bytes
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.element.device import Element
    from hil.guard.guard import Guard
    from hil.provision.identity import Identity
    from hil.provision.plan import Plan

__all__ = ["ELEMENT_STEPS", "Bench", "Result", "Step", "carry_out"]

SHOWN = 4
"""Differences that an error lists."""
SHORTEST = 8
"""A shorter block is no secret by itself; to blot it out everywhere would spoil the record."""


class Bench:
    """What the element's part of a plan is carried out on.

    Args:
        element: the element.
        guard: what stands before it.
        plan: what it shall hold.
        wanted: its configuration.
        identity: its keys.
    """

    def __init__(
        self, element: Element, guard: Guard, plan: Plan, wanted: ConfigZone, identity: Identity
    ) -> None:
        self.element = element
        self.guard = guard
        self.plan = plan
        self.wanted = wanted
        self.identity = identity

    @property
    def serial(self) -> str:
        """The element's serial number, read now, 18 hex digits."""
        return self.element.serial_number().hex()

    def contents(self) -> zones.Contents:
        """What the data zone shall hold when it is locked."""
        given = {
            content.slot: read_bytes(self.plan.path(content.file, self.serial), "the slot's content")
            for content in self.plan.data
        }
        return zones.Contents.zeros(self.wanted, given)

    def secret_slots(self) -> frozenset[int]:
        """Slots that the plan fills and that nobody may read in clear."""
        rules = {content.slot: self.wanted.slots[content.slot].config for content in self.plan.data}
        return frozenset(slot for slot, rule in rules.items() if rule.is_secret or rule.encrypt_read)

    def secrets(self) -> list[bytes]:
        """Every byte string that must not get into a record."""
        slots = self.contents().slots
        contents = [slots[slot].rstrip(b"\0") for slot in sorted(self.secret_slots())]
        blocks = [content[at : at + BLOCK] for content in contents for at in range(0, len(content), BLOCK)]
        return [
            self.identity.scalar,
            self.identity.kek,
            *contents,
            *(b for b in blocks if len(b) >= SHORTEST),
        ]


class Step(msgspec.Struct, frozen=True):
    """One step.

    Attributes:
        name: for people.
        missing: what is not as it shall be, in words; None if nothing is. It only reads. Of a step
            that only looks: what was seen.
        act: does it; None if the step only looks.
    """

    name: str
    missing: Callable[[Bench], str | None]
    act: Callable[[Bench], None] | None


class Result(msgspec.Struct, frozen=True):
    """What came of a step.

    Attributes:
        step: its name.
        done: False if everything was as wanted already.
        detail: what was missing, or what a step that only looks has seen.
    """

    step: str
    done: bool
    detail: str = ""

    def __str__(self) -> str:
        if self.done:
            return f"{self.step}: done ({self.detail})"
        return f"{self.step}: {self.detail or 'as wanted already'}"


def carry_out(
    bench: Bench,
    steps: Sequence[Step],
    say: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Do what is missing, step by step, and verify each.

    Raises:
        ConfigError: the element is in a state from which the plan cannot be reached.
        GuardRefusal: a permit is not given.
        DeviceError: a step failed, or is not so although it was done.
    """
    results = []
    for step in steps:
        missing = step.missing(bench)
        if missing is not None and step.act is not None:
            step.act(bench)
            left = step.missing(bench)
            if left is not None:
                raise DeviceError(
                    f"{step.name}: it was done and is not so: {left}", hint="the part or the bus is faulty"
                )
        result = Result(step.name, missing is not None and step.act is not None, missing or "")
        say(result)
        results.append(result)
    return results


# -- configuration ------------------------------------------------------------------------------


def _configuration_missing(bench: Bench) -> str | None:
    present = bench.element.config
    if not present.config_locked:
        differing = diff(bench.wanted.onto(present), present)
        return None if not differing else f"{len(differing)} fields differ"
    differing = diff(*(_settled(zone) for zone in (bench.wanted.onto(present), present)))
    if differing:
        shown = "; ".join(str(difference) for difference in differing[:SHOWN])
        raise ConfigError(
            f"element {present.serial.hex()} is locked with another configuration than the plan's: {shown}",
            hint="no command can unlock it; use another part or another plan",
        )
    return None


def _settled(zone: ConfigZone) -> ConfigZone:
    """Without what the element itself changes behind the lock."""
    return ConfigZone.from_bytes(as_reviewed(Operation.LOCK_DATA, zone.to_bytes()))


def _write_configuration(bench: Bench) -> None:
    config = bench.wanted.onto(bench.element.config).to_bytes()
    facts = Facts(bench.serial, config=config)
    permits = [bench.guard.permit(o, facts) for o in (Operation.LOCK_CONFIG, Operation.WRITE_CONFIG)]
    irreversible.write_config(bench.element, bench.wanted, permits[1])  # only what may be locked too


def _configuration_lock_missing(bench: Bench) -> str | None:
    present = bench.element.config
    return None if present.config_locked else f"CRC 0x{bench.wanted.onto(present).crc:04X}"


def _lock_configuration(bench: Bench) -> None:
    config = bench.wanted.onto(bench.element.config).to_bytes()
    permit = bench.guard.permit(Operation.LOCK_CONFIG, Facts(bench.serial, config=config))
    irreversible.lock_config(bench.element, bench.wanted, permit)


# -- data zone ----------------------------------------------------------------------------------


def _unchecked(bench: Bench) -> bool:
    return "lock-data-without-crc" in bench.plan.exceptions


def _data_missing(bench: Bench) -> str | None:
    if bench.element.lock_state().data:
        _check_contents(bench)
        return None
    if _unchecked(bench):
        return "as it is, without a checksum, which the plan allows by name"
    return f"CRC 0x{bench.contents().crc(bench.wanted):04X}"


def _check_contents(bench: Bench) -> None:
    """What the plan puts into readable slots has to be there; locked slots cannot be mended."""
    config = bench.element.config
    for content in bench.plan.data:
        rules = config.slots[content.slot].config
        if rules.is_secret or rules.encrypt_read:
            continue
        if bench.element.read_slot(content.slot) != bench.contents().slots[content.slot]:
            raise ConfigError(
                f"slot {content.slot} holds something other than {content.file}, and the data zone is locked",
                hint="write it by hand if its configuration allows, or leave it out of the plan",
            )


def _lock_data(bench: Bench) -> None:
    if _unchecked(bench):
        zones.lock_data_unchecked(bench.element, bench.guard)
    else:
        zones.lock_data(bench.element, bench.guard, bench.contents())


# -- keys -----------------------------------------------------------------------------------------


def _kek_missing(bench: Bench) -> str | None:
    slot = bench.plan.kek.slot
    there = _holds_key(bench, slot)
    if there is None:  # its use is not allowed for a MAC: only the write of the private key can tell
        return None if _key_missing(bench) is None else f"slot {slot}, which cannot be asked"
    return None if there else f"slot {slot}"


def _holds_key(bench: Bench, slot: int) -> bool | None:
    """Whether a slot holds the key-encryption key, by a MAC over a challenge; None: it cannot tell."""
    rules = bench.element.config.slots[slot]
    if rules.config.no_mac or rules.config.limited_use or rules.key.private or rules.key.req_random:
        return None
    challenge = os.urandom(32)
    serial = bench.element.serial_number()
    expected = digests.mac_response(bench.identity.kek, challenge, digests.MacParts(0x00, slot, serial))
    return bench.element.mac(slot, challenge) == expected


def _write_kek(bench: Bench) -> None:
    zones.write_kek(bench.element, bench.guard, bench.identity.kek, bench.plan.kek.slot)


def _key_missing(bench: Bench) -> str | None:
    slot = bench.plan.key.slot
    found = _key_in(bench, slot)
    if found == bench.identity.public_key:
        return None
    if found is not None and not bench.plan.key.replace:
        raise ConfigError(
            f"slot {slot} of element {bench.serial} holds another key than the plan's; writing destroys it",
            hint="give the plan that key's file, or set `replace: true` under `key:` in the plan",
        )
    return f"slot {slot}, encrypted under slot {bench.plan.kek.slot}"


def _key_in(bench: Bench, slot: int) -> bytes | None:
    """Public key of a slot; None if it holds none, or does not tell and does not sign with ours."""
    if not bench.element.config.slots[slot].key.pub_info:
        return bench.identity.public_key if _signs(bench) else None
    try:
        return bench.element.public_key(slot)
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return None


def _write_key(bench: Bench) -> None:
    zones.write_key(
        bench.element, bench.guard, bench.identity.scalar, bench.identity.kek, bench.plan.key.slot
    )


def _signs(bench: Bench) -> bool:
    """Whether the slot signs with the plan's key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    from hil.tls.software import der_signature, load_point

    message = os.urandom(32)
    try:
        signature = bench.element.sign_digest(bench.plan.key.slot, hashlib.sha256(message).digest())
    except ElementError as error:
        if error.status != Status.EXECUTION:
            raise
        return False
    try:
        load_point(bench.identity.public_key).verify(der_signature(signature), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _signature(bench: Bench) -> str:
    """The element signs with the plan's key, or something is wrong."""
    slot = bench.plan.key.slot
    if not bench.element.config.slots[slot].config.external_sign:
        return f"slot {slot} may not sign what comes from outside, by its configuration; not tried"
    if _signs(bench):
        return "verified"
    raise DeviceError(
        f"what slot {slot} signs does not verify under the plan's key",
        hint="the key was changed on its way, or the element is faulty",
    )


ELEMENT_STEPS: tuple[Step, ...] = (
    Step("write the configuration", _configuration_missing, _write_configuration),
    Step("lock the configuration", _configuration_lock_missing, _lock_configuration),
    Step("write and lock the data zone", _data_missing, _lock_data),
    Step("key-encryption key", _kek_missing, _write_kek),
    Step("private key", _key_missing, _write_key),
    Step("signature by the element", _signature, None),
)
"""The element's part of a plan, in order."""
