"""What a rig has to go through before its tests may count for a release.

Whoever says *physical* is looked at: a part that shows a mark of an emulated one is refused, whatever
port it is reached through. Then the release's firmware is written and read back. On an emulated rig
the way is the same, but what was in flash is put back afterwards, because an emulated processor runs
models of firmware and not the real thing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hil.element.certificates.anchors import Origin, origin_of
from hil.element.certificates.certificate import load
from hil.element.certificates.trustgo import read_trust_data
from hil.errors import BoardIdentityError, CertificateError, DeviceError, RigError
from hil.rig import flash as rigflash
from hil.rig.identity import is_reserved_mac, marks_of_emulation, part_identities
from hil.rig.record import description
from hil.rigfile.rules import EMULATED

if TYPE_CHECKING:
    from hil.release.files import Release
    from hil.rig.rig import Rig

__all__ = ["admit", "refuse_emulated"]


def admit(rig: Rig, release: Release) -> None:
    """Refuse a rig that passes for physical and is not; else write the firmware and journal it.

    Raises:
        BoardIdentityError: a part of a physical rig is emulated, or the rig is none of the release.
        DeviceError: the flash does not hold what was written, or the firmware does not start.
        RigError: the board cannot be flashed.
    """
    board = release.board_of(rig.file)
    if board is None:
        raise BoardIdentityError(f"{rig.name} carries no board of the release {release.release}")
    if rig.emulated is None:
        refuse_emulated(rig)
    image = release.image(board).read_bytes()
    if hashlib.sha256(image).hexdigest() != board.sha256:
        raise RigError(f"{board.image} was changed since the release file was read")
    if rig.emulated is not None:
        rigflash.flash_and_restore(rig, image, board.offset)
        return
    rigflash.flash(rig, image, board.offset)
    if not rig.running:
        raise DeviceError(f"{board.image} is in flash, but {rig.diagnose_silence()}")
    rig.journal.event("rig", rig=rig.name, phase="open", **description(rig))  # with the firmware's hash


def refuse_emulated(rig: Rig) -> None:
    """Refuse parts that only an emulated rig has.

    Raises:
        BoardIdentityError: says which, and by what it was known.
    """
    ports = {"board": rig.file.board.port, "power": rig.file.power.port, "bus": rig.file.bus.port}
    marks = [f"the {part} is reached through {port}" for part, port in ports.items() if _emu(port)]
    marks += marks_of_emulation(part_identities(rig))
    if is_reserved_mac(rig.file.board.mac) and not any("MAC" in mark for mark in marks):
        # A board that does not tell its address itself is flashed only if its loader tells this one.
        marks.append(f"the rig file names the MAC address {rig.file.board.mac} of an emulated board")
    if rig.file.element.state == "trust" and _of_our_factory(rig):
        marks.append("the element's certificates are signed by the factory of emulated parts")
    if marks:
        raise BoardIdentityError(
            f"{rig.name} is refused as physical: {'; '.join(marks)}",
            hint="results of emulated parts qualify nothing; rehearse with --rehearsal",
        )


def _emu(port: str) -> bool:
    return port.startswith(EMULATED)


def _of_our_factory(rig: Rig) -> bool:
    """Whether the factory of emulated parts signed the element's signer."""
    from hil.emulator.factory import synthetic_anchor

    root = synthetic_anchor().certificate
    try:
        if rig.console_board is not None:
            chain = rig.delivered_chain()
            if origin_of(load(chain.root)) is Origin.SYNTHETIC:
                return True
            signer = load(chain.signer)
        else:
            rig.need_start()
            signer = load(read_trust_data(rig.element).rebuild(root.der).signer)
        signer.verify_signed_by(root)
    except CertificateError:
        return False  # whatever the element holds, that factory did not deliver it
    return True
