"""What the tests of the emulated element share: parts on a bench, at packet level and on a bus."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from hil.emulator.chip import Chip, Memory, Power, load_profile
from hil.emulator.chip.config import KEY_CONFIG, SLOT_CONFIG
from hil.wire.atecc import Command, crc16, decode_response
from hil.wire.serials import reserved_serial

SERIAL = reserved_serial(7)
SHEET_SERIAL = bytes.fromhex("0123f3acfd2a826bee")
"""The serial number that the golden vectors were computed with."""
TEST_SCALAR = bytes.fromhex("878f0ab6a526d7111c26e6170810796e7b33007f832b8d64467ed6f870537a19")
TEST_POINT = bytes.fromhex(
    "8f8d182bd819048582a9927ea0c56defb4159548e11ca5f7abac45bbce76815b"
    "e5c64fcd2fd12698544de037951726666073046119ad5e11a90aa49773aeac86"
)
DIGEST = sha256(b"a test message").digest()
ECDSA = ec.ECDSA(Prehashed(SHA256()))
ECC_PRIVATE = 0x0033  # private, PubInfo, P-256, lockable
ECC_PUBLIC = 0x0030
DATA_KEY = 0x003C


class Part:
    """A powered part with a clock of its own; commands at packet level unless said otherwise."""

    def __init__(
        self,
        name: str = "atecc508a",
        *,
        serial: bytes = SERIAL,
        configuration: str | None = None,
        **options: Any,
    ) -> None:
        self.time = 0
        self.profile = load_profile(name)
        knobs = {
            key: options.pop(key) for key in list(options) if key in self.profile.knobs.__struct_fields__
        }
        if knobs:
            self.profile = replace(self.profile, knobs=replace(self.profile.knobs, **knobs))
        if configuration is None:
            self.memory = Memory.blank(self.profile, serial)
        else:
            self.memory = Memory.configured(self.profile, serial, configuration)
        self.chip = Chip(self.profile, self.memory, now=lambda: self.time, **options)
        self.chip.power_on()

    # -- preparation -----------------------------------------------------------------------------

    def slot(self, slot: int, slot_config: int, key_config: int) -> Part:
        """Give a slot its two words."""
        self.memory.set_config(SLOT_CONFIG + 2 * slot, slot_config.to_bytes(2, "little"))
        self.memory.set_config(KEY_CONFIG + 2 * slot, key_config.to_bytes(2, "little"))
        return self

    def locked(self, *, data: bool = True) -> Part:
        """Lock the configuration, and the data zone too."""
        self.memory.lock_config()
        if data:
            self.memory.lock_data()
        return self

    # -- packet level ----------------------------------------------------------------------------

    def send(self, opcode: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
        """Payload of the answer; a status is one byte."""
        return decode_response(self.chip.execute(Command(opcode, p1, p2, data).encode()))

    def nonce(self, value: bytes = bytes(32)) -> None:
        assert self.send(0x16, 3, 0, value) == b"\0"

    def with_nonce(self) -> Part:
        """The part, with a fixed nonce in TempKey."""
        self.nonce()
        return self

    def random_nonce(self, host: bytes = bytes(20)) -> bytes:
        """A random nonce; returns what TempKey holds now, computed as a host does."""
        drawn = self.send(0x16, 0, 0, host)
        assert len(drawn) == 32
        return sha256(drawn + host + b"\x16\0\0").digest()

    def gen_dig(self, slot: int) -> int:
        return self.send(0x15, 2, slot, b"")[0]

    def power_is(self, state: Power) -> bool:
        return self.chip.power is state

    @property
    def temp(self) -> bytes:
        return self.chip.session.temp_key.value

    @property
    def temp_valid(self) -> bool:
        return self.chip.session.temp_key.valid

    # -- on the bus ------------------------------------------------------------------------------

    def wake(self) -> None:
        self.chip.sda_low(80)
        self.time += self.profile.wake.ready_us

    def start(self) -> Part:
        """Powered long enough, and awake."""
        self.time += self.profile.power_up_us
        self.wake()
        return self

    def write(self, data: bytes) -> int | None:
        """Bytes acknowledged, None if the address was not."""
        return self.chip.written(data) if self.chip.acknowledges(self.chip.address, False) else None

    def read(self, length: int) -> bytes | None:
        return self.chip.read(length) if self.chip.acknowledges(self.chip.address, True) else None

    def transact(self, opcode: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
        """A whole command on the bus, waited for exactly."""
        packet = b"\x03" + Command(opcode, p1, p2, data).encode()
        assert self.write(packet) == len(packet)
        self.time = max(self.time, self.chip.busy_until)
        count = self.read(1)
        assert count is not None
        rest = self.read(count[0] - 1)
        assert rest is not None
        return decode_response(count + rest)


def p2_of(crc: bytes) -> int:
    return int.from_bytes(crc, "little")


def summary(memory: Memory, *, data: bool) -> int:
    """Param2 of Lock: the CRC over the zone."""
    if not data:
        return p2_of(crc16(bytes(memory.config)))
    slots = b"".join(memory.slot(n) for n in range(16) if not memory.key_config(n).private)
    return p2_of(crc16(slots + bytes(memory.otp)))


def host_key(number: int = 12345) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def sign(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(digest, ECDSA))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verifies(public: bytes, digest: bytes, signature: bytes) -> bool:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, digest, ECDSA)
    except InvalidSignature:
        return False
    return True
