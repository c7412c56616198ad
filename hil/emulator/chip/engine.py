"""From a command group to its answer: the order of checks, and what a command leaves behind.

The engine knows no bus and no time of its own. Precedence of the status codes: CRC and count
(FF), failed self test (07), form of the packet (03), time left before the watchdog (EE), then the
handler: state and policy (0F), TempKey (0F), authorisation (0F), use limit (0F), generator (08),
result (05, 01, data). Only the first is fixed by the sheets (DS508 section 9.1.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING

from hil.emulator.chip import config as words
from hil.emulator.chip.commands import ALL_FORMS
from hil.emulator.chip.execution import Execution, Refused
from hil.emulator.chip.forms import table
from hil.emulator.chip.profile import CLOCK_DIVIDERS
from hil.errors import ConfigError
from hil.wire.atecc import COUNT_MAX, Opcode, Status, crc16

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from cryptography.hazmat.primitives.asymmetric import ec

    from hil.emulator.chip.crypto import Generator
    from hil.emulator.chip.faults import Faults
    from hil.emulator.chip.forms import Form
    from hil.emulator.chip.memory import Memory
    from hil.emulator.chip.nonvolatile import Store
    from hil.emulator.chip.profile import Draw, Profile
    from hil.emulator.chip.session import Session

__all__ = ["Engine", "Outcome"]

KEEPS_TEMP_KEY_608 = {Opcode.KDF, Opcode.AES}
"""608: commands that never clear TempKey (DS40002138A section 3.1)."""
KEEPS_TEMP_KEY = {Opcode.INFO}
SETS_TEMP_KEY = {Opcode.NONCE, Opcode.GENKEY, Opcode.GENDIG, Opcode.SHA, Opcode.CHECKMAC}
"""508A: commands behind which TempKey may be valid (DS508 section 2.5.1)."""
KEEPS_SHA = {Opcode.SHA}
KEEPS_MESSAGE = {Opcode.NONCE, Opcode.SHA}
"""608: commands behind which MsgDigBuf stays (DS40002138A section 3.2)."""

FORMS = {family: table(ALL_FORMS, family) for family in (508, 608)}


@lru_cache
def _known(family: int, modes: frozenset[int]) -> tuple[Mapping[int, Form], frozenset[int]]:
    """Forms and opcodes of a part that knows ``modes``; parts of one kind share them.

    Raises:
        ConfigError: the profile names what no form implements.
    """
    strange = sorted(modes - FORMS[family].keys())
    if strange:
        named = ", ".join(f"{key >> 8:02X} mode {key & 0xFF:02X}" for key in strange)
        raise ConfigError(f"the commands of a {family} profile have no behaviour here: {named}")
    return {key: FORMS[family][key] for key in modes}, frozenset(key >> 8 for key in modes)


@dataclass(slots=True, repr=False)
class Outcome:
    """What a command comes to.

    Attributes:
        payload: the answer without count and CRC; one byte is a status.
        us: execution time.
        reason: why it was refused, in words.
        early: writes before the operation.
        stores: writes at its end.
        goes_idle: Pause without an answer.
    """

    payload: bytes
    us: int
    reason: str = ""
    early: list[Store] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    goes_idle: bool = False


class Engine:
    """Executes command groups on memory and session.

    Args:
        profile: the part number.
        memory: non-volatile content.
        session: volatile registers.
        generator: random numbers.
        draw: which execution times to take.
        faults: what is wrong with the part.
    """

    def __init__(
        self,
        profile: Profile,
        memory: Memory,
        session: Session,
        generator: Generator,
        draw: Draw | Random,
        faults: Faults,
    ) -> None:
        self.profile = profile
        self.memory = memory
        self.session = session
        self.generator = generator
        self.draw: Draw | Random = draw
        self.faults = faults
        self.divider = 0
        """Column of the execution times; latched when the part leaves sleep."""
        self._forms, self._opcodes = _known(profile.family, profile.modes)
        self._times: dict[str, tuple[int, int]] = {}
        self._faulty_ecc = profile.knobs.ecc_fault_per_million

    def latch_clock(self) -> None:
        """Take over the clock divider of ChipMode (608: active after sleep)."""
        if self.profile.family == 608:
            self.set_divider(CLOCK_DIVIDERS.get(self.memory.config[words.CHIP_MODE] >> 3, 0))

    def set_divider(self, divider: int) -> None:
        """Run at another clock: column 0 to 2 of the execution times."""
        if divider != self.divider:
            self.divider = divider
            self._times.clear()

    def execute(self, group: bytes, left_us: int) -> Outcome:
        """Execute one group.

        Args:
            group: count to CRC, as received.
            left_us: time until the watchdog.
        """
        times = self.profile.times
        count = len(group)
        if count < 7 or count > COUNT_MAX or group[0] != count or crc16(group[:-2]) != group[-2:]:
            return Outcome(bytes((Status.COMMUNICATION,)), times.error_us, "count or CRC is wrong")
        opcode, p1 = group[1], group[2]
        x = Execution(
            (opcode, p1, group[3] | group[4] << 8, group[5:-2]),
            self.profile,
            self.memory,
            self.session,
            self,
        )
        form = self._forms.get(opcode << 8 | p1)
        try:
            if self.faults.any:
                self._check_forced()
            if self.session.self_test_failures:
                self._check_self_test(x)
            checked = self._check_form(x, form)
            times_us = self._times_of(checked)
            if left_us < times_us[1]:
                raise Refused(Status.WATCHDOG, "the watchdog would fire before the end")
            payload = checked.run(x)
        except Refused as refused:
            return self._refused(x, form, refused)
        self._leave(x, payload[0] if len(payload) == 1 else Status.OK)
        us = self._duration(x, checked, times_us)
        return Outcome(payload, us, "", x.early, x.stores, x.goes_idle)

    def _check_forced(self) -> None:
        status = self.faults.status()
        if status is not None:
            raise Refused(status, "a fault asks for this status")

    def _check_self_test(self, x: Execution) -> None:
        if x.opcode != Opcode.SELFTEST and (x.opcode != Opcode.READ or x.p1 & 3):
            raise Refused(Status.SELF_TEST, "a self test failed")

    def _check_form(self, x: Execution, form: Form | None) -> Form:
        if form is None:
            known = x.opcode in self._opcodes
            what = f"mode {x.p1:02X}" if known else f"opcode {x.opcode:02X}"
            raise Refused(Status.PARSE, f"{what} does not exist")
        if x.p2 not in form.p2:
            raise Refused(Status.PARSE, f"{form.name} takes no param2 of {x.p2:04X}")
        if len(x.data) not in form.lengths:
            fitting = [length for length in form.lengths if length <= len(x.data)]
            if not fitting or self.profile.knobs.extra_data == "parse":
                raise Refused(Status.PARSE, f"{form.name} does not take {len(x.data)} bytes")
            x.data = x.data[: max(fitting)]
        if form.parse is not None:
            form.parse(x)
        return form

    def _refused(self, x: Execution, form: Form | None, refused: Refused) -> Outcome:
        self._leave(x, refused.status)
        us = self.profile.times.error_us
        if form is not None:
            times_us = self._times_of(form)
            us = self._duration(x, form, times_us) if refused.late else min(us, times_us[0])
        before_operation = refused.status == Status.EXECUTION and not refused.late
        early = [] if before_operation else x.early
        return Outcome(bytes((refused.status,)), us, refused.reason, early)

    # -- time ------------------------------------------------------------------------------------

    def _times_of(self, form: Form) -> tuple[int, int]:
        """Typical and longest time of a form, microseconds."""
        times = self._times.get(form.name)
        if times is None:
            row = self.profile.time_of(form.name, form.opcode.label)
            times = self._times[form.name] = self.profile.range_of(row, self.divider)
        return times

    def _draw(self, times: tuple[int, int]) -> int:
        if self.draw == "typical":
            return times[0]
        if self.draw == "maximum":
            return times[1]
        # Typical is what most executions take, the longest is rare: a triangle with its mode at its start.
        typical, longest = times
        return round(longest + (typical - longest) * sqrt(1.0 - self.draw.random()))

    def _duration(self, x: Execution, form: Form, times: tuple[int, int]) -> int:
        us = self._draw(times)
        if x.counted:
            us += self._draw(self.profile.range_of(self.profile.times.limited_use, self.divider))
        return self.faults.duration(form.opcode.label, us, times[1]) if self.faults.any else us

    # -- what a command leaves behind ------------------------------------------------------------

    def _leave(self, x: Execution, status: int) -> None:
        if status == Status.COMMUNICATION:
            return  # the group was not understood: no register has changed (DS508 section 2.5.1)
        session = self.session
        if x.auth_used:
            session.auth_key = None
        if x.auth_given is not None:
            session.auth_key = x.auth_given
        if self.profile.family == 508:
            self._leave_508(x, status)
            return
        used = x.temp_used and not x.temp_written and x.opcode not in KEEPS_TEMP_KEY_608
        if used and (status == Status.OK or self.profile.knobs.temp_key_after_error == "cleared"):
            session.temp_key.clear()
        if x.opcode not in KEEPS_MESSAGE and self.profile.knobs.msg_dig_buf_lifetime == "next command":
            session.msg_dig_buf = None

    def _leave_508(self, x: Execution, status: int) -> None:
        """DS508 section 2.5.1: all but a few commands end TempKey, whatever their status."""
        session = self.session
        if status == Status.ECC_FAULT:
            return
        if x.opcode not in KEEPS_SHA or status != Status.OK:
            session.sha = None
        if x.opcode in KEEPS_TEMP_KEY:
            return
        kept = x.temp_written or x.opcode in (Opcode.NONCE, Opcode.GENDIG, Opcode.GENKEY)
        if x.opcode not in SETS_TEMP_KEY or status != Status.OK or not kept:
            session.temp_key.clear()

    # -- services for the handlers ---------------------------------------------------------------

    def random_block(self) -> bytes:
        """32 random bytes.

        Raises:
            Refused: 08, the generator failed its health test.
        """
        if self.faults.unhealthy():
            raise Refused(Status.HEALTH_TEST, "the random generator failed its health test")
        return self.faults.random(self.generator.block())

    def sign(self, key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
        """ECDSA, 64 bytes."""
        from hil.emulator.chip import ecc

        broken = self.faults.signature(key, digest) if self.faults.any else None
        return broken or ecc.sign(key, digest)

    def ecc_fault(self) -> bool:
        """Whether this ECC operation fails by chance."""
        if not self._faulty_ecc:
            return False
        return int.from_bytes(self.generator.block()[:4], "big") % 1_000_000 < self._faulty_ecc

    def self_test(self, mask: int) -> int:
        """Bits of the self tests in ``mask`` that fail."""
        return self.faults.self_test(mask)

    def readable_anyway(self, slot: int) -> bool:
        """Whether a fault lets a slot be read."""
        return self.faults.readable(slot)
