"""Flash and file system of an emulated Mongoose OS board.

The flash outlives power cycles: it belongs to the board, not to a boot. As on the real board the
configuration is in it as files (``conf1.json`` … ``conf9.json``), next to certificates and keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import EINVAL, ENOENT, ENOSPC

__all__ = ["FileSystem", "Flash"]

FS_SIZE = {"esp8266": 233_681, "esp32": 233_681}
"""Usable bytes of the 256 KiB SPIFFS partition of a standard build."""


@dataclass
class Flash:
    """What a board keeps without power.

    Attributes:
        files: file name (without a slash) to content.
        strapped_for_loader: the board was flashed and not power-cycled since, so that GPIO0 still
            selects the ROM loader and a reboot would end there (ESP8266 only).
        size: bytes that files may take.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    strapped_for_loader: bool = False
    size: int = FS_SIZE["esp8266"]

    def copy(self) -> Flash:
        """An independent copy, for snapshots."""
        return Flash(dict(self.files), self.strapped_for_loader, self.size)


class FileSystem:
    """The flat file system as firmware sees it; ``/name`` and ``name`` are the same file.

    Failures are ``OSError``, as from the C library; the RPC layer makes error codes of them.
    """

    def __init__(self, flash: Flash) -> None:
        self._flash = flash

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._flash.size

    @property
    def free(self) -> int:
        """Bytes left."""
        return self._flash.size - sum(map(len, self._flash.files.values()))

    def names(self) -> list[str]:
        """File names in the order of creation."""
        return list(self._flash.files)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return _bare(name) in self._flash.files

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        try:
            return self._flash.files[_bare(name)]
        except KeyError:
            raise FileNotFoundError(ENOENT, "no such file", name) from None

    def write(self, name: str, data: bytes) -> None:
        """Replace or create a file.

        Raises:
            OSError: it does not fit, or the name is empty.
        """
        bare = _bare(name)
        if not bare:
            raise OSError(EINVAL, "a file needs a name")
        if len(data) - len(self._flash.files.get(bare, b"")) > self.free:
            raise OSError(ENOSPC, "no room", name)
        self._flash.files[bare] = bytes(data)

    def put(self, name: str, data: bytes, *, offset: int, append: bool) -> None:
        """What ``FS.Put`` does with its chunk.

        ``offset`` 0 starts a new file. A positive one overwrites from there in a file that must
        exist. A negative one appends or starts a new file, as ``append`` says.

        Raises:
            OSError: the file does not exist or the chunk does not fit.
        """
        if offset > 0:
            old = self.read(name)
            if offset + len(data) > self.size:
                raise OSError(ENOSPC, "no room", name)
            old += b"\0" * (offset - len(old))
            self.write(name, old[:offset] + data + old[offset + len(data) :])
        elif offset < 0 and append and self.exists(name):
            self.write(name, self.read(name) + data)
        else:
            self.write(name, data)

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            FileNotFoundError: there is none of that name.
        """
        self.read(name)
        del self._flash.files[_bare(name)]

    def rename(self, old: str, new: str) -> None:
        """Rename a file; an existing ``new`` is replaced.

        Raises:
            OSError: there is no ``old``, or ``new`` is empty.
        """
        data = self.read(old)
        if not _bare(new):
            raise OSError(EINVAL, "a file needs a name")
        self.remove(old)
        self._flash.files[_bare(new)] = data


def _bare(name: str) -> str:
    return name.lstrip("/")
