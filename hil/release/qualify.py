"""Qualifying a release: the rigs, the session, the signature.

The session is pytest's, in a process of its own with the plan ``qualification``; what it wrote is
judged and signed here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil import rigfile
from hil.board.esptool import is_installed
from hil.errors import BLOCKED_EXIT, NOT_QUALIFIED_EXIT, ConfigError, UsageError
from hil.records.attestation import DigestSigner, signed_by
from hil.records.qualification import judge
from hil.records.rebuild import load_run
from hil.rig.oneshot import need, one_rig
from hil.session.tellfolder import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.records.attestation import Signer
    from hil.records.model import Run
    from hil.release.files import Release
    from hil.rigfile import RigFile

__all__ = ["check_signer", "choose_rigs", "element_signer", "exit_code", "run_session", "under_test"]


def choose_rigs(release: Release, wanted: Sequence[str], *, rehearsal: bool) -> list[RigFile]:
    """The rigs that show the release, emulated ones in a rehearsal and physical ones otherwise.

    Args:
        release: what is to be shown.
        wanted: names, files or globs; empty for every rig that is known and fits.
        rehearsal: nothing physical is touched.

    Raises:
        UsageError: a rig does not fit, or nobody shows a combination.
        ConfigError: a rig file is wrong.
    """
    found = [rigfile.load(path) for path in rigfile.find_rigs(wanted or [rigfile.loader.ALL])]
    if wanted:
        for file in found:
            if not release.concerns(file):
                raise UsageError(f"{file.rig} shows no combination of the release {release.release}")
            if rehearsal and not file.emulated:
                raise UsageError(f"{file.rig} is physical: a rehearsal touches emulated rigs only")
    else:
        found = [file for file in found if release.concerns(file) and file.emulated == rehearsal]
    nameless = [file.rig for file in found if file.board.mac is None]
    if nameless:
        raise UsageError(
            f"the rig file of {nameless[0]} names no MAC address: an unidentified board is never flashed",
            hint="`esptool read-mac` prints it; add it as `mac` under `board:`",
        )
    lacking = [
        str(one)
        for one in release.required
        if not any(file.emulated == rehearsal and release.shows(file, one) for file in found)
    ]
    if lacking:
        kind = "emulated" if rehearsal else "physical"
        raise UsageError(
            f"no {kind} rig shows {', '.join(lacking)}: the release could not be qualified",
            hint="write a rig file for such a bench, or take the combination out of the release file"
            + ("" if rehearsal else "; --rehearsal tries everything on emulated rigs"),
        )
    return found


def run_session(
    release: Release,
    rigs: Sequence[RigFile],
    *,
    rehearsal: bool,
    runs: Path,
    allow_irreversible: Sequence[str] = (),
    allow_aws: str | None = None,
) -> tuple[int, Path | None]:
    """Run every required suite on the rigs.

    Returns:
        The session's exit status, and the run's folder if there is one.

    Raises:
        UsageError: esptool is not there; nothing was run.
    """
    if not is_installed():
        raise UsageError(
            "esptool is not installed: the firmware could not be written",
            hint="pip install 'atecc-hil[flash]'",
        )
    command = [sys.executable, "-m", "pytest", "-p", "hil.session.tellfolder", "--plan", "qualification"]
    # With "=": pytest takes a path that stands by itself for a place of tests when it looks for settings.
    command += [f"--release={release.path}", f"--runs={runs}", *(f"--rig={file.path}" for file in rigs)]
    command += [word for serial in allow_irreversible for word in ("--allow-irreversible", serial)]
    command += ["--rehearsal"] if rehearsal else []
    command += [] if allow_aws is None else ["--allow-aws", allow_aws]
    command += [str(_folder(release, suite)) for suite in release.suites]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    with tempfile.TemporaryDirectory(prefix="hil-qualify-") as scratch:
        note = Path(scratch) / "folder"
        done = subprocess.run(command, env={**environment, VARIABLE: str(note)}, check=False)
        folder = Path(note.read_text(encoding="utf-8")) if note.exists() else None
    return done.returncode, folder


def _folder(release: Release, suite: str) -> Path:
    own = release.suite_folder(suite)
    return Path(str(files("hil.suites"))) / suite if own is None else own


def exit_code(status: int, run: Run) -> int:
    """What ``hil qualify`` exits with.

    0 if the release passes; what the session exited with if the bench broke or the session was
    stopped, because then nothing is said about the release; else *not qualified*.
    """
    spoken = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, BLOCKED_EXIT, NOT_QUALIFIED_EXIT)
    if status not in spoken:
        return status
    return 0 if judge(run).passed else NOT_QUALIFIED_EXIT


@contextmanager
def element_signer(name: str, slot: int, *, rehearsal: bool, under_test: set[str]) -> Iterator[Signer]:
    """A key in a secure element of the bench that is not under test.

    Args:
        name: the rig that carries it.
        slot: of its private key.
        rehearsal: an emulated element may sign; its key is made for this one signature.
        under_test: names of the rigs and serial numbers of the elements that are qualified.

    Raises:
        UsageError: the element is under test itself, or the rig cannot sign.
        BoardIdentityError: it passes for physical and is not.
        DeviceError: it does not sign.
    """
    file = rigfile.load_rig(name)
    if file.rig in under_test:
        raise UsageError(f"{file.rig} is under test: it cannot vouch for itself", hint="name another rig")
    if file.emulated and not rehearsal:
        raise UsageError(
            f"{file.rig} is emulated: anybody could make its signatures", hint="name a physical rig, or --key"
        )
    with one_rig(name, prepare="provisioned" if file.emulated else None) as rig:
        need(rig, "sign")
        if not file.emulated:
            from hil.release.gate import refuse_emulated

            refuse_emulated(rig)
        serial = rig.element.serial_number().hex()
        if serial in under_test:
            raise UsageError(f"the element {serial} of {file.rig} is under test: it cannot vouch for itself")
        yield DigestSigner(rig.slot_key(slot), lambda digest: rig.element.sign_digest(slot, digest))


def under_test(folder: Path) -> set[str]:
    """The rigs of a run and the serial numbers of their elements, at any time of it."""
    run = load_run(folder)
    found = set(run.rigs)
    for rig in run.rigs.values():
        for part in (*rig.parts, *rig.after):
            serial = part.identity.get("serial")
            if part.part == "element" and isinstance(serial, str):
                found.add(serial)
    return found


def check_signer(name: str, slot: int, *, rehearsal: bool, rigs: Sequence[RigFile]) -> None:
    """Find out before hours of testing that an element cannot sign what comes of them.

    Raises:
        HilError: as :func:`element_signer`, or the signature does not verify.
    """
    named = {file.rig for file in rigs} | {file.element.serial for file in rigs if file.element.serial}
    with element_signer(name, slot, rehearsal=rehearsal, under_test=named) as signer:
        if not signed_by(signer.public_key, signer.sign(b"hil"), b"hil"):
            raise ConfigError(f"what slot {slot} of {name} signs does not verify with its own public key")
