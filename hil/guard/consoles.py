"""The one irreversible call that nothing can be read before: ``init`` of the provisioning console.

The firmware locks both zones of whatever part it finds unlocked, without a configuration and
without a checksum, and until then it answers no question about the part. On a Trust&GO part, which
comes locked, it changes nothing; on a blank one behind the same console it is the end of it. That a
rig file says ``state: trust`` proves nothing: rig files are copied. So a console has to be introduced
once, by somebody who names the part's serial number on the command line; the serial number that is
read afterwards must be that one. From then on that console is known, by a port name that contains
the serial number of the board's own USB chip.

Source: espressif/esp-cryptoauthlib esp_cryptoauth_utility/firmware/main/handlers.c (init_atecc608a).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.errors import BoardIdentityError, ConfigError, GuardRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.guard.guard import Guard
    from hil.guard.ledger import Ledger

__all__ = ["console_init", "known_consoles"]

_FILE = "consoles.json"
_OF_THE_BOARD = "/by-id/"
"""Port names of this folder carry the USB serial number, so that they belong to one board."""


@contextmanager
def console_init(guard: Guard, port: str, read_serial: Callable[[], str]) -> Iterator[None]:
    """Let ``init`` pass once, where it cannot lock anything.

    Args:
        guard: the rig's.
        port: name of the console's port.
        read_serial: asks the console for the element's serial number, after ``init``.

    Raises:
        GuardRefusal: nobody has shown that the part behind this console is locked.
        BoardIdentityError: after ``init`` another part answers than the rig file names.
    """
    if not guard.physical:
        guard.admit_once("init")
        yield
        return
    serial = guard.policy.serial
    if serial is None:
        raise GuardRefusal(
            "init refused: the rig file names no element", hint="put its serial number under `element:`"
        )
    known = known_consoles(guard.ledger).get(port) == serial and _OF_THE_BOARD in port
    if not known and serial not in guard.policy.allowed_serials:
        raise GuardRefusal(
            f"init refused: it would lock a part that is not locked yet, and whether {serial} is behind "
            f"{port} is not known; nothing was sent",
            hint="make sure that the board carries a Trust&GO part, then introduce it once with "
            f"--allow-irreversible {serial}; use a /dev/serial/by-id name, so that it is remembered",
        )
    with guard.ledger.hold(serial):
        intent = (
            None if known else guard.ledger.intend(serial, "firmware-defined", None, ("init",), rig=guard.rig)
        )
        guard.admit_once("init")
        yield
        found = read_serial()
        if intent is not None:
            guard.ledger.close(intent, f"init answered, the element is {found}")
    if found != serial:
        raise BoardIdentityError(
            f"the element behind {port} is {found}, the rig file names {serial}",
            hint="another board is plugged in, or the rig file was copied",
        )
    if not known:
        _remember(guard.ledger, port, serial)


def known_consoles(ledger: Ledger) -> dict[str, str]:
    """Serial number of the element by port, for every console that was introduced.

    Raises:
        ConfigError: the file is damaged.
    """
    path = ledger.folder / _FILE
    if not path.exists():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {str(port): str(serial) for port, serial in known.items()}
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path} is damaged: {error}", hint="move it away and introduce the consoles again"
        ) from error


def _remember(ledger: Ledger, port: str, serial: str) -> None:
    draft = ledger.folder / f"{_FILE}.new"
    draft.write_text(json.dumps(known_consoles(ledger) | {port: serial}, indent=1) + "\n", encoding="utf-8")
    draft.replace(ledger.folder / _FILE)
