"""An mg_rpc exchange, byte for byte: what mos 2.20 writes, and what the firmware answers to it.

``tests/golden/mgrpc-exchange.txt`` holds one. Handshake and first request are captured bytes of the tool,
the other requests are formed like it; the answers are the emulated firmware's. Any change of a byte in
either direction shows here. Written anew by ``python -m tests.unit.test_mgrpc_golden`` after a change that
is meant.
"""

from __future__ import annotations

import zlib
from base64 import b64decode
from pathlib import Path

from hil.clock import World
from hil.wire.mgrpc import HANDSHAKE, ClientReceiver, Frame, Handshake, decode_response
from tests.unit.firmware_bench import SERIAL, bench

GOLDEN = Path(__file__).parents[1] / "golden" / "mgrpc-exchange.txt"
CHUNK, PAUSE_US, ANSWER_US = 16, 5_000, 300_000
CAPTURED = b'{"src":"mos","id":2067129483117,"method":"I2C.Scan"}'
REQUESTS = (
    CAPTURED,
    b'{"src":"mos","id":1099511627777,"method":"RPC.Ping"}',
    b'{"src":"mos","id":1099511627778,"method":"ATCA.GetConfig"}',
    b'{"src":"mos","id":1099511627779,"method":"Config.Get","params":{"key":"i2c"}}',
    b'{"src":"mos","id":1099511627780,"method":"I2C.Read","params":{"bus":0,"addr":17,"len":4}}',
    b'{"src":"mos","id":1099511627781,"method":"FS.Put","params":{"filename":"a","data":"aGVsbG8="}}',
    b'{"src":"mos","id":1099511627782,"method":"FS.Get","params":{"filename":"a","len":512,"offset":0}}',
    b'{"src":"mos","id":1099511627783,"method":"No.Such"}',
    b'{"src":"mos","method":"RPC.Ping"}',
)
"""One for each kind of answer: a list, an object, base64, null, two errors, and none at all."""


def written(request: bytes) -> list[bytes]:
    """What the tool writes for a request, in its pieces."""
    frame = b'\n"""%s%08x"""\n' % (request, zlib.crc32(request))
    return [b'"""', *(frame[at : at + CHUNK] for at in range(0, len(frame), CHUNK))]


def exchange() -> list[str]:
    """Lines of the golden file: ``>`` to the board, ``<`` from it, in hex and as text."""
    rows = []
    with World() as world:
        board = bench(world)
        board.on()
        board.uart.received.clear()
        for request in REQUESTS:
            for pieces in ([HANDSHAKE], written(request)):
                for piece in pieces:
                    board.uart.host_write(piece)
                    world.run_for(PAUSE_US)
                world.run_for(ANSWER_US)
                answer = bytes(board.uart.received)
                board.uart.received.clear()
                rows += [f"> {piece.hex()}  {piece!r}" for piece in pieces]
                rows += [f"< {answer.hex()}  {answer!r}"] if answer else ["< nothing"]
    return rows


def test_every_byte_is_as_it_was() -> None:
    assert exchange() == GOLDEN.read_text(encoding="utf-8").splitlines()


def test_the_client_reads_the_golden_answers() -> None:
    receiver, replies, handshakes = ClientReceiver(), {}, 0
    for row in GOLDEN.read_text(encoding="utf-8").splitlines():
        way, octets = row.split()[:2]
        if way == "<" and octets != "nothing":
            for event in receiver.feed(bytes.fromhex(octets)):
                if isinstance(event, Frame):
                    reply = decode_response(event.json)
                    replies[reply.id] = reply
                elif isinstance(event, Handshake):
                    handshakes += 1
    assert handshakes == len(REQUESTS)
    assert bytes(replies[2067129483117].result) == b"[96]"
    config = bytes(replies[1099511627778].result)
    assert SERIAL[:4].hex() == b64decode(config.split(b'"')[3])[:4].hex()
    codes = {number: reply.error.code for number, reply in replies.items() if reply.error is not None}
    assert codes == {1099511627780: 503, 1099511627783: 404}
    assert len(replies) == len(REQUESTS) - 1, "a notification has no answer"


def test_the_captured_request_is_written_as_it_was_captured() -> None:
    assert b"".join(written(CAPTURED)) == b'"""\n"""' + CAPTURED + b'e98ce17e"""\n'


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(exchange()) + "\n", encoding="utf-8")
