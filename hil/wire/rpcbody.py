"""JSON bodies of mg_rpc frames: requests, replies, and their values.

Source: mongoose-os/mos ``common/mgrpc/frame/frame.go``.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from hil.errors import FrameError

__all__ = [
    "ErrorObject",
    "Id",
    "Request",
    "Response",
    "decode_request",
    "decode_response",
    "decode_value",
    "encode_error",
    "encode_request",
    "encode_result",
]

Id = int | str
T = TypeVar("T")
_ABSENT = msgspec.Raw(b"")


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request frame (``common/mgrpc/frame/frame.go``); without ``id`` a notification.

    ``params`` stays JSON text until :func:`decode_value`; ``args`` is its old name.
    """

    src: str = ""
    dst: str = ""
    id: Id | None = None
    method: str = ""
    params: msgspec.Raw = _ABSENT
    args: msgspec.Raw = _ABSENT
    tag: str = ""
    key: str = ""
    auth: msgspec.Raw = _ABSENT

    @property
    def arguments(self) -> bytes:
        """The parameters as JSON text, ``{}`` if there were none."""
        return bytes(self.params) or bytes(self.args) or b"{}"


class ErrorObject(msgspec.Struct, frozen=True):
    """The ``error`` member of a reply."""

    code: int = 0
    message: str = ""


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reply frame: ``error``, or else ``result`` as JSON text (empty means null)."""

    id: Id | None = None
    src: str = ""
    dst: str = ""
    tag: str = ""
    result: msgspec.Raw = _ABSENT
    error: ErrorObject | None = None


_REQUEST = msgspec.json.Decoder(Request)
_RESPONSE = msgspec.json.Decoder(Response)
_ENCODER = msgspec.json.Encoder()


def encode_request(
    request_id: Id,
    method: str,
    params: object = None,
    *,
    src: str = "hil",
    auth: object = None,
) -> bytes:
    """JSON of a request, without spaces; ``params`` None is left out."""
    return _ENCODER.encode(
        Request(
            src=src,
            id=request_id,
            method=method,
            params=_ABSENT if params is None else msgspec.Raw(_ENCODER.encode(params)),
            auth=_ABSENT if auth is None else msgspec.Raw(_ENCODER.encode(auth)),
        )
    )


def encode_result(request: Request, result: object = None, *, src: str) -> bytes:
    """JSON of a successful reply to ``request``; a missing payload is ``"result":null``."""
    return _ENCODER.encode(
        Response(
            id=request.id,
            src=src,
            dst=request.src,
            tag=request.tag,
            result=msgspec.Raw(_ENCODER.encode(result)),
        )
    )


def encode_error(request: Request, code: int, message: str, *, src: str) -> bytes:
    """JSON of an error reply to ``request``."""
    error = ErrorObject(code, message)
    return _ENCODER.encode(Response(id=request.id, src=src, dst=request.src, tag=request.tag, error=error))


def decode_request(json: bytes) -> Request:
    """Read a request.

    Raises:
        FrameError: not a JSON object with the fields of a request.
    """
    return _decode(_REQUEST, json, "request")


def decode_response(json: bytes) -> Response:
    """Read a reply.

    Raises:
        FrameError: not a JSON object with the fields of a reply.
    """
    return _decode(_RESPONSE, json, "reply")


def decode_value(json: bytes, as_type: type[T], what: str = "value") -> T:
    """Read parameters or a result into ``as_type`` (a struct, ``dict``, ``list[int]`` …).

    Raises:
        FrameError: the JSON does not have that shape.
    """
    try:
        return msgspec.json.decode(json, type=as_type)
    except msgspec.MsgspecError as error:
        raise FrameError(f"{what} has another shape than expected: {error}") from error


def _decode(decoder: msgspec.json.Decoder[T], json: bytes, what: str) -> T:
    try:
        return decoder.decode(json)
    except msgspec.MsgspecError as error:
        raise FrameError(f"not an RPC {what}: {error}") from error
