import dataclasses

import pytest

from hil.clock import World
from hil.element.certificates.anchors import SYNTHETIC_UNIT, Origin
from hil.element.certificates.certificate import load
from hil.element.certificates.chain import verify_chain
from hil.element.certificates.trustgo import read_trust_data
from hil.element.device import Element
from hil.emulator.bus import I2CMaster, Lines
from hil.emulator.chip.chip import Chip
from hil.emulator.chip.memory import Memory
from hil.emulator.chip.profile import load_profile
from hil.emulator.factory import (
    FactoryCa,
    mongoose_configured,
    seeded_bytes,
    seeded_scalar,
    synthetic_anchor,
    trust_flex,
    trust_go,
)
from hil.errors import ElementError, UsageError
from hil.wire.serials import reserved_serial

B = load_profile("atecc608b")
SERIAL = reserved_serial(0x635, trust=True)
AT = 1_750_000_000.0


def element_of(memory: Memory, world: World, address: int) -> Element:
    chip = Chip(load_profile("atecc608b"), memory, now=lambda: world.now)
    chip.power_on()
    return Element(I2CMaster(world, Lines(21, 22, [chip]), sda=21, scl=22), address)


def test_the_root_says_that_it_is_synthetic_and_its_signers_print_as_microchips() -> None:
    ca = FactoryCa()
    assert load(ca.root).subject.get("OU") == SYNTHETIC_UNIT
    assert synthetic_anchor().origin is Origin.SYNTHETIC
    signer = load(ca.signer().certificate)
    assert str(signer.subject) == "O = Microchip Technology Inc, CN = Crypto Authentication Signer 2A00"
    assert "SYNTHETIC" in str(signer.issuer)


def test_the_same_seed_makes_the_same_bytes_and_another_seed_none_of_them() -> None:
    one, two, other = FactoryCa("a"), FactoryCa("a"), FactoryCa("b")
    assert (one.root, one.signer().certificate) == (two.root, two.signer().certificate)
    assert one.root != other.root
    assert load(one.root).point != load(other.root).point
    assert trust_go(B, SERIAL).config == trust_go(B, SERIAL).config
    assert trust_go(B, SERIAL).slot(10) == trust_go(B, SERIAL).slot(10)


@pytest.mark.parametrize("template", [2, 3])
def test_a_trust_and_go_part_gives_its_chain_through_its_own_commands(template: int) -> None:
    ca = FactoryCa()
    with World() as world:
        element = element_of(trust_go(B, SERIAL, template=template), world, 0x35)
        assert element.serial_number() == SERIAL
        locks = element.lock_state()
        assert (locks.config, locks.data) == (True, True)
        data = read_trust_data(element)
        chain = data.rebuild(ca.root)
        report = verify_chain(
            chain.device,
            chain.signer,
            chain.root,
            at=AT,
            slot_key=element.public_key(0),
            anchors=[synthetic_anchor()],
        )
        assert report.ok, str(report)
        names = {2: "0123E07E0000063501 ATECC", 3: "sn0123E07E0000063501"}
        assert load(chain.device).subject.get("CN") == names[template]
        assert (data.eui48 is None) == (template == 2)
        assert element.read_otp()[:8] == {2: b"Rsuy5YJh", 3: b"x6tjuZMy"}[template]


def test_a_trust_and_go_part_uses_its_slots_as_the_data_sheet_says() -> None:
    with World() as world:
        element = element_of(trust_go(B, SERIAL), world, 0x35)
        config = element.read_config()
        assert (config[16], config[19]) == (0x6A, 1)
        assert config[72:75].hex() == "006976"
        assert config[84:92].hex() == "00000000ffff0e60"
        digest = seeded_bytes("test", "digest")
        for slot in (0, 2, 3, 4):
            assert element.verify_external(
                element.public_key(slot), digest, element.sign_digest(slot, digest)
            )
        with pytest.raises(ElementError):
            element.sign_digest(1, digest)  # the attestation key signs internal messages only
        with pytest.raises(ElementError):
            element.read_slot(0)


def test_a_trustflex_part_answers_at_its_own_address_with_a_good_chain() -> None:
    ca = FactoryCa()
    with World() as world:
        element = element_of(trust_flex(B, SERIAL), world, 0x36)
        chain = read_trust_data(element).rebuild(ca.root)
        report = verify_chain(chain.device, chain.signer, chain.root, at=AT, anchors=[synthetic_anchor()])
        assert report.ok, str(report)
        assert element.read_config()[70:72].hex() == "03f7"


def test_a_part_of_another_factory_is_refused_by_our_anchor() -> None:
    foreign = FactoryCa("test: another factory")
    with World() as world:
        element = element_of(trust_go(B, SERIAL, ca=foreign), world, 0x35)
        chain = read_trust_data(element).rebuild(FactoryCa().root)
        report = verify_chain(chain.device, chain.signer, chain.root, at=AT, anchors=[synthetic_anchor()])
        assert not report.ok


@pytest.mark.parametrize("part", ["atecc508a", "atecc608a", "atecc608b"])
def test_a_mongoose_part_is_locked_and_keyed_as_asked(part: str) -> None:
    profile, serial = load_profile(part), reserved_serial(5)
    open_data = mongoose_configured(profile, serial)
    assert (open_data.config_locked, open_data.data_locked) == (True, False)
    ready = mongoose_configured(profile, serial, provisioned=True)
    assert (ready.config_locked, ready.data_locked) == (True, True)
    assert ready.secret(4) == seeded_bytes("hil synthetic factory, test keys", "kek")
    assert all(ready.key_valid[slot] for slot in range(16) if ready.key_config(slot).private)


@pytest.mark.parametrize(
    "serial",
    [bytes.fromhex("0123aabb0000000001"), reserved_serial(1), bytes(9)],
)
def test_no_trust_part_is_made_with_a_serial_number_that_is_not_reserved_for_them(serial: bytes) -> None:
    with pytest.raises(UsageError):
        trust_go(B, serial)


def test_a_508_is_no_trust_part_and_templates_are_checked() -> None:
    with pytest.raises(UsageError):
        trust_go(load_profile("atecc508a"), SERIAL)
    with pytest.raises(UsageError):
        trust_go(B, SERIAL, template=4)
    with pytest.raises(UsageError):
        FactoryCa().signer("2a00")


def test_private_keys_stay_out_of_what_is_printed() -> None:
    scalar = seeded_scalar("hil synthetic factory, test keys", f"{SERIAL.hex()} slot 0")
    memory = trust_go(B, SERIAL)
    kit = FactoryCa().signer()
    assert scalar.hex() not in repr(memory)
    assert dataclasses.fields(kit.key)[0].name == "private"
    assert seeded_scalar("hil synthetic factory, test keys", "signer 2A00").hex() not in repr(kit)
