from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hil.clock import Calendar, World
from hil.cloud.local.pki import ServerPki
from hil.emulator.boards.mongoose import App
from hil.emulator.boards.mongoose_config import flash_with_config
from hil.emulator.boards.mongoose_tls import Observer, Processor
from hil.emulator.chip import Memory, load_profile
from hil.emulator.mcu import Mcu, load_costs
from hil.tls.operations import Operation
from hil.wire.mqtt import (
    ConnAck,
    Connect,
    Decoder,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    encode,
)
from tests.unit import tls_rig
from tests.unit.firmware_bench import ATCA, SERIAL, Bench, bench
from tests.unit.tls_rig import HOST, NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hil.emulator.boards.mongoose import Step
    from hil.emulator.boards.mongoose_config import Scalar
    from hil.emulator.network import Link
    from hil.wire.mqtt import Packet

EC_DEVICE = tls_rig.make_device("test-device")
OTHER_DEVICE = tls_rig.make_device("test-other")
PKI = ServerPki(HOST, Calendar(NOW), intermediate=False)
READY_US = 5_000_000
"""Boot and Wi-Fi take 4.9 s in the cost model of the ESP8266."""

NETWORK: Mapping[str, Scalar] = {
    "wifi.sta.enable": True,
    "wifi.sta.ssid": "test",
    "mqtt.enable": True,
    "mqtt.server": f"{HOST}:8883",
    "mqtt.client_id": "test-device",
    "mqtt.ssl_cert": "device.pem",
    "mqtt.ssl_ca_cert": "ca.pem",
}
IN_ELEMENT: Mapping[str, Scalar] = {**ATCA, **NETWORK, "mqtt.ssl_key": "ATCA:0"}
IN_SOFTWARE: Mapping[str, Scalar] = {**NETWORK, "mqtt.ssl_key": "key.pem"}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def memory_for(chip: str, *, ecdh_keys: bool = True) -> Memory:
    memory = Memory.configured(load_profile(chip), SERIAL, "mongoose-os")
    numbers = EC_DEVICE.key.private_numbers()
    scalar: int = getattr(numbers, "private_value", 0)
    memory.set_private_key(0, scalar.to_bytes(32, "big"))
    if ecdh_keys:
        for slot in (2, 3):
            memory.set_private_key(slot, bytes([slot]) * 32)
    memory.lock_config()
    memory.lock_data()
    return memory


def rig(
    world: World,
    settings: Mapping[str, Scalar],
    *,
    chip: str = "atecc508a",
    ecdh_keys: bool = True,
    device: tls_rig.Device = EC_DEVICE,
    pki: ServerPki = PKI,
    root: str = "ec",
    **options: object,
) -> tuple[Bench, tls_rig.Bench]:
    """A board and the endpoint that it connects to."""
    cloud = tls_rig.Bench(world, pki)
    cloud.registry.records[device.id] = tls_rig.record(device)
    files = {
        "device.pem": b"CN: test\r\nID: test\r\nARN: test\r\n" + device.pem() + device.issuer_pem(),
        "key.pem": device.key_pem(),
        "ca.pem": pki.root(root).public_bytes(Encoding.PEM),  # type: ignore[arg-type]
    }
    flash = flash_with_config(settings, files)
    made = bench(
        world,
        chip=chip,
        memory=memory_for(chip, ecdh_keys=ecdh_keys),
        flash=flash,
        now=NOW,
        **options,  # type: ignore[arg-type]
    )
    made.board.network = cloud.network.interface("board")
    return made, cloud


def connected(world: World, settings: Mapping[str, Scalar], **options: object) -> Bench:
    made, _ = rig(world, settings, **options)  # type: ignore[arg-type]
    made.on(READY_US)
    made.world.run_until(
        lambda: made.board.mqtt is not None and made.board.mqtt.connected, world.now + 60_000_000
    )
    made.read()
    return made


def crypto(made: Bench) -> list[tuple[object, object]]:
    return [(s.detail["operation"], s.detail["where"]) for s in made.board.timeline if s.phase == "crypto"]


def step(made: Bench, phase: str) -> Step:
    return next(step for step in made.board.timeline if step.phase == phase)


def connect_time(made: Bench) -> int:
    return step(made, "connack").at_us - step(made, "connecting").at_us


def lines_from(made: Bench, message: str) -> list[str]:
    messages = [text for text in made.messages() if text]
    return messages[messages.index(message) :]


# -- what runs where ---------------------------------------------------------------------------


def test_a_508_does_everything_in_the_element_and_logs_each_step(world: World) -> None:
    made = connected(world, IN_ELEMENT)
    made.call("RPC.Ping")
    assert lines_from(made, f"MQTT0 connecting to {HOST}:8883") == [
        f"MQTT0 connecting to {HOST}:8883",
        "ATCA ECDSA verify ok, verified",
        "ATCA ECDSA verify ok, verified",
        "ATCA:3 ECDH get pubkey ok",
        "ATCA:3 ECDH ok",
        "ATCA:0 ECDSA sign ok",
        "MQTT0 TCP connected ok (0)",
        "MQTT0 CONNACK 0",
    ]
    assert crypto(made) == [
        ("verify", "element"),
        ("verify", "element"),
        ("ecdh-get-pubkey", "element"),
        ("ecdh", "element"),
        ("sign", "element"),
    ]
    signs = [entry for entry in made.chip.log if entry.command is not None and entry.command.label == "Sign"]
    assert len(signs) == 1


def hashing(made: Bench) -> int:
    """What the server's chain cost, beside its signatures."""
    return sum(int(step.detail["us"]) for step in made.board.timeline if step.phase == "hash")


def test_element_operations_take_bus_and_chip_time_and_no_processor(world: World) -> None:
    made = connected(world, IN_ELEMENT)
    took = {
        str(s.detail["operation"]): int(s.detail["us"]) for s in made.board.timeline if s.phase == "crypto"
    }
    # Published 508A logs: 59 to 62, 41 to 43, 46 and 47, 70 ms.
    assert took == {"verify": 60_980, "ecdh-get-pubkey": 41_500, "ecdh": 50_650, "sign": 66_580}
    assert world.account["mcu"] == made.board.costs.us("host_overhead") + hashing(made)
    assert 0 < hashing(made) < 5_000  # one small certificate, hashed twice


def test_a_608_agrees_with_an_ephemeral_key(world: World) -> None:
    made = connected(world, IN_ELEMENT, chip="atecc608b")
    assert made.logged("ATCA:16 ECDH gen pubkey ok")
    assert made.logged("ATCA:16 ECDH ok")
    assert ("ecdh-gen-pubkey", "element") in crypto(made)


def test_an_empty_ecdh_slot_of_a_508_gets_a_key_once(world: World) -> None:
    settings = {**IN_ELEMENT, "sys.atca.ecdh_slots_mask": 0x04}
    made = connected(world, settings, ecdh_keys=False)
    assert made.logged("ATCA:2 ECDH gen pubkey ok")
    made.off()
    made.run(1_000_000)
    made.on(READY_US + 1_000_000)
    assert made.logged("ATCA:2 ECDH get pubkey ok")


def test_software_only_charges_every_operation_to_the_processor(world: World) -> None:
    made = connected(world, IN_SOFTWARE)
    costs = made.board.costs
    assert crypto(made) == [
        ("verify", "mcu"),
        ("verify", "mcu"),
        ("ecdh-keygen", "mcu"),
        ("ecdh", "mcu"),
        ("sign", "mcu"),
    ]
    expected = (
        2 * costs.us("p256_verify") + costs.us("p256_keygen") + costs.us("p256_ecdh") + costs.us("p256_sign")
    )
    assert world.account["mcu"] == expected + costs.us("host_overhead") + hashing(made)
    assert made.logged("SW ECDH curve 3")
    assert made.logged("SW ECDSA verify curve 3 hash_len 32 sig_len 7")
    assert not made.chip.log


def test_the_element_makes_the_connect_time_and_software_breaks_it(world: World) -> None:
    made = connected(world, IN_ELEMENT)
    element = connect_time(made)
    with World() as other:
        software = connect_time(connected(other, IN_SOFTWARE))
    assert element < 1_000_000 < software
    # Four round trips more than the sum: TCP takes one, TLS 1.2 two, MQTT one.
    chip = 60_980 * 2 + 41_500 + 50_650 + 66_580
    assert element == 120_000 + chip + hashing(made) + 4 * tls_rig.RTT


def test_rsa_client_key_is_charged_as_such(world: World) -> None:
    made = connected(world, IN_SOFTWARE, device=tls_rig.make_device("test-device", use_rsa=True))
    assert ("rsa-sign", "mcu") in crypto(made)
    assert ("sign", "mcu") not in crypto(made)
    assert world.account["mcu"] > made.board.costs.us("rsa2048_sign")


@pytest.mark.parametrize(
    ("operation", "cost", "times"),
    [
        (Operation("rsa-verify", "software", "link", 2048), "rsa2048_verify", 1),
        (Operation("rsa-verify", "software", "link", 4096), "rsa2048_verify", 4),
        (Operation("rsa-sign", "software", "client", 4096), "rsa2048_sign", 8),
        (Operation("verify", "software", "link", 384), "p384_verify", 1),
        (Operation("verify", "software", "link", 256), "rpc", 0),  # charged by the unit that did it
        (Operation("record", "software", "sent", 100), "rpc", 0),
    ],
)
def test_what_the_library_does_in_software_is_charged(
    world: World, operation: Operation, cost: str, times: int
) -> None:
    mcu = Mcu(world, load_costs("esp8266-80mhz"))
    timeline: list[Step] = []
    Observer(Processor(world, mcu, timeline.append)).operation(operation)
    assert world.now == times * mcu.costs.us(cost)
    assert [s.detail["where"] for s in timeline] == ["mcu"] * bool(times)


def test_verify_and_ecdh_stay_in_the_element_when_only_the_key_is_a_file(world: World) -> None:
    made = connected(world, {**ATCA, **IN_SOFTWARE})
    assert crypto(made) == [
        ("verify", "element"),
        ("verify", "element"),
        ("ecdh-get-pubkey", "element"),
        ("ecdh", "element"),
        ("sign", "mcu"),
    ]


def test_without_ecdh_slots_ecdh_falls_back_to_software(world: World) -> None:
    made = connected(world, {**IN_ELEMENT, "sys.atca.ecdh_slots_mask": 0})
    assert ("ecdh-keygen", "mcu") in crypto(made)
    assert made.logged("SW ECDH curve 3")
    assert ("sign", "element") in crypto(made)


def test_an_ecdh_slot_that_cannot_hold_a_key_falls_back_to_software(world: World) -> None:
    made = connected(world, {**IN_ELEMENT, "sys.atca.ecdh_slots_mask": 1 << 8})
    assert made.logged("ATCA:8 failed to gen ECDH pubkey: 0xf4")
    assert made.logged("SW ECDH curve 3")
    assert ("ecdh", "mcu") in crypto(made)


def test_tls_1_3_works_too_and_saves_a_round_trip(world: World) -> None:
    old = connect_time(connected(world, IN_ELEMENT))
    with World() as other:
        new = connect_time(connected(other, IN_ELEMENT, tls_versions=("1.3",)))
    assert old - new == tls_rig.RTT


# -- refusals ----------------------------------------------------------------------------------


def test_a_chain_of_an_unknown_root_closes_before_the_chip_signs(world: World) -> None:
    foreign = ServerPki(HOST, Calendar(NOW), intermediate=False)
    made, _ = rig(world, IN_ELEMENT)
    made.board.flash.files["ca.pem"] = foreign.root("ec").public_bytes(Encoding.PEM)
    made.on(6_000_000)
    assert made.logged("TLS handshake error: server certificate refused")
    assert made.logged("MQTT0 disconnected")
    labels = {entry.command.label for entry in made.chip.log if entry.command is not None}
    assert not labels & {"Sign", "ECDH"}


def test_a_key_that_is_not_the_certificates_ends_the_handshake_here(world: World) -> None:
    made, _ = rig(world, {**IN_ELEMENT, "mqtt.ssl_key": "ATCA:1"}, ecdh_keys=True)
    made.chip.memory.set_private_key(1, bytes([9]) * 32)
    made.on(6_000_000)
    assert made.logged("ATCA:1 ECDSA sign ok")
    assert made.logged("TLS handshake error")
    assert not made.logged("CONNACK")


def test_a_slot_that_does_not_sign_is_logged_with_the_librarys_status(world: World) -> None:
    made, _ = rig(world, {**IN_ELEMENT, "mqtt.ssl_key": "ATCA:1"})
    made.on(6_000_000)
    assert made.logged("ATCA:1 ECDSA sign failed: 0xf4")
    assert made.logged("MQTT0 disconnected")


def test_an_unregistered_certificate_gets_no_connack_and_the_board_backs_off(world: World) -> None:
    made, cloud = rig(world, IN_ELEMENT)
    cloud.registry.records.clear()
    made.on(9_000_000)
    assert not made.logged("CONNACK 0")
    assert made.logged("MQTT0 disconnected")
    assert made.logged("MQTT0 connecting after ")


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"ca.pem": b"not a certificate"}, {}),
        ({"device.pem": b""}, {}),
        ({}, {"mqtt.ssl_cert": "missing.pem"}),
        ({}, {"mqtt.ssl_key": "ATCA:zero"}),
        ({}, {"mqtt.ssl_key": "missing.pem"}),
        ({"key.pem": b"-----BEGIN TEST-----"}, {"mqtt.ssl_key": "key.pem"}),
        ({}, {"sys.atca.enable": False}),
    ],
)
def test_broken_credentials_are_logged_and_the_board_lives(
    world: World, files: dict[str, bytes], settings: dict[str, Scalar]
) -> None:
    made, _ = rig(world, {**IN_ELEMENT, **settings})
    made.board.flash.files.update(files)
    made.on(9_000_000)
    assert made.logged("TLS handshake error: ")
    assert made.call("RPC.Ping") == {"channel_info": "UART0"}


def test_time_that_is_not_set_keeps_it_from_connecting(world: World) -> None:
    made, _ = rig(world, {**IN_ELEMENT, "mqtt.require_time": True})
    made.board.calendar = Calendar(1000.0)
    made.on(6_000_000)
    assert made.logged("Time is not set, not connecting")
    assert not made.logged("MQTT0 connecting to")


def test_no_server_and_no_wifi_mean_no_client(world: World) -> None:
    made, _ = rig(world, {**IN_ELEMENT, "mqtt.server": ""})
    made.on(6_000_000)
    assert made.logged("MQTT requires server name")
    made.off()
    with World() as other:
        quiet, _ = rig(other, {**IN_ELEMENT, "wifi.sta.enable": False})
        quiet.on(20_000_000)
        assert not quiet.logged("WiFi")
        assert not quiet.logged("MQTT0")


# -- MQTT over a plain connection, against a scripted broker -------------------------------------

PLAIN: Mapping[str, Scalar] = {
    "wifi.sta.enable": True,
    "wifi.sta.ssid": "test",
    "mqtt.enable": True,
    "mqtt.server": "broker.test:1883",
    "mqtt.user": "test",
    "mqtt.pass": "test-secret",
    "mqtt.will_topic": "test/will",
    "mqtt.keep_alive": 10,
}


class Broker:
    """Answers as told; remembers what came and when."""

    def __init__(self, world: World, made: Bench, answer: Callable[[Packet], list[Packet]]) -> None:
        self.world = world
        self.answer = answer
        self.got: list[tuple[int, Packet]] = []
        self.links: list[Link] = []
        made.network.listen("broker.test", 1883, self.accept)

    def accept(self, link: Link) -> Callable[[bytes], None]:
        self.links.append(link)
        decoder = Decoder()

        def receive(data: bytes) -> None:
            for packet in decoder.feed(data):
                self.got.append((self.world.now, packet))
                link.send(b"".join(map(encode, self.answer(packet))))

        return receive

    def packets(self, kind: type[Packet]) -> list[Packet]:
        return [packet for _, packet in self.got if isinstance(packet, kind)]


def obliging(packet: Packet) -> list[Packet]:
    if isinstance(packet, Connect):
        return [ConnAck(0)]
    return [PingResp()] if isinstance(packet, PingReq) else []


def test_connect_carries_the_settings_and_the_device_id(world: World) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, obliging)
    made.on(READY_US + 500_000)
    assert broker.packets(Connect) == [
        Connect("esp8266_A1B2C3", True, 10, "test", b"test-secret", Publish("test/will", b""))
    ]
    assert made.logged("MQTT0 CONNACK 0")


def test_keep_alive_pings_when_nothing_else_was_sent(world: World) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, obliging)
    made.on(READY_US + 31_000_000)
    times = [at for at, packet in broker.got if isinstance(packet, PingReq)]
    assert len(times) == 3
    assert {later - earlier for earlier, later in pairwise(times)} == {10_000_000}


def test_publish_and_subscribe_on_request_and_again_after_a_reconnect(world: World) -> None:
    made = bench(world, settings=PLAIN, app=App(subscriptions=(("test/cmd", 1),)))
    broker = Broker(world, made, obliging)
    made.on(READY_US + 500_000)
    assert made.board.mqtt is not None
    made.board.mqtt.publish("test/up", b"one")
    made.board.mqtt.subscribe("test/more")
    made.run(100_000)
    assert broker.packets(Publish) == [Publish("test/up", b"one")]
    assert [packet.filters for packet in broker.packets(Subscribe) if isinstance(packet, Subscribe)] == [
        (("test/cmd", 1),),
        (("test/more", 0),),
    ]
    assert made.logged("MQTT0 sub test/cmd @ 1")
    broker.links[0].close()
    made.board.mqtt.publish("test/up", b"two", qos=1)
    made.run(6_000_000)
    assert len(broker.links) == 2
    assert len(broker.packets(Subscribe)) == 4
    again = Publish("test/up", b"two", 1, 3, dup=True)
    assert broker.packets(Publish)[1:] == [again]
    broker.links[1].send(encode(PubAck(3)))
    broker.links[1].close()
    made.run(10_000_000)
    assert len(broker.links) == 3
    assert broker.packets(Publish)[1:] == [again]


def test_qos_2_is_completed_and_the_queue_is_bounded(world: World) -> None:
    def answer(packet: Packet) -> list[Packet]:
        if isinstance(packet, Publish):
            return [PubRec(packet.packet_id)]
        return [PubComp(packet.packet_id)] if isinstance(packet, PubRel) else obliging(packet)

    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, answer)
    made.on(READY_US - 200_000)
    world.run_until(lambda: made.board.mqtt is not None, world.now + 1_000_000)
    assert made.board.mqtt is not None
    for number in range(7):
        made.board.mqtt.publish("test/up", b"%d" % number, qos=2)
    made.run(1_000_000)
    assert made.logged("MQTT0 queue overflow!")
    sent = [packet.payload for packet in broker.packets(Publish) if isinstance(packet, Publish)]
    assert sent == [b"2", b"3", b"4", b"5", b"6"]
    assert len(broker.packets(PubRel)) == 5


def test_a_message_to_the_board_is_kept_and_acknowledged(world: World) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, obliging)
    made.on(READY_US + 500_000)
    broker.links[0].send(encode(Publish("test/cmd", b"go", 1, 77)))
    made.run(100_000)
    assert made.board.mqtt is not None
    assert made.board.mqtt.received == [Publish("test/cmd", b"go", 1, 77)]
    assert [type(packet).__name__ for _, packet in broker.got] == ["Connect", "PubAck"]


def test_refusal_is_logged_at_error_level_and_followed_by_back_off(world: World) -> None:
    made = bench(world, settings={**PLAIN, "debug.level": 0})
    Broker(world, made, lambda packet: [ConnAck(5)] if isinstance(packet, Connect) else [])
    made.on(READY_US + 500_000)
    assert made.logged("MQTT0 CONNACK 5")
    assert [s.detail for s in made.board.timeline if s.phase == "refused"] == [{"code": 5}]


def test_back_off_doubles_from_2_to_60_s_within_10_percent(world: World) -> None:
    made = bench(world, settings=PLAIN)  # nobody listens
    made.on(400_000_000)
    waits = [int(line.split()[-2]) for line in made.messages() if "connecting after" in line]
    nominal = [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert len(waits) >= len(nominal)
    for wait, wanted in zip(waits, nominal, strict=False):
        assert 0.9 * wanted <= wait <= 1.1 * wanted
    assert len(set(waits)) == len(waits)
    assert made.logged("MQTT0 TCP connect error")


def test_back_off_starts_again_after_a_connack(world: World) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, lambda packet: [])
    made.network.unlisten("broker.test", 1883)
    made.on(20_000_000)
    made.network.listen("broker.test", 1883, broker.accept)
    broker.answer = obliging
    world.run_until(lambda: bool(broker.packets(Connect)), world.now + 60_000_000)
    made.run(100_000)
    made.text.clear()
    broker.links[0].close()
    made.run(1_000_000)
    wait = next(int(line.split()[-2]) for line in made.messages() if "connecting after" in line)
    assert 1_800 <= wait <= 2_200


def test_seed_decides_the_jitter_which_goes_both_ways() -> None:
    def waits(seed: int) -> list[int]:
        with World() as own:
            made = bench(own, settings=PLAIN, seed=seed)
            made.on(30_000_000)
            return [int(line.split()[-2]) for line in made.messages() if "connecting after" in line]

    assert waits(1) == waits(1) != waits(2)
    first = [waits(seed)[0] for seed in range(20)]
    assert min(first) < 1_950
    assert max(first) > 2_050


def test_withheld_connack_ends_after_30_s(world: World) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, lambda packet: [])
    made.on(READY_US + 31_000_000)
    assert made.logged("MQTT0 connection lost: no CONNACK")
    connect_at = broker.got[0][0]
    lost = next(s for s in made.board.timeline if s.phase == "disconnected")
    assert lost.at_us - connect_at == pytest.approx(30_000_000, abs=10_000)


@pytest.mark.parametrize("garbage", [b"\x00" * 20, b"\xf0\x00", b"\x30\xff\xff\xff\xff\xff"])
def test_garbage_from_the_broker_ends_the_connection_not_the_board(world: World, garbage: bytes) -> None:
    made = bench(world, settings=PLAIN)
    broker = Broker(world, made, obliging)
    made.on(READY_US + 500_000)
    broker.links[0].send(garbage)
    made.run(500_000)
    assert made.logged("MQTT0 connection lost: ")
    assert made.call("RPC.Ping") == {"channel_info": "UART0"}


@pytest.mark.parametrize("value", [-5.0, 0.0, 1e300])
def test_absurd_reconnect_times_do_not_stop_the_world(world: World, value: float) -> None:
    settings = {**PLAIN, "mqtt.reconnect_timeout_min": value, "mqtt.reconnect_timeout_max": value}
    made = bench(world, settings={**settings, "mqtt.require_time": True}, now=0.0)
    made.on(READY_US + 50_000)
    assert made.call("RPC.Ping") == {"channel_info": "UART0"}


# -- power and the processor -------------------------------------------------------------------


def test_rpc_during_a_software_operation_waits_for_the_processor(world: World) -> None:
    made, _ = rig(world, IN_SOFTWARE)
    made.on(READY_US + 200_000)
    begin = next(s.at_us for s in made.board.timeline if s.phase == "tcp")
    verify_ends = begin + tls_rig.RTT + made.board.costs.us("p256_verify")
    assert world.now < verify_ends
    made.call("RPC.Ping")
    assert verify_ends + made.board.costs.us("rpc") <= world.now


def test_rpc_during_an_element_operation_waits_for_the_main_loop(world: World) -> None:
    made, _ = rig(world, IN_ELEMENT)
    made.on(READY_US)
    world.run_until(lambda: any(entry.us > 30_000 for entry in made.chip.log), world.now + 5_000_000)
    executing = len(made.chip.log)
    assert made.call("I2C.Scan") == [96]
    assert executing >= 2
    world.run_until(lambda: made.board.mqtt is not None and made.board.mqtt.connected, world.now + 5_000_000)
    made.read()
    assert made.logged("MQTT0 CONNACK 0")


@pytest.mark.parametrize("versions", [("1.2",), ("1.3",)])
def test_power_can_be_cut_at_any_moment_of_a_connect(versions: tuple[str, ...]) -> None:
    for cut_us in range(0, 460_000, 17_300):
        with World() as world:
            made, cloud = rig(world, IN_ELEMENT, tls_versions=versions)
            made.on(4_877_000 + cut_us)
            made.off()
            heard: list[object] = []
            cloud.network.on_flight = lambda flight, heard=heard: (
                heard.append(flight) if flight.outbound else None
            )  # type: ignore[misc]
            said = len(made.uart.received)
            world.run_for(1_000_000)
            assert not heard, cut_us
            assert len(made.uart.received) == said, cut_us
            assert not world._tasks, cut_us


def test_after_a_cut_in_mid_handshake_the_next_power_on_connects(world: World) -> None:
    made, _ = rig(world, IN_ELEMENT)
    made.on(READY_US + 200_000)
    assert not made.logged("CONNACK")
    made.off()
    made.run(2_000_000)
    made.on(READY_US + 1_000_000)
    assert made.logged("MQTT0 CONNACK 0")


def test_a_reboot_drops_the_connection_and_makes_a_new_one(world: World) -> None:
    made = connected(world, IN_ELEMENT)
    made.call("Sys.Reboot", {"delay_ms": 10})
    made.run(READY_US + 1_000_000)
    assert sum("MQTT0 CONNACK 0" in line for line in made.log) == 2


def test_same_seed_same_timeline(world: World) -> None:
    def run() -> list[Step]:
        with World() as own:
            made = connected(own, IN_ELEMENT)
            return made.board.timeline

    assert run() == run()


def test_slower_bus_moves_the_connect_time_by_what_the_bytes_take(world: World) -> None:
    fast = connected(world, IN_ELEMENT)
    with World() as other:
        slow = connected(other, {**IN_ELEMENT, "i2c.freq": 50_000})
        moved = connect_time(slow) - connect_time(fast)
    # Sign 174, verify 192 twice, public key 79, ECDH 111; nine wakes of one byte and five; 10 us a bit more.
    bytes_on_the_bus = 174 + 2 * 192 + 79 + 111 + 9 * 6
    assert moved == pytest.approx(bytes_on_the_bus * 9 * 10, abs=1_000)  # polls shift by their period
