"""Who may call an emulated Mongoose OS board: digest authentication and access lists.

Without a domain and a password file nobody is asked. A password file has the lines
``user:realm:HA1`` of ``htdigest``. An access list is read from left to right; the first entry that
fits decides: ``+user`` or ``user`` admits, ``-user`` refuses, ``*`` stands for anybody.

Sources: mongoose-os-libs/rpc-common ``src/mg_rpc.c``, ``src/mgos_rpc.c``; mongoose-os
``src/mgos_utils.c`` (``mgos_conf_check_access``); RFC 7616, section 3.4.
"""

from __future__ import annotations

import hashlib
import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import msgspec

from hil.errors import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.clock import Calendar
    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.boards.mongoose_fs import FileSystem
    from hil.wire.http import HttpMessage
    from hil.wire.mgrpc import Request

__all__ = ["Access", "permitted"]

NONCE_S: Final = 3600
"""How long a nonce is good; not documented for the RPC side, a knob of the model."""

_ALGORITHMS: Final = {0: ("MD5", hashlib.md5), 1: ("SHA-256", hashlib.sha256)}
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def permitted(user: str, acl: str) -> bool:
    """Whether an access list admits ``user``; an empty list admits everybody."""
    for entry in filter(None, (part.strip() for part in acl.split(","))):
        if fnmatchcase(user, entry.lstrip("+-")):
            return not entry.startswith("-")
    return not acl


class Access(msgspec.Struct, frozen=True):
    """Checks calls and HTTP requests against the running configuration.

    Attributes:
        config: domains, files, lists.
        fs: where the password files are.
        calendar: nonces are times.
    """

    config: Config
    fs: FileSystem
    calendar: Calendar

    def check_call(self, request: Request) -> None:
        """Admit an RPC call or raise what the firmware answers.

        Raises:
            RpcError: 401 with a challenge, or 403.
        """
        realm, file = self.config.text("rpc.auth_domain"), self.config.text("rpc.auth_file")
        if not realm or not file:
            return
        fields = {name: str(value) for name, value in _object(bytes(request.auth)).items()}
        user = fields.get("username", "")
        nonce = fields.get("nonce", "")
        fresh = nonce.isdecimal() and self._fresh(int(nonce))
        if not fresh or not self._proven("rpc", realm, fields, "1", "dummy_method:dummy_uri"):
            raise RpcError(request.method, 401, self._call_challenge(realm))
        if not permitted(user, self._acl(request.method)):
            raise RpcError(request.method, 403, "unauthorized")

    def challenge(self, message: HttpMessage) -> str | None:
        """The ``WWW-Authenticate`` header that an HTTP request is answered with; None admits it."""
        realm, file = self.config.text("http.auth_domain"), self.config.text("http.auth_file")
        if not realm or not file:
            return None
        found = _FIELD.findall(message.headers.get("authorization", ""))
        fields = {name: quoted or plain for name, quoted, plain in found}
        try:
            fresh = self._fresh(int(fields.get("nonce", ""), 16))
        except ValueError:
            fresh = False
        method, uri = message.request
        same = fields.get("uri") == uri
        if fresh and same and self._proven("http", realm, fields, fields.get("nc", ""), f"{method}:{uri}"):
            return None
        name, _ = self._algorithm("http")
        nonce = f"{int(self.calendar.time()):08x}"
        return f'Digest qop="auth", realm="{realm}", nonce="{nonce}", algorithm={name}'

    def _call_challenge(self, realm: str) -> str:
        name, _ = self._algorithm("rpc")
        fields = {"auth_type": "digest", "nonce": int(self.calendar.time()), "nc": 1}
        return json.dumps({**fields, "realm": realm, "algorithm": name}, separators=(",", ":"))

    def _fresh(self, nonce: int) -> bool:
        return 0 <= self.calendar.time() - nonce + 1 <= NONCE_S

    def _algorithm(self, section: str) -> tuple[str, Callable[[bytes], hashlib._Hash]]:
        return _ALGORITHMS.get(self.config.integer(f"{section}.auth_algo"), _ALGORITHMS[0])

    def _proven(self, section: str, realm: str, fields: Mapping[str, str], nc: str, request: str) -> bool:
        _, algorithm = self._algorithm(section)
        secret = self._secret(self.config.text(f"{section}.auth_file"), fields.get("username", ""), realm)
        if secret is None or fields.get("realm") != realm:
            return False
        what = algorithm(request.encode()).hexdigest()
        text = f"{secret}:{fields.get('nonce')}:{nc}:{fields.get('cnonce')}:auth:{what}"
        return algorithm(text.encode()).hexdigest() == fields.get("response")

    def _secret(self, file: str, user: str, realm: str) -> str | None:
        if not self.fs.exists(file):
            return None
        for line in self.fs.read(file).decode("ascii", "replace").splitlines():
            name, _, rest = line.partition(":")
            domain, _, secret = rest.partition(":")
            if user and (name, domain) == (user, realm):
                return secret.strip()
        return None

    def _acl(self, method: str) -> str:
        """The list for a method: the first entry of ``rpc.acl_file`` that fits, else ``rpc.acl``."""
        file = self.config.text("rpc.acl_file")
        rows = _decoded(self.fs.read(file)) if file and self.fs.exists(file) else []
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and fnmatchcase(method, str(row.get("method", ""))):
                return str(row.get("acl", ""))
        return self.config.text("rpc.acl")


def _object(text: bytes) -> dict[str, object]:
    value = _decoded(text)
    return value if isinstance(value, dict) else {}


def _decoded(text: bytes) -> object:
    try:
        return msgspec.json.decode(text or b"null")
    except (msgspec.MsgspecError, RecursionError):
        return None
