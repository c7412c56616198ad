r"""The provisioning console of ``esp_cryptoauth_utility`` (AWS IoT EduKit and other ESP-IDF boards).

A text dialogue on the console UART, shared with the ESP-IDF log. The host types a command and
``\r``; the firmware echoes it, runs it, and prompts ``\n>>\n``. Most commands log
``Status: Success`` or ``Status: Failure``; what follows up to the prompt is the payload or error
lines. A command whose precondition is not met logs an error and **no** status. Commands with a
second stage then read raw bytes up to a NUL, which are not echoed.

Text that a command prints passes through stdio and ends lines with CR LF; banner, echo, version
answer and prompt do not and end them with LF.

Source: ``espressif/esp-cryptoauthlib`` ``esp_cryptoauth_utility/firmware/main`` (``app_main.c``,
``commands.c``, ``handlers.c``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from hil.errors import DeviceError, FrameError, RpcError, UsageError
from hil.wire.loglines import LogLine, parse_line

__all__ = [
    "BANNER",
    "DEVICE_TYPES",
    "MAX_LINE",
    "OLD_BANNER",
    "PROMPT",
    "CertificateKind",
    "Reply",
    "ReplyReader",
    "command_line",
    "parse_certificate",
    "parse_public_key",
    "parse_request",
    "parse_serial",
]

PROMPT = b"\n>>\n"
BANNER = "Initializing Command line: >>"
"""Printed once, without a line end, before the loop begins; wants ``version`` as an answer."""
OLD_BANNER = "Initialising Command line: >>"
"""The EduKit-era copy; the loop follows without an answer."""
MAX_LINE = 1023
"""Longest command line, the final CR included."""

DEVICE_TYPES = {0x60: "TrustCustom", 0x35: "Trust&Go", 0x36: "TrustFlex", 0x38: "TrustManager"}
"""What the firmware calls an element, from its 7-bit address alone."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STATUS = re.compile(r"Status: (Success|Failure)")
_END = re.compile(r"[^\n]*>>[^\n]*\n")
_CODE = re.compile(r"returned (-?[0-9a-fA-Fx]+)")
_PRECONDITIONS = (
    "Please Initialize device before calling this function",
    "Generate the CSR before calling this function",
    "Please execute get-tngtls-signer-cert command",
)


class CertificateKind(StrEnum):
    """Which certificate of a Trust&GO chain; the value is the word in commands and in replies."""

    ROOT = "root"
    SIGNER = "signer"
    DEVICE = "device"


def command_line(name: str, *args: object) -> bytes:
    """A command as typed, its CR included.

    Raises:
        UsageError: too long, or a character would break the dialogue.
    """
    text = " ".join((name, *map(str, args)))
    if not text.isascii() or not text.isprintable():
        raise UsageError(f"a command line is printable ASCII, not {text!r}")
    if len(text) >= MAX_LINE:
        raise UsageError(f"a command line has at most {MAX_LINE - 1} characters, not {len(text)}")
    return text.encode() + b"\r"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came between the echo of a command and the next prompt.

    Attributes:
        command: its name.
        success: what the Status line said; None without one.
        log: log lines before the Status line (all of them if there is none).
        payload: text after the Status line, lines ended by LF.
    """

    command: str
    success: bool | None
    log: tuple[LogLine, ...]
    payload: str

    @property
    def errors(self) -> tuple[str, ...]:
        """Messages logged at level E, before or after the Status line."""
        after = (parse_line(line) for line in self.payload.split("\n"))
        return tuple(line.message for line in (*self.log, *after) if line.level == "E")

    def require(self) -> Reply:
        """This reply, if it says success.

        Raises:
            RpcError: the firmware refused, with its reason.
            DeviceError: it prompted without a Status line and without a reason.
        """
        if self.success:
            return self
        reason = "; ".join(self.errors)
        code = _CODE.search(reason)
        number = int(code[1], 16) if code and "0x" not in code[1] else 0
        if self.success is False:
            raise RpcError(self.command, number, reason or "Status: Failure without a reason")
        if any(known in reason for known in _PRECONDITIONS):
            raise RpcError(self.command, -1, reason)
        raise DeviceError(
            f"{self.command}: the console prompted without a Status line" + (f": {reason}" if reason else ""),
            hint="an unknown command gives no status; ask the console for help",
        )


class ReplyReader:
    """Collects one reply; feed it everything that arrives after the command was written.

    Args:
        line: the command as written, its CR included.
    """

    def __init__(self, line: bytes) -> None:
        self._line = line.rstrip(b"\r").decode("ascii")
        self._text = ""

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes; the reply once the prompt has come.

        Raises:
            FrameError: a prompt came, but the echo is of something else: the line was garbled.
        """
        self._text += data.decode("latin-1")
        text = _ANSI.sub("", self._text)
        start, echo, rest = text.partition(f"{self._line}\r\n")
        if not echo:
            heard = start.lstrip("\n>")
            if _END.search(heard):
                raise FrameError(
                    f"the console echoed {heard.splitlines()[0][:80]!r} instead of {self._line!r}"
                )
            return None
        end = _END.search(rest)
        if end is None:
            return None
        return _reply(self._line.split(" ")[0], rest[: end.start()].replace("\r\n", "\n"))


def _reply(command: str, text: str) -> Reply:
    status = _STATUS.search(text)
    if status is None:
        return Reply(command, None, _log(text), text)
    before = text[: text.rfind("\n", 0, status.start()) + 1]
    after = text[status.end() :]
    return Reply(command, status[1] == "Success", _log(before), after.removeprefix("\n"))


def _log(text: str) -> tuple[LogLine, ...]:
    return tuple(parse_line(line) for line in text.split("\n") if line.strip())


def _hex(text: str, length: int, what: str) -> bytes:
    digits = "".join(text.split())
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})*", digits) or len(digits) != 2 * length:
        raise FrameError(
            f"{what}: expected {length} bytes in hex, got {digits[:80]!r} ({len(digits)} characters)"
        )
    return bytes.fromhex(digits)


def parse_serial(payload: str) -> bytes:
    """The 9 bytes of ``print-chip-info``.

    Raises:
        FrameError: not that payload.
    """
    _, found, rest = payload.partition(" Serial Number:\n")
    if not found:
        raise FrameError(f"no serial number in {payload[:80]!r}")
    return _hex(rest.partition("\n")[0], 9, "serial number")


def parse_public_key(payload: str) -> bytes:
    """The 64 bytes of ``generate-keys`` and ``generate-pubkey``.

    Raises:
        FrameError: not that payload.
    """
    _, found, rest = payload.partition("Public Key:\n")
    if not found:
        raise FrameError(f"no public key in {payload[:80]!r}")
    return _hex(rest.partition("\n")[0], 64, "public key")


def parse_certificate(payload: str, kind: CertificateKind) -> bytes:
    """The DER bytes of a ``get-tngtls-…-cert`` command; the stated length must be the real one.

    Raises:
        FrameError: not that payload, or cut off.
    """
    pattern = rf" {kind.capitalize()} Cert Len:(\d+)\n\nCertificate:\n"
    found = re.search(pattern, payload)
    if found is None:
        raise FrameError(f"no {kind} certificate in {payload[:80]!r}")
    line = payload[found.end() :].partition("\n")[0]
    return _hex(line, int(found[1]), f"{kind} certificate")


def parse_request(payload: str) -> str:
    """The PEM text of ``generate-csr``.

    Raises:
        FrameError: not that payload.
    """
    found = re.search(
        r"-----BEGIN CERTIFICATE REQUEST-----\n.*?-----END CERTIFICATE REQUEST-----", payload, re.DOTALL
    )
    if found is None:
        raise FrameError(f"no certificate request in {payload[:80]!r}")
    return found[0] + "\n"
