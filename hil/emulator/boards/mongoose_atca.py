"""The secure element in an emulated Mongoose OS board: initialisation at boot and the ATCA.* methods.

The firmware reaches the element only over its I2C bus, through the driver library, as real
firmware does. What it answers are the status codes of its own library (not the element's).
Sources: mongoose-os-libs/atca ``src/mgos_atca.c``, mongoose-os-libs/rpc-service-atca
``src/mgos_atca_service.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import msgspec

from hil.discretion import discreet
from hil.element.device import Element
from hil.element.digests import encrypted_private_key, encrypted_write, gendig_zone
from hil.element.timing import Pace
from hil.emulator.boards.mongoose_log import ERROR, Origin
from hil.emulator.boards.mongoose_rpc import Args, Method, base64_text
from hil.errors import DeviceError, DeviceTimeout, ElementError, FrameError, I2CError, RpcError, WakeError
from hil.wire.atecc import Command, Opcode, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.boards.mongoose_i2c import I2CPort
    from hil.emulator.boards.mongoose_log import Console

__all__ = ["Atca", "atca_methods", "library_status", "start_atca"]

_INFO = Origin("mgos_atca.c", 117)
_FAIL = Origin("mgos_atca.c", 96)
_OUT = Origin("mgos_atca.c", 133)

P = ParamSpec("P")
T = TypeVar("T")

CONFIG_SIZE: Final = 128
BLOCK: Final = 32
HEAP_RESIDUE: Final = b"\xa5"
"""What lies behind a short key in the firmware's heap: SetKey copies 32 bytes whatever came."""

PACE: Final = Pace(first_poll_us=1_000, poll_us=2_000)
"""MicrochipTech/cryptoauthlib ``lib/hal/atca_hal.h``: first poll after 1 ms, then every 2 ms."""

BAD_PARAM: Final = 0xE2
GEN_FAIL: Final = 0xE1
COMM_FAIL: Final = 0xF0

_STATUS: Final = {
    Status.MISCOMPARE: 0xD1,
    Status.PARSE: 0xD2,
    Status.ECC_FAULT: 0xD6,
    Status.SELF_TEST: 0xD7,
    Status.HEALTH_TEST: 0xFA,
    Status.EXECUTION: 0xF4,
    Status.AFTER_WAKE: 0xF3,
    Status.COMMUNICATION: 0xD4,
}
"""Status byte of the element to the library's ``ATCA_STATUS``; all others are a general failure."""


def library_status(error: DeviceError) -> int:
    """The ``ATCA_STATUS`` that the firmware's library makes of a failure, as printed (one byte)."""
    if isinstance(error, ElementError):
        return _STATUS.get(Status(error.status), GEN_FAIL) if error.status in _KNOWN else GEN_FAIL
    if isinstance(error, WakeError):
        return 0xD0
    if isinstance(error, FrameError):
        return 0xE5
    if isinstance(error, I2CError | DeviceTimeout):
        return COMM_FAIL
    return GEN_FAIL


_KNOWN: Final = frozenset(int(status) for status in Status)


class Atca(msgspec.Struct, frozen=True):
    """The element as the running firmware knows it, and the firmware's recipes.

    The firmware's library wakes the element for each command and idles it afterwards; on a 608
    digests go through the message digest buffer, so that TempKey can hold an ECDH key meanwhile.

    Attributes:
        element: the driver.
        is_608: TempKey can hold an ephemeral key.
        ecdh_slots: slots that TLS may use for ECDH on a 508, lowest first.
    """

    element: Element
    is_608: bool
    ecdh_slots: tuple[int, ...]

    def sign(self, slot: int, digest: bytes) -> bytes:
        """Random, Nonce, Sign: 64 bytes ``R ‖ S``."""
        self.element.random()
        self._load(digest)
        return self.element.sign_loaded(slot, message_buffer=self.is_608)

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """Nonce, Verify(External)."""
        self._load(digest)
        return self.element.verify_loaded(public_key, signature, message_buffer=self.is_608)

    def generate_key(self, slot: int) -> bytes:
        """A new private key in ``slot``; its public half, 64 bytes."""
        return self.element.execute(Command(Opcode.GENKEY, 0x04, slot), 64)

    def _load(self, digest: bytes) -> None:
        if self.is_608:
            self.element.load_message(digest)
        else:
            self.element.nonce_load(digest)


def start_atca(config: Config, buses: dict[int, I2CPort], console: Console) -> Atca | None:
    """Find the element as ``mgos_atca_init`` does; None = not available, boot goes on.

    The caller has made sure that the bus is enabled.
    """
    number = config.integer("sys.atca.i2c_bus")
    configured = config.integer("sys.atca.i2c_addr")
    address = configured if configured < 0x7F else configured >> 1
    mask = config.integer("sys.atca.ecdh_slots_mask")
    bus = buses[number].bus
    try:
        if not 0x08 <= address <= 0x77:
            raise I2CError(f"0x{address:02x} is no address of a device")
        revision = Element(bus, address).info_revision()
        is_608 = int.from_bytes(revision, "big") >= 0x6000
        part = "atecc508a" if not is_608 else "atecc608b" if revision[3] >= 3 else "atecc608a"
        element = Element(bus, address, part=part, pace=PACE)
    except DeviceError:
        console.log(_FAIL, f"ATCA: Failed to get chip info ({number}/0x{address:x})", ERROR)
        console.log(_OUT, "ATCA: Chip is not available", ERROR)
        return None
    try:
        serial = element.serial_number()
    except DeviceError:
        console.log(_FAIL, "ATCA: Failed to get chip serial number", ERROR)
        console.log(_OUT, "ATCA: Chip is not available", ERROR)
        return None
    try:
        locks = element.lock_state()
    except DeviceError:
        console.log(_FAIL, "ATCA: Failed to get chip zone lock status", ERROR)
        console.log(_OUT, "ATCA: Chip is not available", ERROR)
        return None
    console.log(
        _INFO,
        f"{'ATECC608A' if is_608 else 'ATECC508A'} @ {number}/0x{address:02x}: "
        f"rev 0x{int.from_bytes(revision, 'big'):04x} S/N {printed_serial(serial)}, zone lock status: "
        f"{_yes(locks.config)}, {_yes(locks.data)}; ECDH slots: 0x{mask:02x}",
    )
    return Atca(element, is_608, tuple(slot for slot in range(16) if mask >> slot & 1))


def printed_serial(serial: bytes) -> str:
    """The serial number as the boot log prints it: ``%04x`` a 32-bit word, so leading zeros are lost."""
    first, second = int.from_bytes(serial[:4], "big"), int.from_bytes(serial[4:8], "big")
    return f"0x{first:04x}{second:04x}{serial[8]:02x}"


def _yes(locked: bool) -> str:
    return "yes" if locked else "no"


def atca_methods(atca: Atca) -> list[Method]:
    """The ATCA.* methods; registered only when the element answered at boot."""
    return [
        Method("ATCA.GetConfig", "", lambda args: _get_config(atca)),
        Method("ATCA.SetConfig", "{config: %V}", lambda args: _set_config(atca, args)),
        Method("ATCA.LockZone", "{zone: %d}", lambda args: _lock_zone(atca, args)),
        Method(
            "ATCA.SetKey",
            "{slot: %d, block: %d, ecc: %B, key: %V, wkey: %V, wkslot: %u}",
            lambda args: _set_key(atca, args),
        ),
        Method("ATCA.GenKey", "{slot: %d}", lambda args: _gen_key(atca, args)),
        Method("ATCA.GetPubKey", "{slot: %d}", lambda args: _get_pub_key(atca, args)),
        Method("ATCA.Sign", "{slot: %d, digest: %V}", lambda args: _sign(atca, args)),
        Method("ATCA.AES", "{slot: %d, block: %d, mode: %d, data: %V}", lambda args: _aes(atca, args)),
    ]


def _attempt(method: str, message: str, run: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a library call; its failure becomes error 500 with the library's status."""
    try:
        return run(*args, **kwargs)
    except DeviceError as error:
        raise RpcError(method, 500, f"{message}: 0x{library_status(error):02x}") from error


def _get_config(atca: Atca) -> object:
    read, message = atca.element.read_config_block, "Failed to read config zone block"
    blocks = [_attempt("ATCA.GetConfig", f"{message} {block}", read, block) for block in range(4)]
    return {"config": base64_text(b"".join(blocks))}


def _set_config(atca: Atca, args: Args) -> object:
    config = args.base64("config")
    if len(config) != CONFIG_SIZE:
        raise RpcError("ATCA.SetConfig", 400, f"Expected {CONFIG_SIZE} bytes, got {len(config)}")
    _attempt("ATCA.SetConfig", "Failed to set config", _write_config, atca.element, config)
    return None


def _write_config(element: Element, config: bytes) -> None:
    """Bytes 16 to 127 without 84 to 87; UserExtra and Selector follow by UpdateExtra.

    Whole blocks are written at once, blocks 0 and 2 (which hold read-only bytes) word by word.
    """
    for offset in (*range(16, 32, 4), 32, *range(64, 96, 4), 96):
        size = BLOCK if offset in (32, 96) else 4
        if offset == 84:
            continue
        mode = 0x80 if size == BLOCK else 0x00
        address = offset // BLOCK << 3 | offset % BLOCK // 4
        element.execute(Command(Opcode.WRITE, mode, address, config[offset : offset + size]), 1)
    for mode, value in ((0, config[84]), (1, config[85])):
        element.execute(Command(Opcode.UPDATEEXTRA, mode, value), 1)


def _lock_zone(atca: Atca, args: Args) -> object:
    zone = args.integer("zone", -1)
    if zone not in (0, 1):
        raise RpcError("ATCA.LockZone", 403, "Invalid zone")
    lock = Command(Opcode.LOCK, 0x80 | zone)  # bit 7: without the check sum, as the firmware does
    _attempt("ATCA.LockZone", f"Failed to lock zone {zone}", atca.element.execute, lock, 1)
    return None


def _slot(method: str, args: Args) -> int:
    slot = args.integer("slot", -1)
    if not 0 <= slot <= 15:
        raise RpcError(method, 400, "Invalid slot")
    return slot


def _set_key(atca: Atca, args: Args) -> object:
    method, message = "ATCA.SetKey", "Failed to set key"
    slot = _slot(method, args)
    block = args.integer("block", 0)
    key, write_key = args.base64("key"), args.base64("wkey")
    write_slot = args.integer("wkslot", 0)
    if len(write_key) not in (0, BLOCK):  # the firmware prints the length of the other key here
        raise RpcError(method, 400, f"Expected {BLOCK} bytes, got {len(key)}")
    if args.flag("ecc"):
        if len(key) > BLOCK:
            raise RpcError(method, 400, f"Expected {BLOCK} bytes, got {len(key)}")
        scalar = _copied(key)
        _attempt(method, message, _priv_write, atca.element, slot, scalar, write_slot, write_key)
    elif write_key:
        data = _copied(key)
        _attempt(method, message, _write_encrypted, atca.element, slot, block, data, write_slot, write_key)
    elif len(key) in (4, BLOCK):
        command = Command(Opcode.WRITE, 0x82 if len(key) == BLOCK else 0x02, slot << 3 | block << 8, key)
        _attempt(method, message, atca.element.execute, command, 1)
    else:
        raise RpcError(method, 500, f"{message}: 0x{BAD_PARAM:02x}")
    return None


def _copied(key: bytes) -> bytes:
    """The 32 bytes that the handler copies; it reads past a short key."""
    return (key + HEAP_RESIDUE * BLOCK)[:BLOCK]


@discreet
def _priv_write(element: Element, slot: int, scalar: bytes, write_slot: int, write_key: bytes) -> None:
    if not write_key:
        element.execute(Command(Opcode.PRIVWRITE, 0x00, slot, bytes(4) + scalar + bytes(32)), 1)
        return
    serial, tempkey = _write_session(element, write_slot, write_key)
    data = encrypted_private_key(tempkey, 0x40, slot, serial, scalar)
    element.execute(Command(Opcode.PRIVWRITE, 0x40, slot, data), 1)


@discreet
def _write_encrypted(
    element: Element, slot: int, block: int, plain: bytes, write_slot: int, write_key: bytes
) -> None:
    serial, tempkey = _write_session(element, write_slot, write_key)
    address = slot << 3 | block << 8
    data = encrypted_write(tempkey, 0xC2, address, serial, plain)
    element.execute(Command(Opcode.WRITE, 0xC2, address, data), 1)


@discreet
def _write_session(element: Element, write_slot: int, write_key: bytes) -> tuple[bytes, bytes]:
    """Nonce with 20 zero bytes, GenDig over the write key; serial number and TempKey."""
    serial = element.serial_number()
    nonce = element.nonce_random(bytes(20))
    element.gendig(write_slot & 0x0F, bytes((0x15, 0x02, write_slot & 0x0F, 0x00)))
    return serial, gendig_zone(write_key, 2, write_slot & 0x0F, serial, nonce.tempkey)


def _gen_key(atca: Atca, args: Args) -> object:
    slot = _slot("ATCA.GenKey", args)
    message = f"Failed generate key on slot {slot}"
    point = _attempt("ATCA.GenKey", message, atca.generate_key, slot)
    return {"pubkey": base64_text(point)}


def _get_pub_key(atca: Atca, args: Args) -> object:
    slot = _slot("ATCA.GetPubKey", args)
    message = f"Failed get public key for slot {slot}"
    point = _attempt("ATCA.GetPubKey", message, atca.element.public_key, slot)
    return {"pubkey": base64_text(point)}


def _sign(atca: Atca, args: Args) -> object:
    slot = _slot("ATCA.Sign", args)
    digest = args.base64("digest")
    if len(digest) != BLOCK:
        raise RpcError("ATCA.Sign", 400, f"Expected {BLOCK} bytes, got {len(digest)}")
    signature = _attempt("ATCA.Sign", "Failed to sign", atca.sign, slot, digest)
    return {"signature": base64_text(signature)}


def _aes(atca: Atca, args: Args) -> object:
    method = "ATCA.AES"
    slot, block = _slot(method, args), args.integer("block", 0)
    if block < 0:
        raise RpcError(method, 400, "Invalid slot")
    data = args.base64("data")
    if len(data) % 16:
        raise RpcError(method, 400, "Data must be padded to AES block (16)")
    mode = args.integer("mode", 0)
    if data and mode not in (0, 1):
        raise RpcError(method, 400, "Invalid mode")
    message, out = f"Failed to {'decrypt' if mode else 'encrypt'}", b""
    for at in range(0, len(data), 16):
        command = Command(Opcode.AES, mode | (block & 0x03) << 6, slot, data[at : at + 16])
        out += _attempt(method, message, atca.element.execute, command, 16)
    return {"data": base64_text(out)}
