"""Info, Random, Nonce, Counter, UpdateExtra, Pause."""

from __future__ import annotations

from hil.emulator.chip import config as words
from hil.emulator.chip.crypto import sha
from hil.emulator.chip.execution import OK, Execution, Refused, refuse
from hil.emulator.chip.forms import ANY, NONE, SLOT, ZERO, Form, lengths, modes
from hil.emulator.chip.nonvolatile import CONFIG, counter_stores
from hil.emulator.chip.policy import count_use
from hil.wire.atecc import Opcode

__all__ = ["FORMS"]


# -- Info ----------------------------------------------------------------------------------------


def info_revision(x: Execution) -> bytes:
    """Four bytes that identify the silicon."""
    return x.profile.revision_bytes


def info_key_valid(x: Execution) -> bytes:
    """Whether a slot holds a complete private key, or a validated public one."""
    slot = x.slot
    key = x.memory.key_config(slot)
    if key.private:
        valid = x.memory.key_valid[slot]
    else:
        valid = slot >= 8 and key.pub_info and x.memory.validity(slot) == 5
    return bytes((valid, 0, 0, 0))


def info_state(x: Execution) -> bytes:
    """Flags of TempKey, authorisation, generator seeds."""
    session = x.session
    second = session.temp_key.valid << 7 | (session.auth_key or 0) << 3
    second |= (session.auth_key is not None) << 2
    if x.is_508:
        second |= session.sram_seed << 1 | session.eeprom_seed
    return bytes((session.temp_key.flags, second, 0, 0))


def info_gpio(x: Execution) -> bytes:
    """The GPIO pin, which a part with an I2C bus does not have."""
    raise Refused(x.knobs.gpio_on_i2c, "an I2C part has no GPIO")


def info_latch(x: Execution) -> bytes:
    """The persistent latch: param2 bit 1 sets it to bit 0, which asks for an authorisation."""
    session = x.session
    if x.p2 & 2:
        permission = x.memory.config[words.VOLATILE_KEY]
        if not permission & 0x80:
            raise refuse("VolatileKeyPermission is not enabled")
        if session.auth_key != permission & 0x0F:
            raise refuse(f"the latch asks for an authorisation with slot {permission & 0x0F}")
        x.auth_used = True
        session.latch = bool(x.p2 & 1)
    return bytes((session.latch, 0, 0, 0))


# -- Random and Nonce ----------------------------------------------------------------------------


def random(x: Execution) -> bytes:
    """32 bytes of the generator."""
    return x.random(update_seed=x.p1 == 0)


def nonce_random(x: Execution) -> bytes:
    """TempKey = digest of a random number and the host's, or of TempKey and the host's."""
    tail = x.data + bytes((x.opcode, x.p1, x.p2 & 0xFF))
    if x.p2 == 0x8000:
        temp = x.use_temp_key()
        temp.value = sha(temp.value, tail)
        temp.upper = None
        if not x.is_508 and x.knobs.source_after_nonce_calculated == "rand":
            temp.from_input = False
        x.temp_written = True
        return temp.value
    drawn = x.random(update_seed=x.p1 == 0)
    x.load_temp_key(sha(drawn, tail), from_input=False)
    return drawn


def nonce_fixed(x: Execution) -> bytes:
    """TempKey = the host's bytes."""
    x.load_temp_key(x.data, from_input=True)
    return OK


def _nonce_to_buffer(x: Execution) -> None:
    if x.knobs.nonce_to_buffer == "invalid":
        x.session.temp_key.clear()
    elif x.knobs.nonce_to_buffer == "input":
        x.session.temp_key.load(x.session.temp_key.value, from_input=True)


def nonce_message(x: Execution) -> bytes:
    """MsgDigBuf = the host's bytes."""
    x.session.msg_dig_buf = x.data
    _nonce_to_buffer(x)
    return OK


def nonce_alternate(x: Execution) -> bytes:
    """AltKeyBuf = the host's bytes."""
    x.session.alt_key_buf = x.data
    _nonce_to_buffer(x)
    return OK


# -- Counter, UpdateExtra, Pause -----------------------------------------------------------------


def counter(x: Execution) -> bytes:
    """Read or increment a monotonic counter."""
    if not (x.memory.config_locked or x.knobs.counter_before_config_lock):
        raise refuse("the configuration is not locked")
    value = x.memory.counter(x.p2)
    if x.p1:
        if value >= words.COUNTER_MAX:
            raise refuse(f"counter {x.p2} is at its end")
        value += 1
        x.stores += counter_stores(x.p2, value)
    return value.to_bytes(4, "little")


def update_extra(x: Execution) -> bytes:
    """Write byte 84 or 85 of the configuration, once."""
    if not (x.memory.config_locked or x.knobs.update_extra_before_config_lock):
        raise refuse("the configuration is not locked")
    at = words.SELECTOR if x.p1 else words.USER_EXTRA
    rewritable = x.p1 and x.is_508 and not x.memory.config[words.CHIP_MODE] & 1
    if x.memory.config[at] and not rewritable:
        raise refuse(f"byte {at} was already written")
    x.store(CONFIG, at, bytes((x.p2 & 0xFF,)))
    return OK


def burn_use(x: Execution) -> bytes:
    """Use up one use of a limited key, without an operation."""
    count_use(x, x.slot)
    return OK


def pause(x: Execution) -> bytes:
    """All chips but the one with this Selector go idle; those do not answer."""
    x.goes_idle = x.memory.config[words.SELECTOR] != x.p1
    return OK


ONLY_508, ONLY_608 = (508,), (608,)
OF_608 = "DS40002138A 5.1.4"
NONCE = Opcode.NONCE
NONCE_P2 = frozenset({0, 0x8000})
COUNTERS = frozenset({0, 1})
BYTE = range(0x100)

FORMS = (
    Form(Opcode.INFO, "Info revision", modes(0), ANY, NONE, info_revision, "DS508 9.9"),
    Form(Opcode.INFO, "Info key valid", modes(1), SLOT, NONE, info_key_valid, "DS508 9.9"),
    Form(Opcode.INFO, "Info state", modes(2), ANY, NONE, info_state, "DS508 9.9"),
    Form(Opcode.INFO, "Info GPIO", modes(3), ANY, NONE, info_gpio, "DS508 9.9"),
    Form(Opcode.INFO, "Info latch", modes(4), ANY, NONE, info_latch, "DS40002138A 5.1.3", ONLY_608),
    Form(Opcode.RANDOM, "Random", modes(0, 1), ZERO, NONE, random, "DS508 9.15"),
    Form(NONCE, "Nonce random", modes(0, 1), NONCE_P2, lengths(20), nonce_random, "DS508 9.12"),
    Form(NONCE, "Nonce fixed", modes(3), ZERO, lengths(32), nonce_fixed, "DS508 9.12"),
    Form(
        NONCE,
        "Nonce fixed 64",
        modes(0x23),
        ZERO,
        lengths(64),
        nonce_fixed,
        OF_608,
        ONLY_608,
    ),
    Form(
        NONCE,
        "Nonce to MsgDigBuf",
        modes(0x43),
        ZERO,
        lengths(32),
        nonce_message,
        OF_608,
        ONLY_608,
    ),
    Form(
        NONCE,
        "Nonce to MsgDigBuf 64",
        modes(0x63),
        ZERO,
        lengths(64),
        nonce_message,
        OF_608,
        ONLY_608,
    ),
    Form(
        NONCE,
        "Nonce to AltKeyBuf",
        modes(0x83),
        ZERO,
        lengths(32),
        nonce_alternate,
        OF_608,
        ONLY_608,
    ),
    Form(Opcode.COUNTER, "Counter read", modes(0), COUNTERS, NONE, counter, "DS508 9.3"),
    Form(Opcode.COUNTER, "Counter increment", modes(1), COUNTERS, NONE, counter, "DS508 9.3"),
    Form(Opcode.UPDATEEXTRA, "UpdateExtra", modes(0, 1), BYTE, NONE, update_extra, "DS508 9.19"),
    Form(Opcode.UPDATEEXTRA, "UpdateExtra limited use", modes(2, 3), SLOT, NONE, burn_use, "DS508 9.19"),
    Form(Opcode.PAUSE, "Pause", modes(0, bits=0xFF), ZERO, NONE, pause, "DS508 9.13", ONLY_508),
)
