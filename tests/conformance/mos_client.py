"""A client of mg_rpc over a serial line as the ``mos`` tool is one, written from its behaviour on the wire.

It shares nothing with the library: standard library only. Source: mongoose-os/mos
``common/mgrpc/codec/serial.go`` and ``stream.go`` (version 2.20).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import termios
import tty
import zlib
from typing import Any

HANDSHAKE = b'"""\x04"""\n\n'
CHUNK, PAUSE_S = 16, 0.005
HANDSHAKE_S, PATIENCE_S = 0.2, 30
PUT_CHUNK = 512


class RemoteError(Exception):
    """The firmware answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"remote error {code}: {message}")
        self.code = code


class MosClient:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_NOCTTY)
        tty.setraw(self._fd)
        settings = termios.tcgetattr(self._fd)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)
        try:
            lines = struct.pack("I", termios.TIOCM_DTR | termios.TIOCM_RTS)
            fcntl.ioctl(self._fd, termios.TIOCMBIC, lines)
        except OSError:  # ENOTTY or EINVAL: a pty has no such lines, which mos ignores
            pass
        termios.tcflush(self._fd, termios.TCIFLUSH)
        self._heard = b""
        self._stopped = False
        self.logs = b""

    def close(self) -> None:
        os.close(self._fd)

    def call(self, method: str, params: object = None) -> Any:
        self._shake_hands()
        number = int.from_bytes(os.urandom(5), "big") | 1 << 40
        request: dict[str, object] = {"src": "mos", "id": number, "method": method}
        if params is not None:
            request["params"] = params
        body = json.dumps(request, separators=(",", ":")).encode()
        self._write(b'"""')
        self._write(b'\n"""%s%08x"""\n' % (body, zlib.crc32(body)))
        while True:
            reply = json.loads(self._frame())
            if reply["id"] == number:
                break
        assert reply["dst"] == "mos"
        if "error" in reply:
            raise RemoteError(reply["error"]["code"], reply["error"]["message"])
        return reply["result"]

    def write_raw(self, data: bytes) -> None:
        os.write(self._fd, data)

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            while self._stopped:
                self._listen(PATIENCE_S)
            os.write(self._fd, data[start : start + CHUNK])
            select.select([], [], [], PAUSE_S)

    def _listen(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        for byte in os.read(self._fd, 4096):
            if byte in (0x11, 0x13):
                self._stopped = byte == 0x13
            else:
                self._heard += bytes((byte,))
        return True

    def _shake_hands(self) -> None:
        """Done at a frame that is 0x04 alone."""
        self._heard = b""
        for _ in range(int(PATIENCE_S / HANDSHAKE_S)):
            os.write(self._fd, HANDSHAKE)
            while self._listen(HANDSHAKE_S):
                if b'"""\x04"""' in self._heard:
                    self._heard = self._heard.partition(b'"""\x04"""')[2]
                    return
        raise TimeoutError(f"no handshake: {self._heard!r}")

    def _frame(self) -> bytes:
        """The next frame: a delimiter right before a brace, up to the same delimiter."""
        while True:
            for delimiter in (b'"""', b"\n"):
                begin = self._heard.find(delimiter + b"{")
                end = self._heard.find(delimiter, begin + len(delimiter)) if begin >= 0 else -1
                if end >= 0:
                    frame = self._heard[begin + len(delimiter) : end]
                    self.logs += self._heard[:begin]
                    self._heard = self._heard[end + len(delimiter) :]
                    body, brace, checksum = frame.rpartition(b"}")
                    if checksum.strip():
                        assert int(checksum.strip(), 16) == zlib.crc32(body + brace), "the checksum is wrong"
                    return body + brace
            if not self._listen(PATIENCE_S):
                raise TimeoutError(f"no frame: {self._heard!r}")

    # -- commands of the tool ---------------------------------------------------------------

    def put(self, name: str, content: bytes) -> None:
        import base64

        for offset in range(0, len(content), PUT_CHUNK):
            piece = base64.b64encode(content[offset : offset + PUT_CHUNK]).decode()
            self.call("FS.Put", {"filename": name, "offset": offset, "append": offset > 0, "data": piece})

    def get(self, name: str) -> bytes:
        import base64

        content, left = b"", 1
        while left:
            piece = self.call("FS.Get", {"filename": name, "len": PUT_CHUNK, "offset": len(content)})
            content += base64.b64decode(piece["data"])
            left = piece["left"]
        return content
