from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import FrameError
from hil.wire import devantech, kmtronic, modbus, numato
from hil.wire.relays import LcusReceiver, StatusRequest, Switch

# -- Numato -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "channels", "name"),
    [(1, 8, "0"), (10, 16, "9"), (11, 16, "A"), (32, 32, "V"), (1, 64, "00"), (64, 64, "63")],
)
def test_numato_names_its_outputs_by_the_size_of_the_board(channel: int, channels: int, name: str) -> None:
    assert numato.index(channel, channels) == name
    command = numato.switch_command(channel, True, channels)
    assert command == f"relay on {name}\r".encode()
    assert numato.NumatoReceiver(channels).feed(command) == [Switch(channel, True)]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"relay read 0\n\ron\n\r>", True),
        (b"relay read 0\r\n\roff\n\r>", False),
        (b"relay on 0\n\r>", None),
        (b"", None),
    ],
)
def test_numato_answers_are_read(answer: bytes, state: bool | None) -> None:
    assert numato.parse_state(answer) is state


@pytest.mark.parametrize("line", [b"", b"relay on 8", b"relay on 00", b"relay toggle 1", b"ver"])
def test_numato_lines_that_are_no_command_of_the_board_give_a_prompt_only(line: bytes) -> None:
    assert numato.NumatoReceiver(8).feed(line + b"\r\n") == [None]


# -- KMTronic -----------------------------------------------------------------------------------


def test_kmtronic_commands() -> None:
    assert kmtronic.switch_command(2, True).hex() == "ff0201"
    assert kmtronic.status_command(1, 2).hex() == "ff0103"
    assert kmtronic.status_command(1, 8).hex() == "ff0900"
    assert kmtronic.KmtronicReceiver(8).feed(bytes.fromhex("00ff0201ff0900")) == [
        Switch(2, True),
        StatusRequest(0),
    ]
    assert kmtronic.KmtronicReceiver(2).feed(bytes.fromhex("ff0103")) == [StatusRequest(1)]
    assert kmtronic.KmtronicReceiver(1).feed(bytes.fromhex("ff0201ff0900ff0105")) == []


@pytest.mark.parametrize(
    ("answer", "channel", "channels", "state"),
    [
        ("ff0101", 1, 1, True),
        ("ff0200", 2, 2, False),
        ("ff0201", 1, 2, None),
        ("00010000", 2, 4, True),
        ("000100", 2, 4, None),
        ("00050000", 2, 4, None),
        ("", 1, 1, None),
    ],
)
def test_kmtronic_states(answer: str, channel: int, channels: int, state: bool | None) -> None:
    assert kmtronic.parse_status(bytes.fromhex(answer), channel, channels) is state


# -- Devantech ----------------------------------------------------------------------------------


def test_devantech_commands() -> None:
    assert devantech.switch_command(1, True) == b"\x65"
    assert devantech.switch_command(8, True) == b"\x6c"
    assert devantech.switch_command(8, False) == b"\x76"
    assert devantech.parse_command(0x64) == Switch(0, True)
    assert devantech.parse_command(0x6E) == Switch(0, False)
    assert devantech.parse_command(0x5B) == StatusRequest()
    assert devantech.parse_command(0x20) is None


@given(st.lists(st.booleans(), min_size=8, max_size=8))
def test_devantech_states_come_back(states: list[bool]) -> None:
    answer = devantech.encode_states(states)
    assert [devantech.parse_states(answer, n) for n in range(1, 9)] == states
    assert devantech.parse_states(b"", 1) is None


# -- Modbus -------------------------------------------------------------------------------------


def test_modbus_requests_are_the_well_known_ones() -> None:
    assert modbus.write_coil(1, 0, True).hex() == "01050000ff008c3a"
    assert modbus.write_coil(1, 0, False).hex() == "010500000000cdca"
    assert modbus.read_coil(1, 0).hex() == "010100000001fdca"


def test_modbus_requests_are_found_behind_noise() -> None:
    raw = modbus.write_coil(1, 3, True)
    [request] = modbus.ModbusReceiver().feed(b"\x01\x05" + raw + raw[:5])
    assert (request.address, request.function, request.coil, request.writes) == (1, 5, 3, True)
    assert request.raw == raw


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_modbus_coil_states_come_back(states: list[bool]) -> None:
    reply = modbus.encode_coils(7, states)
    assert modbus.reply_length(reply) == len(reply)
    body = modbus.take_reply(reply, 7, modbus.READ_COILS)
    assert modbus.coil_state(body) is states[0]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "checksum"),
        (modbus.write_coil(1, 0, True)[:-1] + b"\0", "checksum"),
        (modbus.write_coil(2, 0, True), "not board 1's"),
        (modbus.encode_coils(1, [True]), "function 5"),
        (modbus.encode_exception(1, 5, 2), "illegal data address"),
    ],
)
def test_modbus_replies_that_are_wrong_say_how(reply: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        modbus.take_reply(reply, 1, modbus.WRITE_COIL)


# -- all ----------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_no_bytes_break_a_receiver_or_switch_what_the_board_does_not_have(pieces: list[bytes]) -> None:
    receivers = (
        LcusReceiver(),
        numato.NumatoReceiver(4),
        kmtronic.KmtronicReceiver(4),
        modbus.ModbusReceiver(),
    )
    for piece in pieces:
        for receiver in receivers:
            for event in receiver.feed(piece):
                if isinstance(event, Switch) and not isinstance(receiver, LcusReceiver):
                    assert 1 <= event.channel <= 4
