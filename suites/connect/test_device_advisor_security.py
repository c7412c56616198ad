"""The policy case of AWS IoT Device Advisor; see docs/device-advisor.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hil.cloud.advisor import broad_wildcards

if TYPE_CHECKING:
    from hil.element.device import Element
    from hil.rig.cloud import RigCloud

pytestmark = pytest.mark.needs("mqtt", "cloud", "sign", element="provisioned")


@pytest.mark.req("AWS-DA-Security_Device_Policies")
def test_security_device_policies(cloud: RigCloud, element: Element) -> None:
    """What the board's certificate may do reaches nobody else's topics or client ids."""
    record = cloud.session.registry.certificate(cloud.register(element).certificate_id)
    assert record is not None
    assert record.policies, "no policy is attached"
    found = broad_wildcards(record.policies)
    assert not found, "the policy allows more than the device needs: " + "; ".join(found)
