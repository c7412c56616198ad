"""The emulated element at packet level against bare ``cryptography``; its size; the driver in real time."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from bench.figures import Figure
from hil.clock import World, wall_us
from hil.element.device import Element
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip import Chip, Memory, load_profile
from hil.wire.atecc import Command, Opcode, decode_response
from hil.wire.serials import reserved_serial

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
DIGEST = bytes(range(32))
HOW = ec.ECDSA(Prehashed(hashes.SHA256()))
TEST_SCALAR = 0x878F0AB6A526D7111C26E6170810796E7B33007F832B8D64467ED6F870537A19

MEMORY_OF_1000 = """
import resource
from hil.emulator.chip import Chip, Memory, load_profile
from hil.wire.serials import reserved_serial
profile = load_profile("atecc608b")
parts = [Chip(profile, Memory.blank(profile, reserved_serial(n)), now=lambda: 0) for n in range(1000)]
for part in parts:
    part.power_on()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def provisioned() -> Memory:
    profile = load_profile("atecc508a")
    memory = Memory.blank(profile, reserved_serial(1))
    memory.set_config(20, bytes.fromhex("8764"))
    memory.set_private_key(0, TEST_SCALAR.to_bytes(32, "big"))
    memory.lock_config()
    memory.lock_data()
    return memory


def per_second(run: Callable[[], None], calls: int) -> float:
    start = wall_us()
    for _ in range(calls):
        run()
    return calls * 1e6 / (wall_us() - start)


def ratios() -> list[Figure]:
    key = ec.derive_private_key(TEST_SCALAR, ec.SECP256R1())
    public = key.public_key()
    der = key.sign(DIGEST, HOW)
    r, s = decode_dss_signature(der)
    numbers = public.public_numbers()
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    point = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    chip = Chip(load_profile("atecc508a"), provisioned(), now=lambda: 0, keep_log=False)
    chip.power_on()
    nonce = Command(Opcode.NONCE, 0x03, 0, DIGEST).encode()
    sign = Command(Opcode.SIGN, 0x80, 0).encode()
    verify = Command(Opcode.VERIFY, 0x02, 4, signature + point).encode()
    info = Command(Opcode.INFO).encode()

    def nonce_and_sign() -> None:
        chip.execute(nonce)
        assert len(decode_response(chip.execute(sign))) == 64

    def nonce_and_verify() -> None:
        chip.execute(nonce)
        assert decode_response(chip.execute(verify)) == b"\0"

    def ask() -> None:
        assert len(decode_response(chip.execute(info))) == 4

    found: dict[str, list[float]] = {"sign": [], "verify": [], "info": []}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows both sides
        bare_sign = per_second(lambda: _ignore(key.sign(DIGEST, HOW)), 300)
        bare_verify = per_second(lambda: public.verify(der, DIGEST, HOW), 150)
        found["sign"].append(per_second(nonce_and_sign, 300) / bare_sign)
        found["verify"].append(per_second(nonce_and_verify, 150) / bare_verify)
        found["info"].append(per_second(ask, 1000) / bare_sign)
    median = {name: statistics.median(values) for name, values in found.items()}
    return [
        Figure("element: Nonce+Sign / bare sign", median["sign"], "x", 0.15, True, "aim 0.3"),
        Figure("element: Nonce+Verify / bare verify", median["verify"], "x", 0.3, True),
        Figure("element: Info / bare sign", median["info"], "x", 1.0, True),
    ]


def _ignore(value: object) -> None:
    """A statement made of a call with a result."""


def memory() -> Figure:
    peak = subprocess.run([sys.executable, "-c", MEMORY_OF_1000], check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS reports bytes, Linux KiB
    return Figure("element: 1000 parts in a process", int(peak.stdout) * unit / 1e6, "MB", 200)


def sign_ms(world: World, measured_by: Callable[[], int]) -> float:
    """Milliseconds that one sign_digest takes."""
    chip = Chip(load_profile("atecc508a"), provisioned(), now=lambda: world.now)
    chip.power_on()
    world.sleep(1_000)
    bus = I2CMaster(world, Lines(12, 14, [chip]), sda=12, scl=14)
    element = Element(bus, 0x60, "atecc508a")
    times = []
    for _ in range(ROUNDS):
        start = measured_by()
        element.sign_digest(0, DIGEST)
        times.append(measured_by() - start)
    return statistics.median(times) / 1000


def real_time() -> Figure:
    with World() as world:
        modelled = sign_ms(world, lambda: world.now)
    with World(paced=True) as world:  # as `hil emulate` serves it
        real = sign_ms(world, wall_us)
    note = f"modelled {modelled:.1f} ms, real {real:.1f} ms"
    return Figure("element: Sign in real time, late by", real - modelled, "ms", modelled * 0.1 + 2, note=note)


def measure() -> list[Figure]:
    return [*ratios(), memory(), real_time()]
