"""Deletes what a ledger lists, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hil.cloud.refusals import refusals
from hil.errors import CloudError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_iot import IoTClient

    from hil.cloud.ledger import Entry, Kind, Ledger
    from hil.cloud.session import CloudSession

__all__ = ["Fate", "clean_up", "document_digest"]


@dataclass(frozen=True)
class Fate:
    """What became of one entry.

    Attributes:
        entry: what was to be deleted.
        outcome: ``deleted``, ``gone`` (somebody else had deleted it) or ``left``.
        reason: why it was left; empty otherwise.
    """

    entry: Entry
    outcome: Literal["deleted", "gone", "left"]
    reason: str = ""


def document_digest(document: str) -> str:
    """What tells a policy from another of the same name: the SHA-256 of its document."""
    return hashlib.sha256(document.encode()).hexdigest()


def clean_up(session: CloudSession, ledger: Ledger) -> list[Fate]:
    """Delete everything that stands in the ledger for this account, attachments first.

    What the cloud refuses to delete (something of somebody else's hangs on it) is left and reported; the
    rest is deleted all the same. Running it again is harmless.

    Args:
        session: the account.
        ledger: what was created.

    Raises:
        UsageError: the ledger lists only things of another account or region.
    """
    here = (session.account_id, session.region)
    standing = ledger.standing()
    entries = [entry for entry in standing if (entry.account, entry.region) == here]
    if standing and not entries:
        there = f"{standing[0].account} in {standing[0].region}"
        raise UsageError(
            f"the ledger belongs to account {there}, not to {here[0]} in {here[1]}",
            hint="open the session for that account to clean up",
        )
    fates = []
    for entry in entries:
        fate = _delete(session.iot, entry)
        if fate.outcome != "left":
            ledger.deleted(entry)
        fates.append(fate)
    return fates


def _delete(iot: IoTClient, entry: Entry) -> Fate:
    try:
        with refusals(f"delete {entry.kind} {entry.identity}"):
            try:
                refused = DELETERS[entry.kind](iot, entry)
            except iot.exceptions.ResourceNotFoundException:
                return Fate(entry, "gone")
    except CloudError as error:
        return Fate(entry, "left", error.message)
    return Fate(entry, "left", refused) if refused else Fate(entry, "deleted")


def _detach_policy(iot: IoTClient, entry: Entry) -> str:
    policy, _, arn = entry.identity.partition(" ")
    iot.detach_policy(policyName=policy, target=arn)
    return ""


def _detach_thing(iot: IoTClient, entry: Entry) -> str:
    thing, _, arn = entry.identity.partition(" ")
    iot.detach_thing_principal(thingName=thing, principal=arn)
    return ""


def _delete_certificate(iot: IoTClient, entry: Entry) -> str:
    status = iot.describe_certificate(certificateId=entry.identity)["certificateDescription"]["status"]
    if status == "ACTIVE":
        iot.update_certificate(certificateId=entry.identity, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=entry.identity)
    return ""


def _delete_thing(iot: IoTClient, entry: Entry) -> str:
    if iot.describe_thing(thingName=entry.identity)["thingId"] != entry.facts.get("thingId"):
        return "another thing has the name now"
    iot.delete_thing(thingName=entry.identity)
    return ""


def _delete_policy(iot: IoTClient, entry: Entry) -> str:
    document = iot.get_policy(policyName=entry.identity)["policyDocument"]
    if document_digest(document) != entry.facts.get("document"):
        return "its document is not the one that was created"
    iot.delete_policy(policyName=entry.identity)
    return ""


def _delete_ca(iot: IoTClient, entry: Entry) -> str:
    iot.update_ca_certificate(certificateId=entry.identity, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=entry.identity)
    return ""


DELETERS: dict[Kind, Callable[[IoTClient, Entry], str]] = {
    "policy-attachment": _detach_policy,
    "thing-attachment": _detach_thing,
    "certificate": _delete_certificate,
    "thing": _delete_thing,
    "policy": _delete_policy,
    "ca": _delete_ca,
}
"""How to delete each kind; the answer says why not, or is empty."""
