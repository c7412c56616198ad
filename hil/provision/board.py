"""The board's part of a plan: the certificate's file, Wi-Fi, HTTPS and MQTT settings.

All of it can be undone.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.provision.plan import read_bytes
from hil.provision.steps import Step
from hil.rig.network import station
from hil.wire.redact import MASK, SECRET_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hil.provision.steps import Bench
    from hil.rig.rig import Rig

__all__ = ["QUIET_FILE", "board_steps", "left_quiet", "quiet", "settings_of"]

ROOTS_FILE = "ca.pem"
QUIET_FILE = "hil-mqtt-off.txt"


def board_steps(rig: Rig) -> tuple[Step, ...]:
    """The steps for the board of a rig; none if it does not run Mongoose OS."""
    if rig.file.board.kind != "mongoose-os":
        return ()
    return (
        Step(
            "files on the board",
            lambda bench: _files_missing(rig, bench),
            lambda bench: _put_files(rig, bench),
        ),
        Step(
            "settings of the board",
            lambda bench: _settings_missing(rig, bench),
            lambda bench: rig.configure(_tree(settings_of(rig, bench))),
        ),
    )


@contextmanager
def quiet(rig: Rig) -> Iterator[None]:
    """Meanwhile the firmware leaves the element alone.

    Its MQTT client signs with it whenever it connects, on the same bus: a packet of ours in between would
    be lost, and of a write nobody knows then whether it took effect. A file on the board says so meanwhile:
    if this process is killed, the next one switches the client on again.
    """
    left = left_quiet(rig)
    if rig.file.board.kind != "mongoose-os" or not (left or _connects(rig)):
        yield
        return
    if not left:
        rig.booted_board().fs_put(QUIET_FILE, b"hil provision was at work: mqtt.enable was true\n")
        rig.configure({"mqtt": {"enable": False}})
    try:
        yield
    finally:
        rig.configure({"mqtt": {"enable": True}})
        rig.booted_board().fs_remove(QUIET_FILE)


def left_quiet(rig: Rig) -> bool:
    """Whether a process was killed within :func:`quiet`, so that the board's MQTT client is still off."""
    return rig.file.board.kind == "mongoose-os" and QUIET_FILE in rig.booted_board().fs_list()


def _connects(rig: Rig) -> bool:
    return _at(rig.booted_board().config_get(), "mqtt.enable") is True


def settings_of(rig: Rig, bench: Bench) -> dict[str, object]:
    """The firmware's configuration keys that the plan sets, dotted; a password may be among them."""
    plan = bench.plan
    key = f"ATCA:{plan.key.slot}"
    settings: dict[str, object] = {}
    if plan.https is not None or plan.mqtt is not None:
        settings["sys.atca.enable"] = True
        if plan.wifi and (rig.emulated is not None or rig.file.wifi is not None):
            settings |= {f"wifi.sta.{name}": value for name, value in station(rig.file).items()}
    if plan.https is not None:
        settings |= {
            "http.enable": True,
            "http.listen_addr": plan.https.listen,
            "http.ssl_cert": plan.upload,
            "http.ssl_key": key,
        }
    if plan.mqtt is not None:
        settings |= {
            "mqtt.enable": True,
            "mqtt.server": plan.mqtt.server,
            "mqtt.ssl_ca_cert": ROOTS_FILE,
            "mqtt.ssl_cert": plan.upload,
            "mqtt.ssl_key": key,
        }
        if plan.mqtt.client_id is not None:
            settings["mqtt.client_id"] = plan.mqtt.client_id
    return settings


def _files(bench: Bench) -> dict[str, bytes]:
    files = {}
    if bench.plan.upload is not None:
        files[bench.plan.upload] = bench.identity.certificate
    if bench.plan.mqtt is not None:
        files[ROOTS_FILE] = read_bytes(bench.plan.path(bench.plan.mqtt.roots, ""), "the roots")
    return files


def _files_missing(rig: Rig, bench: Bench) -> str | None:
    board = rig.booted_board()
    there = set(board.fs_list())
    wrong = [
        name for name, content in _files(bench).items() if name not in there or board.fs_get(name) != content
    ]
    return None if not wrong else f"upload {', '.join(wrong)}"


def _put_files(rig: Rig, bench: Bench) -> None:
    for name, content in _files(bench).items():
        rig.booted_board().fs_put(name, content)


def _settings_missing(rig: Rig, bench: Bench) -> str | None:
    found = rig.booted_board().config_get()
    wrong = [
        f"{key}={MASK if key.rpartition('.')[2] in SECRET_NAMES else _shown(value)}"
        for key, value in settings_of(rig, bench).items()
        if _at(found, key) != value
    ]
    return None if not wrong else ", ".join(wrong)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(tree: object, key: str) -> object:
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _tree(settings: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys as the nested object that Config.Set takes."""
    tree: dict[str, object] = {}
    for key, value in settings.items():
        node = tree
        *path, last = key.split(".")
        for name in path:
            inner = node.setdefault(name, {})
            assert isinstance(inner, dict), "a key is a section or a value, not both"
            node = inner
        node[last] = value
    return tree
