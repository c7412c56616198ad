"""What `hil provision` sets up connects: the first article from a blank element to CONNACK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.provision.flow import provision
from hil.provision.plan import Certificate, Mqtt, Plan

if TYPE_CHECKING:
    from pathlib import Path

    from hil.element.device import Element
    from hil.rig.cloud import RigCloud
    from hil.rig.rig import Rig


@pytest.mark.req("HIL-PROV-004")
@pytest.mark.needs("provision", "mqtt", "cloud", "sign", element="blank")
@pytest.mark.irreversible(
    "write-config", "lock-config", "write-slot", "write-otp", "lock-data", "write-private-key"
)
def test_the_plans_certificate_and_the_key_in_slot_0_connect(
    rig: Rig, cloud: RigCloud, element: Element, tmp_path: Path
) -> None:
    """The self-signed certificate is registered without an authority; the private key signs on the chip."""
    (tmp_path / "roots.pem").write_bytes(cloud.roots())
    thing = cloud.session.name(cloud.thing)
    plan = Plan(
        folder=tmp_path,
        https=None,
        mqtt=Mqtt(server=cloud.server, roots="roots.pem", client_id=thing),
        certificate=Certificate(subject=f"/O=ACME Ltd/CN={thing}"),
    )
    outcome = provision(rig, plan)
    text = outcome.identity.certificate.decode()
    cloud.registrar.without_ca(text, thing=cloud.thing, policy=cloud.ensure_policy())
    rig.power_cycle()
    connection = rig.next_connection()
    assert connection.connack == 0, connection.explain()
    assert connection.count("element-sign") == 1, connection.explain()
