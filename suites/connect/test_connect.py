from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hil.measure.measurement import Limit

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.measure.connect import Connection
    from hil.measure.measurement import Measurements
    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig

pytestmark = pytest.mark.needs("mqtt", "cloud", element="provisioned")


@pytest.fixture
def connected(rig: Rig, cloud: RigCloud, element: Element) -> Connection:
    """The board connects with the key in slot 0, from its start."""
    cloud.configure_board(cloud.registered(element), key="ATCA:0")
    return rig.next_connection()


@pytest.mark.req("HIL-CONN-001")
def test_the_endpoint_accepts_the_board(connected: Connection) -> None:
    """Mutual TLS between two implementations, the private key in the element, then CONNACK 0."""
    assert connected.connack == 0, connected.explain()


@pytest.mark.req("HIL-CONN-002")
def test_the_element_signs_exactly_once_and_the_mcu_never(connected: Connection) -> None:
    assert connected.connack == 0, connected.explain()
    assert connected.count("element-sign") == 1, connected.explain()
    assert connected.software == (), f"fell back to software: {connected.software}"


@pytest.mark.req("HIL-CONN-003")
def test_it_connects_within_the_limit(rig: Rig, connected: Connection, measure: Measurements) -> None:
    """The claim of the first article: from ten seconds or more to less than one."""
    assert connected.connack == 0, connected.explain()
    limit = Limit(high=rig.file.connect.limit_ms, warn_high=rig.file.connect.warn_ms)
    measure.record("connect time, element", connected.duration_us / 1000, "ms", limit, key=True)


@pytest.mark.req("HIL-CONN-004")
def test_software_only_is_slower_on_the_same_board(
    rig: Rig, cloud: RigCloud, connected: Connection, measure: Measurements
) -> None:
    """The same board with its key in a file and the element out of the game."""
    assert connected.connack == 0, connected.explain()
    key = ec.generate_private_key(ec.SECP256R1())
    registration = cloud.register_file_key(key, thing=f"software-{rig.name}")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    cloud.configure_board(registration, key="device.key.pem", files={"device.key.pem": pem}, atca=False)
    try:
        software = rig.next_connection()
    finally:
        rig.configure({"sys": {"atca": {"enable": True}}, "mqtt": {"enable": False}})
    assert software.connack == 0, software.explain()
    measure.record("connect time, software only", software.duration_us / 1000, "ms", key=True)
    ratio = software.duration_us / connected.duration_us
    measure.record("software / element", round(ratio, 2), "×", Limit(low=1.0), key=True)


@pytest.mark.req("HIL-CONN-005")
@pytest.mark.needs("power")
def test_it_connects_again_after_a_power_cycle(rig: Rig, connected: Connection) -> None:
    assert connected.connack == 0, connected.explain()
    rig.power_cycle()
    again = rig.next_connection()
    assert again.connack == 0, again.explain()
