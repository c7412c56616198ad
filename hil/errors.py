"""Every error the library raises, in one tree.

::

    HilError
    ├── UsageError              the caller asked for something that makes no sense
    ├── ConfigError             a rig file, plan, key file or configuration is wrong
    ├── RigError                the bench is wrong: nothing is said about the product
    │   ├── PortError           a port is absent, busy, or went away
    │   ├── RelayError          the relay does not answer or does not switch
    │   ├── BoardIdentityError  another board answers than the rig file names
    │   ├── RigBusyError        another process owns the rig
    │   └── WorldError          the emulated world cannot go on (a bug or a dead wait)
    ├── DeviceError             the device under test is wrong
    │   ├── I2CError            the bus did not carry the transaction
    │   │   └── I2CNack         nobody acknowledged
    │   ├── WakeError           the element did not answer the wake token
    │   ├── ElementError        the element answered with a status code
    │   ├── FrameError          bytes that break the framing or its checksum
    │   ├── RpcError            the firmware answered a call with an error
    │   ├── DeviceTimeout       the device stayed silent until the deadline
    │   └── UnexpectedReboot    the board restarted during a test
    ├── CertificateError        a certificate or chain is not acceptable
    │   └── ServerChainError    the server's chain (hil.tls.alerts): nothing was signed
    ├── CloudError              the control plane or the MQTT endpoint refused
    │   └── TlsError            an alert or a lost connection (hil.tls.alerts), with who sent it
    └── GuardRefusal            an irreversible operation had no permit

Each class carries ``exit_code``: what a command of ours exits with when the error
reaches the top. Codes start at 10, pytest owns 0 to 5.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BLOCKED_EXIT",
    "DIFFERENT_EXIT",
    "EXIT_CODES",
    "NOT_QUALIFIED_EXIT",
    "NO_BASELINE_EXIT",
    "BoardIdentityError",
    "CertificateError",
    "CloudError",
    "ConfigError",
    "DeviceError",
    "DeviceTimeout",
    "ElementError",
    "FrameError",
    "GuardRefusal",
    "HilError",
    "I2CError",
    "I2CNack",
    "PortError",
    "RelayError",
    "RigBusyError",
    "RigError",
    "RpcError",
    "UnexpectedReboot",
    "UsageError",
    "WakeError",
    "WorldError",
]


class HilError(Exception):
    """Base of everything raised on purpose.

    Args:
        message: what went wrong, and where.
        hint: what to do next; printed on a line of its own.
    """

    exit_code: ClassVar[int] = 10

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class UsageError(HilError):
    """The caller asked for something that makes no sense."""

    exit_code = 11


class ConfigError(HilError):
    """A rig file, plan, key file or element configuration is wrong."""

    exit_code = 12


class RigError(HilError):
    """The bench is wrong; nothing is said about the product."""

    exit_code = 13


class PortError(RigError):
    """A port is absent, busy, not permitted, or went away."""


class RelayError(RigError):
    """The relay does not answer or does not switch."""


class BoardIdentityError(RigError):
    """Another board answers than the rig file names."""


class RigBusyError(RigError):
    """Another process owns the rig."""

    exit_code = 14


class WorldError(RigError):
    """The emulated world cannot go on: a model broke or nobody can end a wait."""

    exit_code = 19


class DeviceError(HilError):
    """The device under test is wrong."""

    exit_code = 15


class I2CError(DeviceError):
    """The bus did not carry the transaction (arbitration lost, line held, time-out)."""


class I2CNack(I2CError):
    """Nobody acknowledged the address or a byte.

    Args:
        address: 7-bit address.
        at: index of the byte that was refused; -1 is the address byte.
    """

    def __init__(self, address: int, at: int = -1) -> None:
        where = "the address" if at < 0 else f"byte {at}"
        super().__init__(f"0x{address:02x} did not acknowledge {where}")
        self.address = address
        self.at = at


class WakeError(DeviceError):
    """The element did not answer the wake token ``04 11 33 43``."""


class ElementError(DeviceError):
    """The element answered a command with a status code.

    Args:
        command: the command's name, e.g. ``"Sign"``.
        status: the status byte (ATECC508A data sheet, section 9.1.2).
        meaning: the status in words.
    """

    def __init__(self, command: str, status: int, meaning: str) -> None:
        super().__init__(f"{command}: status 0x{status:02X} ({meaning})")
        self.command = command
        self.status = status
        self.meaning = meaning


class FrameError(DeviceError):
    """Bytes that break the framing, the length or the checksum."""


class RpcError(DeviceError):
    """The firmware answered a call with an error object.

    Args:
        method: the RPC method.
        code: the ``code`` member of the error object.
        text: the ``message`` member.
    """

    def __init__(self, method: str, code: int, text: str) -> None:
        super().__init__(f"{method}: error {code}: {text}")
        self.method = method
        self.code = code
        self.text = text


class DeviceTimeout(DeviceError):
    """The device stayed silent, or said something else, until the deadline."""


class UnexpectedReboot(DeviceError):
    """The board restarted during a test; the message names the reset cause."""


class CertificateError(HilError):
    """A certificate or chain is not acceptable; the message says which rule it breaks."""

    exit_code = 16


class CloudError(HilError):
    """The control plane or the MQTT endpoint refused."""

    exit_code = 17


class GuardRefusal(HilError):
    """An irreversible operation had no permit; nothing was sent."""

    exit_code = 18


# Answers that are no errors: what a session or a command exits with when it has done its work.
BLOCKED_EXIT = 20
DIFFERENT_EXIT = 21
NO_BASELINE_EXIT = 22
NOT_QUALIFIED_EXIT = 23

EXIT_CODES: dict[int, str] = {
    10: "any other error of ours",
    11: "usage: a command or option makes no sense",
    12: "configuration: a rig file, plan, key file or element configuration is wrong",
    13: "rig: the bench is wrong (port, relay, board identity); nothing is said about the product",
    14: "rig busy: another process owns the rig",
    15: "device: the device under test is wrong",
    16: "certificate: a certificate or chain is not acceptable",
    17: "cloud: the control plane or the endpoint refused",
    18: "guard: an irreversible operation had no permit; nothing was sent",
    19: "world: the emulated world broke or waited for nobody",
    BLOCKED_EXIT: "blocked: no test failed, but some stand on something that was not there",
    DIFFERENT_EXIT: "different: `hil compare` found something changed, new or missing",
    NO_BASELINE_EXIT: "no baseline: nobody has approved one for this part and revision",
    NOT_QUALIFIED_EXIT: "not qualified: the release does not pass; of `hil verify`: authentic, and no "
    "qualified release",
}
"""Exit codes of the ``hil`` command and of a session that a rig error ended."""
