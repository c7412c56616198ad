"""Which element sits in the rig, and in which life-cycle state.

An emulated rig has a part changer: parts are new in every session, a guarded preparation brings
them to the state that a test needs, and a test that changes a part for good gets one of its own.
On a physical rig there is one part, and nothing is prepared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from hil import provision
from hil.discretion import SecretBytes
from hil.element.keyfiles import PrivateScalar
from hil.errors import DeviceError
from hil.marks import block
from hil.rig.policy import rig_config

if TYPE_CHECKING:
    from hil.element.device import LockState
    from hil.emulator.chip.memory import Memory
    from hil.rig.rig import Rig

__all__ = ["Identity", "Parts", "life_cycle_state"]


@dataclass(frozen=True)
class Identity:
    """What a preparation put into a part."""

    public_key: bytes
    scalar: bytes = field(repr=False)
    kek: bytes = field(repr=False)


@dataclass
class _Part:
    memory: Memory
    state: str
    identity: Identity | None = None


class Parts:
    """The parts of one rig.

    Args:
        rig: the opened rig.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._kept: dict[str, _Part] = {}
        self._current: _Part | None = None
        if rig.emulated is not None:
            self._current = _Part(rig.emulated.memory, rig.file.element.state)
            self._kept[rig.file.element.state] = self._current

    @property
    def identity(self) -> Identity | None:
        """The keys of the present part, if a preparation put them in."""
        return None if self._current is None else self._current.identity

    def provide(self, state: str | None, *, own: bool) -> None:
        """Have a part in ``state`` in the rig; see :meth:`hil.rig.rig.Rig.element_in`."""
        rig = self._rig
        if rig.emulated is None:
            self._check_physical(state)
            return
        if state is None or state == "trust":
            return
        kept = self._kept.get(state)
        if own or kept is None:
            part = self._fresh(state)
            if not own:
                self._kept[state] = part
        elif kept is not self._current:
            self._insert(kept)

    def next_part(self) -> None:
        """Somebody inserts another part, power off: on an emulated rig a blank one comes."""
        rig = self._rig
        rig.guard.forget()
        if rig.emulated is None:
            rig.power_on()
        else:
            self._insert(_Part(rig.emulated.new_memory(), "blank"))

    def _check_physical(self, state: str | None) -> None:
        if state is None:
            return
        found = life_cycle_state(self._rig.element.lock_state())
        if self._rig.file.element.state == "trust":
            found = "trust"
        if found != state:
            pytest.skip(f"not prepared: the physical element is {found}, the test needs {state}")

    def _fresh(self, state: str) -> _Part:
        emulated = self._rig.emulated
        assert emulated is not None, "the caller asked"
        part = _Part(emulated.new_memory(), "blank")
        self._insert(part)
        try:
            if state in ("config-locked", "provisioned"):
                self._configure(part)
            if state == "provisioned":
                self._provision(part)
        except DeviceError as error:
            block(f"no part could be prepared as {state} ({error.message}); the locks suite says more")
        return part

    def _insert(self, part: _Part) -> None:
        rig = self._rig
        assert rig.emulated is not None, "the caller asked"
        emulated = rig.emulated
        self._current = part
        passing = not emulated.keeps(part.memory)
        if rig.file.power.kind == "none":
            rig.part_changed(passing=passing)
            rig.start_by(lambda: emulated.replug(part.memory))
            return
        rig.power.off()
        emulated.insert(part.memory)
        rig.part_changed(passing=passing)
        rig.power_on()

    def _configure(self, part: _Part) -> None:
        rig = self._rig
        if rig.file.element.config is None:
            pytest.skip(f"{rig.name} names no element configuration: add `config:` to its `element:` section")
        provision.lock_configuration(rig.element, rig.guard, rig_config(rig.file))
        part.state = "config-locked"

    def _provision(self, part: _Part) -> None:
        rig = self._rig
        element = rig.element
        kek = SecretBytes(os.urandom(32))
        scalar = new_scalar()
        provision.lock_data(element, rig.guard, provision.Contents.zeros(element.config))
        public_key = provision.install_key(element, rig.guard, scalar, kek)
        part.state = "provisioned"
        part.identity = Identity(public_key, scalar, kek)
        rig.start_again()  # the firmware looks for the element at its start


def new_scalar() -> PrivateScalar:
    """A new P-256 private key, 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return PrivateScalar(key.private_numbers().private_value.to_bytes(32, "big"))


def life_cycle_state(locks: LockState) -> str:
    """The life-cycle state that the lock bytes show."""
    if locks.data:
        return "provisioned"
    return "config-locked" if locks.config else "blank"
