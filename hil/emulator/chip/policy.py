"""Who may do what: the access policy, as tables.

Three questions, three tables, each row with its source. ``GATES``: is the operation possible at
this stage of locking at all? ``WRITE_CONFIG``: what does the slot's WriteConfig permit? ``USES``:
may this command use this key? DS508 is the data sheet DS20005927A; DSTFLX is DS40002138A.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import msgspec

from hil.emulator.chip import config as words
from hil.emulator.chip.execution import Execution, Refused, refuse
from hil.emulator.chip.nonvolatile import CONFIG, Store, counter_stores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.emulator.chip.memory import Memory
    from hil.emulator.chip.session import TempKey

__all__ = [
    "GATES",
    "USES",
    "WRITE_CONFIG",
    "Gate",
    "Stage",
    "Use",
    "WriteRights",
    "admit",
    "count_use",
    "gate",
    "stage",
    "write_rights",
]


class Stage(IntEnum):
    """Life of a part: the configuration is locked before the data zone."""

    BLANK = 0
    CONFIG_LOCKED = 1
    LOCKED = 2


Answer = Literal["no", "open", "rules"]
"""Refused; allowed whatever the slot's policy says; as the slot's policy says."""


class Gate(msgspec.Struct, frozen=True):
    """What an operation meets at each stage."""

    blank: Answer
    between: Answer
    locked: Answer
    source: str

    def at(self, stage: Stage) -> Answer:
        """The answer at a stage."""
        return (self.blank, self.between, self.locked)[stage]


GATES: Mapping[str, Gate] = {
    "read config": Gate("open", "open", "open", "DS508 9.16"),
    "write config": Gate("rules", "no", "no", "DS508 2.2, 9.21"),
    "read otp": Gate("no", "no", "open", "DS508 2.3, 9.16"),
    "write otp": Gate("no", "open", "rules", "DS508 2.3, 9.21"),
    "read data": Gate("no", "no", "rules", "DS508 2.4, 9.16"),
    "write data": Gate("no", "open", "rules", "DS508 2.4, 9.21"),
    "priv write": Gate("no", "open", "rules", "DS508 9.14"),
    "gen key": Gate("no", "open", "rules", "DS508 9.7"),
    "public digest": Gate("no", "open", "rules", "DS508 9.7"),
    "derive key": Gate("no", "rules", "rules", "DS508 9.4: no exemption before data lock is stated"),
    "sign external": Gate("no", "open", "rules", "DS508 9.18"),
    "sign internal": Gate("no", "no", "rules", "DS508 9.18"),
    "gen dig data": Gate("no", "open", "rules", "DS508 9.6"),
    "validate": Gate("no", "open", "rules", "DS508 9.20"),
    "lock slot": Gate("no", "rules", "rules", "DS508 9.10"),
    "use key": Gate("no", "open", "rules", "silent before config lock: knob keys_before_config_lock"),
}
"""The lock-state matrix; Lock(config) and Lock(data) are their own case in the handler."""


def stage(memory: Memory) -> Stage:
    """The part's stage."""
    if not memory.config_locked:
        return Stage.BLANK
    return Stage.LOCKED if memory.data_locked else Stage.CONFIG_LOCKED


def gate(x: Execution, operation: str) -> bool:
    """Pass the gate of an operation; True if the slot's policy applies behind it.

    Raises:
        Refused: 0F, not at this stage.
    """
    now = stage(x.memory)
    answer = GATES[operation].at(now)
    if answer == "no" and not (operation == "use key" and x.knobs.keys_before_config_lock):
        raise refuse(f"{operation} is not possible while the part is {now.name.lower().replace('_', ' ')}")
    return answer == "rules"


# -- WriteConfig ---------------------------------------------------------------------------------

Write = Literal["always", "unless validated", "never", "encrypted"]


class WriteRights(msgspec.Struct, frozen=True):
    """What one WriteConfig nibble permits (DS508 tables 2-8 to 2-11)."""

    write: Write
    derive: Literal["no", "roll", "create"] = "no"
    derive_mac: bool = False
    gen_key: bool = False
    priv_write: bool = False


WRITE_CONFIG: tuple[WriteRights, ...] = (
    WriteRights("always"),
    WriteRights("unless validated"),
    WriteRights("never", "roll", gen_key=True),
    WriteRights("never", "create", gen_key=True),
    WriteRights("encrypted", priv_write=True),
    WriteRights("encrypted", priv_write=True),
    WriteRights("encrypted", "roll", gen_key=True, priv_write=True),
    WriteRights("encrypted", "create", gen_key=True, priv_write=True),
    WriteRights("never"),
    WriteRights("never"),
    WriteRights("never", "roll", derive_mac=True, gen_key=True),
    WriteRights("never", "create", derive_mac=True, gen_key=True),
    WriteRights("encrypted", priv_write=True),
    WriteRights("encrypted", priv_write=True),
    WriteRights("encrypted", "roll", derive_mac=True, gen_key=True, priv_write=True),
    WriteRights("encrypted", "create", derive_mac=True, gen_key=True, priv_write=True),
)
"""By nibble, 0 to F."""


def write_rights(memory: Memory, slot: int) -> WriteRights:
    """The rights of a slot."""
    return WRITE_CONFIG[memory.slot_config(slot).write_config]


# -- use of keys ---------------------------------------------------------------------------------


class Use(msgspec.Struct, frozen=True):
    """How a command uses a key.

    Attributes:
        kind: what the slot must hold.
        no_mac: a slot with NoMac is refused.
        req_random: the slot's ReqRandom asks for a random TempKey.
        req_auth: the slot's ReqAuth asks for a prior authorisation.
        limited: the slot's use limit counts.
        latch: PersistentDisable (508A: IntrusionDisable) blocks.
    """

    kind: Literal["secret", "private", "public"]
    source: str
    no_mac: bool = False
    req_random: bool = False
    req_auth: bool = True
    limited: bool = True
    latch: bool = True


USES: Mapping[str, Use] = {
    "mac": Use("secret", "DS508 9.11", no_mac=True, req_random=True),
    "hmac": Use("secret", "DS508 9.8", no_mac=True, req_random=True),
    "check mac": Use("secret", "DS508 9.2"),
    "derive parent": Use("secret", "DS508 9.4", req_random=True),
    "derive mac": Use("secret", "DS508 9.4: the parent authorises, the source key is another one"),
    "derive roll": Use("secret", "DS508 9.4", req_random=True, limited=False),
    "gen dig": Use("secret", "DS508 9.6", req_random=True),
    "gen key create": Use("private", "DS508 9.7", limited=False, latch=False),
    "gen key public": Use("private", "DS508 9.7", limited=False, latch=False),
    "gen key digest": Use("private", "DS508 9.7", req_random=True, limited=False, latch=False),
    "public digest": Use("public", "DS508 9.7", req_random=True),
    "sign": Use("private", "DS508 9.18"),
    "verify": Use("public", "DS508 9.20", req_random=True),
    "ecdh": Use("private", "DS508 9.5; ReqAuth: knob req_auth_for_ecdh_and_hmac"),
    "sha hmac": Use("secret", "DS508 9.17; ReqAuth: knob req_auth_for_ecdh_and_hmac", no_mac=True),
    "aes": Use("secret", "DSTFLX 5.3.1"),
    "kdf": Use("secret", "DSTFLX 5.3.4"),
    "secure boot": Use("public", "DSTFLX 5.2.3"),
    "io protection": Use("secret", "DSTFLX 3.1: the key encrypts the bus", req_auth=False, limited=False),
}


def admit(x: Execution, use_name: str, slot: int, *, temp: bool = False) -> TempKey | None:
    """Let a command use a key, or refuse it; counts nothing yet.

    Args:
        x: the command.
        use_name: row of ``USES``.
        slot: the key's slot.
        temp: the command works on TempKey.

    Returns:
        TempKey if ``temp``, else None.

    Raises:
        Refused: 0F.
    """
    use = USES[use_name]
    key = x.memory.key_config(slot)
    rules = x.memory.slot_config(slot)
    _check_kind(use, slot, key, rules)
    if use.no_mac and rules.no_mac:
        raise refuse(f"slot {slot} has NoMac")
    enforced = x.memory.data_locked  # KeyConfig is ignored before data lock (DS508 2.2.5)
    if enforced and use.latch and key.persistent_disable and not x.session.latch:
        raise refuse(f"slot {slot} is disabled while the latch is 0")
    register = x.use_temp_key() if temp else None
    if enforced:
        if use.req_random and key.req_random and (register is None or register.from_input):
            raise refuse(f"slot {slot} asks for a TempKey of the random generator")
        exempt = use_name in ("ecdh", "sha hmac") and not x.knobs.req_auth_for_ecdh_and_hmac
        if use.req_auth and key.req_auth and not exempt:
            authorise(x, key, slot)
    return register


def authorise(x: Execution, key: words.KeyConfig, slot: int) -> None:
    """Check and use up the authorisation that a ReqAuth key asks for (DS508 section 3.2.9).

    Raises:
        Refused: 0F, not authorised by the right key.
    """
    x.auth_used = True
    if x.session.auth_key != key.auth_key:
        raise refuse(f"slot {slot} asks for an authorisation with slot {key.auth_key}")


def count_use(x: Execution, slot: int) -> None:
    """Count one use of a limited key; nothing for other slots (DS508 sections 3.2.5, 3.2.6).

    The count is written before the operation: an abort may burn a use without a result.

    Raises:
        Refused: 0F, none left; nothing is counted.
    """
    memory = x.memory
    if not memory.slot_config(slot).limited:
        return
    if x.is_508 and slot == 15:
        _count_last_key_use(x)
        return
    value = memory.counter(0) + x.counted
    if value >= _limit(x):
        raise refuse(f"slot {slot} has no use left (counter 0 is {value})")
    x.counted += 1
    x.early = counter_stores(0, value + 1)


def _count_last_key_use(x: Execution) -> None:
    """Slot 15 of the 508A: one bit of LastKeyUse a use, from bit 7 of byte 68 on."""
    field = x.memory.config[words.LAST_KEY_USE : words.LAST_KEY_USE + 16]
    for at, byte in enumerate(field):
        if byte:
            left = byte & ~(1 << (byte.bit_length() - 1))
            x.early.append(Store(CONFIG, words.LAST_KEY_USE + at, bytes((left,))))
            x.counted += 1
            return
    raise refuse("slot 15 has no use left")


def _limit(x: Execution) -> int:
    """Where counter 0 stops: its end, or on the 608 the value in the CountMatch slot."""
    count_match = x.memory.config[words.OTP_MODE]
    if x.is_508 or not count_match & 1:
        return words.COUNTER_MAX
    field = x.memory.slot(count_match >> 4)
    value = int.from_bytes(field[:4], "little")
    if field[:4] != field[4:8] or value % 32:
        raise refuse(f"the CountMatch value in slot {count_match >> 4} is not twice the same multiple of 32")
    return min(value, words.COUNTER_MAX)


def _check_kind(use: Use, slot: int, key: words.KeyConfig, rules: words.SlotConfig) -> None:
    if use.kind == "secret":
        if key.private:
            raise refuse(f"slot {slot} is a private ECC key")
    elif use.kind == "private":
        if not (key.private and key.key_type == words.KeyType.P256 and rules.secret):
            raise refuse(f"slot {slot} is no secret P-256 private key")
    elif key.private or key.key_type != words.KeyType.P256 or slot < 8:
        raise refuse(f"slot {slot} is no P-256 public key")


def io_key(x: Execution) -> bytes:
    """The IO protection key of the 608 (DSTFLX section 3.1).

    Raises:
        Refused: 0F, not enabled, or its slot cannot be used.
    """
    options = words.chip_options(x.memory.word(words.CHIP_OPTIONS))
    if not options.io_key_enabled:
        raise refuse("the IO protection key is not enabled")
    admit(x, "io protection", options.io_key)
    return x.memory.secret(options.io_key)


def key_of(x: Execution, slot: int) -> None:
    """Refuse the use of a private slot that never got a complete key.

    Raises:
        Refused: the status of the knob ``empty_private_slot``.
    """
    if x.memory.private_key(slot) is None:
        raise Refused(x.knobs.empty_private_slot, f"slot {slot} holds no complete private key")
