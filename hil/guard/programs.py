"""Programs that burn fuses of the board's microcontroller: esptool and espefuse, as tables.

An eFuse that is burnt stays burnt, and flash encryption burns fuses at the first start. A command
line is harmless only if it consists of words that are known to be harmless; both spellings of
esptool (``write-flash`` since version 5, ``write_flash`` before) are one word here.

Source: espressif/esptool ``esptool/__init__.py``, ``espefuse/__init__.py``, ``docs/en/espefuse``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.errors import GuardRefusal
from hil.guard.permit import RpcCall

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FUSE_COMMANDS", "FUSE_OPTIONS", "HARMLESS_COMMANDS", "is_program", "program_action"]

HARMLESS_COMMANDS = {
    "esptool": frozenset(
        {
            "chip-id", "dump-mem", "elf2image", "erase-flash", "erase-region", "flash-id",
            "get-security-info", "image-info", "merge-bin", "read-flash", "read-flash-sfdp",
            "read-flash-status", "read-mac", "read-mem", "run", "verify-flash", "version", "write-flash",
        }
    ),
    "espefuse": frozenset({"adc-info", "check-error", "dump", "get-custom-mac", "summary"}),
}  # fmt: skip
"""Commands that burn nothing. ``load-ram`` and ``write-mem`` are not among them: code in RAM and the
registers of the eFuse controller can burn anything."""

FUSE_COMMANDS = {
    "esptool": {
        "load-ram": "runs code that may burn fuses",
        "write-mem": "can write the registers of the eFuse controller",
        "write-flash-status": "can set one-time bits of the flash chip",
    },
    "espefuse": {
        "burn-bit": "burns single bits",
        "burn-block-data": "burns a block",
        "burn-custom-mac": "burns a MAC address",
        "burn-efuse": "burns a fuse by name",
        "burn-key": "burns a key",
        "burn-key-digest": "burns a secure-boot key digest",
        "execute-scripts": "runs a script that burns",
        "read-protect-efuse": "makes fuses unreadable",
        "set-flash-voltage": "fixes the flash voltage",
        "set-flash-voltage-off": "fixes the flash voltage",
        "write-protect-efuse": "makes fuses unwritable",
    },
}
"""Commands that burn, or can: name → what."""

FUSE_OPTIONS = {
    "--encrypt": "writes through the flash-encryption hardware",
    "--encrypt-files": "writes through the flash-encryption hardware",
    "--ignore-flash-encryption-efuse": "ignores the flash-encryption fuses",
    "--ignore-flash-enc-efuse": "ignores the flash-encryption fuses",
    "--force": "overrides the program's own checks of secure boot and encryption",
    "--do-not-confirm": "burns without asking",
}
"""Options that make a command dangerous, whatever the command."""


def is_program(call: RpcCall) -> bool:
    """Whether a call by name is a command of one of these programs."""
    return call.method.partition(" ")[0] in HARMLESS_COMMANDS


def program_action(argv: Sequence[str]) -> RpcCall | None:
    """What a command line does to the board's fuses; None if it burns nothing.

    Args:
        argv: program and arguments, e.g. ``["esptool", "--port", "/dev/ttyUSB0", "read-mac"]``; the
            program may be a path or ``python -m esptool``.

    Raises:
        GuardRefusal: the command line cannot be understood.
    """
    program, rest = _program(argv)
    words = [word.replace("_", "-") for word in rest]
    burning = [word for word in words if word in FUSE_COMMANDS[program]]
    options = [word.partition("=")[0] for word in words if _is_dangerous(word.partition("=")[0])]
    harmless = [word for word in words if word in HARMLESS_COMMANDS[program]]
    if burning or options:
        return RpcCall(f"{program} {(burning + options)[0]}")
    if len(harmless) != 1:
        raise GuardRefusal(
            f"refused to run {program}: no single command of it is known to be harmless",
            hint=f"harmless are: {', '.join(sorted(HARMLESS_COMMANDS[program]))}",
        )
    return None


def _is_dangerous(option: str) -> bool:
    """Whether an option is one of those, or short for one: argparse takes any unique beginning."""
    return len(option) > 2 and option.startswith("--") and any(o.startswith(option) for o in FUSE_OPTIONS)


def _program(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    for index, word in enumerate(argv[:3]):
        name = word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe").removesuffix(".py")
        if name in HARMLESS_COMMANDS:
            return name, argv[index + 1 :]
    raise GuardRefusal("refused to run a program that is neither esptool nor espefuse")
