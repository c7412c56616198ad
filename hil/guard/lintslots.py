"""Lint rules about single slots, and about what one slot makes of another.

Sources: ATECC508A data sheet DS20005927A (DS508) tables 2-5 to 2-12; ATECC608A-TFLXTLS data sheet
DS40002138A table 2-3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.guard.findings import AES, OTHER, P256, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.guard.findings import Severity, Slot
    from hil.guard.lintzone import Zone

__all__ = ["SLOT_RULES"]

PUBLIC_KEY_BYTES = 72
SIZES = (36,) * 8 + (416,) + (72,) * 7


def _key_type(zone: Zone, slot: Slot) -> Iterator[Finding]:
    n = slot.number
    if slot.private and slot.key_type != P256:
        yield Finding(
            f"private-key-type:{n}", "error", slot.key_where,
            f"slot {n} is private with KeyType {slot.key_type}, only 4 (P-256) is possible",
            "no private-key command works on it", "set KeyType 4 or clear Private", "DS508 table 2-12",
        )  # fmt: skip
    elif slot.key_type not in ((P256, AES, OTHER) if zone.is_608 else (P256, OTHER)):
        yield Finding(
            f"key-type:{n}", "error", slot.key_where, f"slot {n} has KeyType {slot.key_type}",
            "that type does not exist on this part: the slot can never be used as a key",
            "use 4 (P-256) or 7 (other)" + (", or 6 (AES)" if zone.is_608 else ""), "DS508 table 2-12",
        )  # fmt: skip
    elif not slot.private and slot.key_type == P256 and SIZES[n] < PUBLIC_KEY_BYTES:
        yield Finding(
            f"public-key-small:{n}", "error", slot.key_where,
            f"slot {n} is to hold a P-256 public key and has {SIZES[n]} bytes",
            "a public key needs 72: Verify can never use the slot", "use slots 8 to 15", "DS508 2.1, 4.1.1",
        )  # fmt: skip
    if slot.key_type == AES and zone.is_608 and zone.of_a_part and not zone.config[13] & 1:
        yield Finding(
            f"aes-disabled:{n}", "error", slot.key_where,
            f"slot {n} holds AES keys and this part has AES switched off (byte 13)",
            "the AES command will not work", "use another part", "DS40002138A table 2-3 (AES_Enable)",
        )  # fmt: skip


def _private(zone: Zone, slot: Slot) -> Iterator[Finding]:
    n = slot.number
    if not slot.private:
        return
    if not slot.secret:
        yield Finding(
            f"private-not-secret:{n}", "error", slot.where, f"slot {n} holds a private key but IsSecret is 0",
            "GenKey, Sign and PrivWrite fail, and the sheet does not promise that it cannot be read: "
            "the slot can never be used", "set SlotConfig bit 7", "DS508 table 2-5 (IsSecret)",
        )  # fmt: skip
    if not slot.read_key:
        yield Finding(
            f"useless-key:{n}", "error", slot.where,
            f"the private key in slot {n} may neither sign nor agree on keys",
            "it can never be used for anything", "allow a use in SlotConfig bits 3:0",
            "DS508 table 2-5 (ReadKey)",
        )  # fmt: skip
    if slot.read_key & 0x8 and n % 2:
        yield Finding(
            f"ecdh-next-odd:{n}", "error", slot.where,
            f"slot {n} hands its ECDH result to the next slot, which only even slots can",
            "ECDH with this key always fails", "clear ReadKey bit 3, or use an even slot", "DS508 9.5",
        )  # fmt: skip
    elif slot.read_key & 0x8 and not zone.slots[n + 1].secret:
        yield Finding(
            f"ecdh-readable:{n + 1}", "error", zone.slots[n + 1].where,
            f"slot {n + 1} receives the ECDH result of slot {n} and can be read in clear",
            "anyone on the bus can read the shared secret", "set IsSecret on it", "DS508 table 2-6",
        )  # fmt: skip
    if not slot.write_config & 0x6:
        yield Finding(
            f"never-keyed:{n}", "note", slot.where,
            f"slot {n}: neither GenKey nor PrivWrite is allowed after the data lock",
            "a key must be put in before the data zone is locked, or the slot stays unusable",
            "make the key between the two locks", "DS508 tables 2-8 to 2-11",
        )  # fmt: skip


def _reading(zone: Zone, slot: Slot) -> Iterator[Finding]:
    n = slot.number
    if slot.private:
        return
    if slot.encrypt_read and not slot.secret:
        yield Finding(
            f"encrypted-not-secret:{n}", "error", slot.where,
            f"slot {n} has EncryptRead without IsSecret, a prohibited combination",
            "the data sheet promises nothing", "set IsSecret too", "DS508 table 2-6",
        )  # fmt: skip
    if slot.key_type == AES and not slot.secret:
        yield Finding(
            f"readable-aes:{n}", "error", slot.where, f"the AES keys in slot {n} can be read in clear",
            "anyone on the bus can read them", "set IsSecret on the slot", "DS40002138A 2.2",
        )  # fmt: skip
    if slot.write_config >= 2 and not slot.secret:
        yield Finding(
            f"not-secret-write:{n}", "note", slot.where,
            f"slot {n} restricts writing but is no secret",
            "the sheet asks for IsSecret then; Microchip's own parts do without for public data",
            "set IsSecret unless the data are to be read by all", "DS508 table 2-5 (IsSecret)",
        )  # fmt: skip


def _encrypted_under(slot: Slot) -> set[int]:
    """Slots of the keys that encrypt this slot's writes and reads."""
    keys = {slot.write_key} if slot.written_encrypted else set[int]()
    if not slot.private and slot.encrypt_read and slot.secret:
        keys.add(slot.read_key)
    return keys


def _encrypting_key(zone: Zone, slot: Slot) -> Iterator[Finding]:
    """What this slot must not be if it encrypts others."""
    n = slot.number
    protected = [str(other.number) for other in zone.slots if n in _encrypted_under(other)]
    if not protected:
        return
    others = f"slot {protected[0]}" if len(protected) == 1 else f"slots {', '.join(protected)}"
    if slot.private:
        yield Finding(
            f"kek-is-private:{n}", "error", slot.where,
            f"slot {n} encrypts {others} and holds an ECC private key",
            "GenDig does not take such a key: what it encrypts can never be written or read",
            "name a slot with a symmetric key", "DS508 9.6",
        )  # fmt: skip
    elif not slot.secret:
        yield Finding(
            f"readable-kek:{n}", "error", slot.where, f"slot {n} encrypts {others} but can be read in clear",
            "anyone on the bus can read the key that protects the other",
            "set IsSecret on the key-encryption slot", "DS508 3.2.3",
        )  # fmt: skip
    elif slot.written_clear:
        yield Finding(
            f"open-kek:{n}", "error" if zone.production else "note", slot.where,
            f"slot {n} encrypts {others} but anyone may overwrite it in clear",
            "whoever reaches the bus sets a key of his own and replaces what it protects",
            "set WriteConfig of the slot to Never or Encrypt", "DS508 table 2-8",
        )  # fmt: skip


def _authorisation(zone: Zone, slot: Slot) -> Iterator[Finding]:
    n = slot.number
    if slot.auth_key and not slot.req_auth:
        yield Finding(
            f"auth-key-unused:{n}", "error", slot.key_where,
            f"slot {n} names AuthKey {slot.auth_key} and does not require an authorisation",
            "AuthKey must be 0 then; one of the two is a mistake", "set ReqAuth or clear AuthKey",
            "DS508 table 2-12 (AuthKey)",
        )  # fmt: skip
    if not slot.req_auth:
        return
    if slot.auth_key == n or zone.slots[slot.auth_key].private:
        yield Finding(
            f"auth-impossible:{n}", "error", slot.key_where,
            f"slot {n} needs an authorisation by slot {slot.auth_key}, which cannot give it",
            "the slot can never be used", "name a slot with a symmetric or a public key", "DS508 3.2.9",
        )  # fmt: skip
    elif zone.slots[slot.auth_key].key_type != P256 and not zone.slots[slot.auth_key].secret:
        yield Finding(
            f"readable-auth-key:{slot.auth_key}", "error", zone.slots[slot.auth_key].where,
            f"slot {slot.auth_key} authorises the use of slot {n} and can be read in clear",
            "anyone on the bus can authorise himself", "set IsSecret on it", "DS508 3.2.9",
        )  # fmt: skip


def _usable(zone: Zone, slot: Slot) -> Iterator[Finding]:
    n = slot.number
    if slot.key_config & 0x2000:
        yield Finding(
            f"key-reserved:{n}", "error", slot.key_where, f"bit 13 of KeyConfig[{n}] is set",
            "it must be zero", "clear it", "DS508 table 2-12",
        )  # fmt: skip
    if slot.disabled:
        yield Finding(
            f"disabled:{n}", "warning" if zone.is_608 else "error", slot.key_where,
            f"slot {n} has {'PersistentDisable' if zone.is_608 else 'IntrusionDisable'} set",
            "its key works only while the latch is set, in every power cycle anew"
            if zone.is_608
            else "an I2C part has no intrusion latch: the key can never be used",
            "clear KeyConfig bit 12", "DS508 table 2-12, DS40002138A table 2-3",
        )  # fmt: skip
    if slot.x509_id and (slot.private or slot.key_type != P256):
        yield Finding(
            f"x509-id:{n}", "error", slot.key_where,
            f"slot {n} has X509id {slot.x509_id} and is no public key",
            "the field must be 0 then; the words are mixed up", "clear KeyConfig bits 15:14",
            "DS508 table 2-12 (X509id)",
        )  # fmt: skip
    if slot.limited and slot.private:
        yield Finding(
            f"limited-use:{n}", "warning", slot.where, f"slot {n} counts the uses of a private key",
            "every signature takes one; at the end of the counter the key is dead",
            "clear SlotConfig bit 5 unless that is the purpose", "DS508 3.2.5",
        )  # fmt: skip


def _for_ever_open(zone: Zone, slot: Slot) -> Iterator[Finding]:
    """What stays open on a product."""
    n = slot.number
    severity: Severity = "warning" if zone.production else "note"
    if slot.written_clear and not slot.secret:
        yield Finding(
            f"open-data:{n}", severity, slot.where, f"anyone may write slot {n} in clear for ever",
            "certificates or data in it can be replaced",
            "lock the slot after writing, or set WriteConfig to Never",
            "DS508 table 2-8",
        )  # fmt: skip
    if slot.changeable and not slot.lockable:
        yield Finding(
            f"not-lockable:{n}", severity, slot.key_where,
            f"slot {n} stays changeable and its KeyConfig does not allow it to be locked",
            "what is in it can never be made final", "set KeyConfig bit 5 (Lockable)", "DS508 table 2-12",
        )  # fmt: skip


SLOT_RULES: tuple[Callable[[Zone, Slot], Iterator[Finding]], ...] = (
    _key_type,
    _private,
    _reading,
    _encrypting_key,
    _authorisation,
    _usable,
    _for_ever_open,
)
"""Every rule about a slot, in the order in which findings of one slot are listed."""
