"""``hil emulate``: serve an emulated rig to outside programs in real time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from hil import rigfile
from hil.clock import Calendar
from hil.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("rig")
@click.option(
    "--board-pty", type=click.Path(path_type=Path), help="Link of this name to the board's console."
)
@click.option(
    "--board-rfc2217",
    metavar="HOST:PORT",
    help="Network port of the console with DTR and RTS, so that esptool can reset the board; port 0: any.",
)
@click.option(
    "--relay-pty",
    type=click.Path(path_type=Path),
    help="Link of this name to the relay; whoever opens it switches the power, which is off at first.",
)
@click.option(
    "--boot-button", is_flag=True, help="Hold the board's BOOT button: it starts in its ROM loader."
)
@click.option("--i2c-socket", type=click.Path(path_type=Path), help="Unix socket of the I2C bus.")
@click.option(
    "--i2c-hz",
    type=click.IntRange(1_000, 1_000_000),
    default=100_000,
    show_default=True,
    help="Its bus speed.",
)
@click.option(
    "--mqtt-listen",
    metavar="ADDRESS[:PORT]",
    default="127.0.0.1:0",
    show_default=True,
    help="Where the MQTT endpoint listens; an address of your network lets physical boards in.",
)
@click.option(
    "--mqtt-name",
    "mqtt_names",
    multiple=True,
    metavar="NAME",
    help="Name under which clients find this computer; repeatable.",
)
@click.option(
    "--refusal",
    type=click.Choice(["close", "connack", "handshake"]),
    default="close",
    show_default=True,
    help="How a device that is not wanted learns it; `close` is AWS's way.",
)
@click.option(
    "--board-port",
    "board_ports",
    multiple=True,
    type=click.IntRange(1, 65_535),
    help="Forward a TCP port of the board (443 for its HTTPS) to loopback; repeatable.",
)
@click.option(
    "--reach",
    multiple=True,
    metavar="HOST:PORT",
    help="Let the board reach this server of the computer's network; repeatable.",
)
@click.option("--allow-aws", metavar="ACCOUNT", help="The real account that the rig file names.")
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Give the rig a fault; repeatable.")
def command(
    rig: str,
    board_pty: Path | None,
    board_rfc2217: str | None,
    relay_pty: Path | None,
    boot_button: bool,
    i2c_socket: Path | None,
    i2c_hz: int,
    mqtt_listen: str,
    mqtt_names: tuple[str, ...],
    refusal: Literal["close", "connack", "handshake"],
    board_ports: tuple[int, ...],
    reach: tuple[str, ...],
    allow_aws: str | None,
    faults: tuple[str, ...],
) -> None:
    """Serve RIG until SIGTERM: console, I2C bus, MQTT endpoint and AWS control plane.

    Prints one line of JSON with every address when it is ready. Power is on, unless --relay-pty leaves it
    to the client. When the MQTT endpoint
    listens to the network, a recipe for the configuration of a physical board follows on stderr. The
    control plane asks no credentials and stays on loopback.

    I2C socket: request = 'W' or 'R', 7-bit address, length u16 little-endian, then for W the bytes;
    reply = 0 acknowledged or 1 not, then for an acknowledged R the bytes. Each request is one
    START … STOP transaction.
    """
    from hil.emulator.faults import check_faults
    from hil.serve import Fronts, MqttFront, serve

    file = rigfile.load_rig(rig)
    check_faults(faults, (file,))
    host, port = _address("--mqtt-listen", mqtt_listen)
    fronts = Fronts(
        board_pty,
        i2c_socket,
        i2c_hz,
        MqttFront(host, port, mqtt_names, refusal),
        board_ports,
        board_rfc2217=None if board_rfc2217 is None else _address("--board-rfc2217", board_rfc2217),
        relay_pty=relay_pty,
        boot_button=boot_button,
        reach=tuple(_address("--reach", one) for one in reach),
    )
    with serve(file, fronts, faults=faults, calendar=Calendar(), allow_aws=allow_aws) as served:
        click.echo(json.dumps(served.addresses))
        if served.recipe:
            click.echo(served.recipe, err=True)
        served.run()


def _address(option: str, text: str) -> tuple[str, int]:
    """Host and port of ``ADDRESS[:PORT]``; an IPv6 address with a port stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or (host.count(":") and not host.endswith("]")):
        host, port = text, "0"
    if not port.isdecimal() or int(port) > 0xFFFF:
        raise UsageError(
            f"{option}: {text!r} is no ADDRESS[:PORT]", hint="for example 127.0.0.1:0 or 192.168.1.10:8883"
        )
    return host.strip("[]"), int(port)
