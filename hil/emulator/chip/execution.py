"""One command on its way through the chip: what a handler sees and may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hil.emulator.chip.nonvolatile import Store
from hil.wire.atecc import Status

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.emulator.chip.knobs import Knobs
    from hil.emulator.chip.memory import Memory
    from hil.emulator.chip.profile import Profile
    from hil.emulator.chip.session import Session, TempKey

__all__ = ["OK", "Execution", "Refused", "Services", "refuse"]

OK = bytes((Status.OK,))

UNLOCKED_RANDOM = bytes.fromhex("FFFF0000") * 8
"""What the generator gives before the configuration is locked (DS508 section 8.6.3)."""


class Refused(Exception):
    """The command ends with a status code.

    Args:
        status: the code.
        reason: in words, for the log; the wire carries the code alone.
        late: found out by computing, so that the full execution time passes.
    """

    def __init__(self, status: int, reason: str, *, late: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.late = late


class Services(Protocol):
    """What the engine offers to handlers beyond the registers."""

    def random_block(self) -> bytes:
        """32 random bytes; raises ``Refused(08)`` if the health test fails."""
        ...

    def sign(self, key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
        """ECDSA, 64 bytes."""
        ...

    def ecc_fault(self) -> bool:
        """Whether this ECC operation answers 05 by chance or by order."""
        ...

    def self_test(self, mask: int) -> int:
        """Bits of the tests in ``mask`` that fail."""
        ...

    def readable_anyway(self, slot: int) -> bool:
        """Whether a fault lets a private slot be read."""
        ...


class Execution:
    """A command group with the registers it works on.

    Attributes:
        opcode, p1, p2, data: the command as sent.
        stores: what to write at the end.
        early: what to write before the operation (limited use).
        counted: a limited use was counted.
        goes_idle: Pause was not meant for this chip.
    """

    __slots__ = (
        "auth_given",
        "auth_used",
        "counted",
        "data",
        "early",
        "goes_idle",
        "knobs",
        "memory",
        "opcode",
        "p1",
        "p2",
        "profile",
        "services",
        "session",
        "stores",
        "temp_used",
        "temp_written",
    )

    def __init__(
        self,
        group: tuple[int, int, int, bytes],
        profile: Profile,
        memory: Memory,
        session: Session,
        services: Services,
    ) -> None:
        self.opcode, self.p1, self.p2, self.data = group
        self.profile = profile
        self.knobs: Knobs = profile.knobs
        self.memory = memory
        self.session = session
        self.services = services
        self.stores: list[Store] = []
        self.early: list[Store] = []
        self.counted = 0
        self.auth_used = False
        self.auth_given: int | None = None
        self.temp_used = False
        self.temp_written = False
        self.goes_idle = False

    # -- what the command says -------------------------------------------------------------------

    @property
    def is_508(self) -> bool:
        """Whether the part is an ATECC508A."""
        return self.profile.family == 508

    @property
    def slot(self) -> int:
        """The slot that param2 names: its low four bits."""
        return self.p2 & 0x0F

    @property
    def p2_bytes(self) -> bytes:
        """Param2 as sent."""
        return self.p2.to_bytes(2, "little")

    @property
    def sn8(self) -> bytes:
        """SN[8], one byte."""
        return bytes(self.memory.config[12:13])

    @property
    def sn01(self) -> bytes:
        """SN[0:1], two bytes."""
        return bytes(self.memory.config[0:2])

    @property
    def tag(self) -> bytes:
        """``opcode, param1, param2, SN[8], SN[0:1]``: part of most digests, 7 bytes."""
        return bytes((self.opcode, self.p1)) + self.p2_bytes + self.sn8 + self.sn01

    # -- TempKey ---------------------------------------------------------------------------------

    def use_temp_key(self, *, private: bool = False) -> TempKey:
        """TempKey for reading; a 608 clears it afterwards unless the command loads it again.

        Args:
            private: the command wants the ephemeral private key of GenKey, which no other may touch.

        Raises:
            Refused: 0F, not valid, or not of that kind.
        """
        temp = self.session.temp_key
        self.temp_used = True
        if not temp.valid:
            raise Refused(Status.EXECUTION, "TempKey is not valid")
        if temp.secret != private:
            kind = "no ephemeral private key" if private else "a private key, for ECDH alone"
            raise Refused(Status.EXECUTION, f"TempKey holds {kind}")
        return temp

    def load_temp_key(self, value: bytes, *, from_input: bool) -> TempKey:
        """Load TempKey; all flags but Valid and Source become 0."""
        temp = self.session.temp_key
        temp.load(value, from_input=from_input)
        self.temp_written = True
        return temp

    def load_secret(self, value: bytes) -> TempKey:
        """Load TempKey with the result of ECDH, KDF or GenKey (see the knob ``secret_source``)."""
        return self.load_temp_key(value, from_input=self.knobs.secret_source == "input")

    # -- effects ---------------------------------------------------------------------------------

    def store(self, zone: int, offset: int, data: bytes, *, private: bool = False) -> None:
        """Note a write that takes effect when the command ends."""
        self.stores.append(Store(zone, offset, data, private))

    def random(self, *, update_seed: bool) -> bytes:
        """32 bytes of the generator; constant before the configuration is locked.

        Raises:
            Refused: 08, the generator failed its health test.
        """
        if not self.memory.config_locked:
            return UNLOCKED_RANDOM
        if update_seed:
            self.session.sram_seed = self.session.eeprom_seed = True
        return self.services.random_block()


def refuse(reason: str) -> Refused:
    """An execution error: not possible in the present state."""
    return Refused(Status.EXECUTION, reason)
