"""The endpoint's questions answered through the API, when the control plane is another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.cloud.refusals import refusals
from hil.cloud.registry import CertificateRecord, Thing

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

__all__ = ["ApiRegistry"]


class ApiRegistry:
    """A registry that asks with ``DescribeCertificate`` and friends at every CONNECT.

    Policies of thing groups are not looked up: that takes a call per group and certificate.

    Args:
        iot: a boto3 client.
    """

    def __init__(self, iot: IoTClient) -> None:
        self._iot = iot

    def certificate(self, certificate_id: str) -> CertificateRecord | None:
        """The record of ``certificate_id``, or None if it is not registered."""
        with refusals(f"look up certificate {certificate_id}"):
            try:
                answer = self._iot.describe_certificate(certificateId=certificate_id)
            except self._iot.exceptions.ResourceNotFoundException:
                return None
            description = answer["certificateDescription"]
            arn = description["certificateArn"]
            return CertificateRecord(
                certificate_id=certificate_id,
                arn=arn,
                status=description["status"],
                policies=tuple(self._policies(arn)),
                things=tuple(self._things(arn)),
            )

    def _policies(self, arn: str) -> list[str]:
        names = [
            policy["policyName"]
            for page in self._iot.get_paginator("list_attached_policies").paginate(target=arn)
            for policy in page["policies"]
        ]
        return [self._iot.get_policy(policyName=name)["policyDocument"] for name in names]

    def _things(self, arn: str) -> list[Thing]:
        things = []
        for page in self._iot.get_paginator("list_principal_things").paginate(principal=arn):
            for name in page["things"]:
                thing = self._iot.describe_thing(thingName=name)
                things.append(Thing(name, thing.get("thingTypeName"), thing.get("attributes", {})))
        return things
