"""The Sys.*, Config.*, FS.* and Wifi.* methods of an emulated Mongoose OS board.

Sources: mongoose-os-libs/rpc-common ``src/mgos_rpc.c``, rpc-service-config
``src/mgos_service_config.c``, rpc-service-fs ``src/mgos_service_filesystem.c``, rpc-service-wifi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.emulator.boards import mongoose_config as config_tree
from hil.emulator.boards.mongoose_config import USER_LEVEL
from hil.emulator.boards.mongoose_log import DEBUG, Origin
from hil.emulator.boards.mongoose_rpc import Args, Method, base64_text
from hil.errors import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.boards.mongoose_config import Config
    from hil.emulator.boards.mongoose_fs import FileSystem
    from hil.emulator.boards.mongoose_log import Console

__all__ = ["config_methods", "fs_methods", "sys_methods", "wifi_methods"]

_FS = Origin("mgos_service_filesystem.c", 136)
_PUT = Origin("mgos_service_filesystem.c", 206)
_REMOVE = Origin("mgos_service_filesystem.c", 250)

CONFIG_REBOOT_MS = 500
"""How long after a saved configuration with ``reboot`` the board restarts."""

MANUAL_RESET = (
    "configuration has been saved but manual device reset is required. For details, see https://goo.gl/Ja5gUv"
)


def sys_methods(
    console: Console,
    info: Callable[[], dict[str, object]],
    restart_after: Callable[[int], None],
    abort: Callable[[], None],
) -> list[Method]:
    """The Sys.* methods.

    Args:
        console: whose level SetDebug changes.
        info: what GetInfo answers.
        restart_after: schedules a restart, in milliseconds.
        abort: crashes the firmware.
    """

    def reboot(args: Args) -> object:
        if args.flag("abort"):
            abort()
        delay_ms = args.integer("delay_ms", 100)
        if delay_ms < 0:
            raise RpcError("Sys.Reboot", 400, "invalid delay value")
        restart_after(delay_ms)
        return None

    def set_debug(args: Args) -> object:
        if args.text("udp_log_addr") is not None:
            raise RpcError("Sys.SetDebug", 501, "MGOS_ENABLE_DEBUG_UDP is not enabled")
        if args.has("level"):
            level = args.integer("level", -2)
            if not -1 <= level <= DEBUG + 1:
                raise RpcError("Sys.SetDebug", 400, "invalid level")
            console.level = level
        raise RpcError("Sys.SetDebug", 0, "")  # the firmware answers success with an error of code 0

    return [
        Method("Sys.Reboot", "{abort: %B, delay_ms: %d}", reboot),
        Method("Sys.GetInfo", "", lambda args: info()),
        Method("Sys.SetDebug", "{udp_log_addr: %Q, level: %d, file_level: %Q}", set_debug),
    ]


def config_methods(
    config: Config, restart_after: Callable[[int], None], strapped_for_loader: Callable[[], bool]
) -> list[Method]:
    """The Config.* methods.

    Args:
        config: the running configuration.
        restart_after: schedules a restart, in milliseconds, once the reply is out.
        strapped_for_loader: a restart now would end in the ROM loader.
    """

    def get(args: Args) -> object:
        key, level = args.text("key") or "", args.integer("level", -1)
        tree = config.level(level) if 0 <= level < USER_LEVEL else config.tree
        value = config_tree.lookup(tree, key)
        if value is None:
            raise RpcError("Config.Get", 404, "invalid config key")
        return value

    def save(method: str, args: Args, level: int, tree: config_tree.Tree) -> object:
        try:
            config.save(tree, level, try_once=args.flag("try_once") and level == USER_LEVEL)
        except OSError as error:
            raise RpcError(method, -1, f"error saving config: {error.strerror}") from error
        if args.flag("reboot"):
            restart_after(CONFIG_REBOOT_MS)
            if strapped_for_loader():
                raise RpcError(method, 418, MANUAL_RESET)
        return {"saved": True}

    def set_(args: Args) -> object:
        method, name = "Config.Set", "config" if args.has("config") else "value"
        level = args.integer("level", -1)
        if not args.has(name):
            raise RpcError(method, 400, "value is required")
        if level == 0:
            raise RpcError(method, 400, "not allowed")
        lower = 0 < level < USER_LEVEL
        before = config.level(level) if lower else config.tree
        try:
            tree = config_tree.apply(before, args.text("key") or "", args.value(name))
        except KeyError as error:
            raise RpcError(method, 404, "invalid config key") from error
        except ValueError as error:
            raise RpcError(method, 400, f"invalid config value: {error}") from error
        if not lower:
            config.tree = tree
        if args.flag("save"):
            return save(method, args, level if lower else USER_LEVEL, tree)
        return {"saved": False}

    return [
        Method("Config.Get", "{key: %Q, level: %d}", get),
        Method(
            "Config.Set",
            "{key: %Q, config: %T, value: %T, level: %d, save: %B, try_once: %B, reboot: %B}",
            set_,
        ),
        Method(
            "Config.Save",
            "{try_once: %B, reboot: %B}",
            lambda args: save("Config.Save", args, USER_LEVEL, config.tree),
        ),
    ]


def fs_methods(fs: FileSystem, console: Console) -> list[Method]:
    """The FS.* methods; the board has one file system and no other device to mount."""

    def name_of(method: str, args: Args, member: str = "filename") -> str:
        name = args.text(member)
        if not name:
            raise RpcError(method, 400, f"{member} is required")
        return name

    def get(args: Args) -> object:
        method = "FS.Get"
        name, offset, length = name_of(method, args), args.integer("offset", 0), args.integer("len", -1)
        if offset < 0:
            raise RpcError(method, 400, "illegal offset")
        try:
            data = fs.read(name)
        except OSError as error:
            raise RpcError(method, 400, f'failed to open file "{name}"') from error
        chunk = data[offset:] if length < 0 else data[offset : offset + length]
        if chunk and offset == 0:
            console.log(_FS, f"Sending {name}")
        return {"data": base64_text(chunk), "left": max(0, len(data) - offset - len(chunk))}

    def put(args: Args) -> object:
        method = "FS.Put"
        name, offset, append = name_of(method, args), args.integer("offset", -1), args.flag("append")
        if offset > 0 and not fs.exists(name):
            raise RpcError(method, 400, f'failed to open file "{name}"')
        if offset <= 0 and not (offset < 0 and append):
            console.log(_PUT, f"Receiving {name}")
        try:
            fs.put(name, args.base64("data"), offset=offset, append=append)
        except OSError as error:
            raise RpcError(method, 500, "failed to write data") from error
        return None

    def remove(args: Args) -> object:
        name = name_of("FS.Remove", args)
        try:
            fs.remove(name)
        except OSError as error:
            console.log(_REMOVE, f"Remove {name} -> -1")
            raise RpcError("FS.Remove", 500, "remove failed") from error
        console.log(_REMOVE, f"Remove {name} -> 0")
        return None

    def rename(args: Args) -> object:
        source, target = name_of("FS.Rename", args, "src"), name_of("FS.Rename", args, "dst")
        try:
            fs.rename(source, target)
        except OSError as error:
            raise RpcError("FS.Rename", 500, "rename failed") from error
        return None

    def no_device(name: str, fmt: str, required: str, failure: str) -> Method:
        def run(args: Args) -> object:
            if any(args.text(member) is None for member in required.split(", ")):
                raise RpcError(name, 400, f"{required} is required")
            raise RpcError(name, 500, failure)

        return Method(name, fmt, run)

    device = "dev_type: %Q, dev_opts: %Q, fs_type: %Q, fs_opts: %Q"
    return [
        Method("FS.List", "{path: %Q}", lambda args: fs.names()),
        Method(
            "FS.ListExt",
            "{path: %Q}",
            lambda args: [{"name": name, "size": len(fs.read(name))} for name in fs.names()],
        ),
        Method("FS.Get", "{filename: %Q, offset: %ld, len: %ld}", get),
        Method("FS.Put", "{filename: %Q, offset: %ld, data: %V, append: %B}", put),
        Method("FS.Remove", "{filename: %Q}", remove),
        Method("FS.Rename", "{src: %Q, dst: %Q}", rename),
        no_device("FS.Mkfs", f"{{{device}}}", "dev_type, fs_type", "mkfs failed"),
        no_device("FS.Mount", f"{{path: %Q, {device}}}", "path, dev_type, fs_type", "mount failed"),
        no_device("FS.Umount", "{path: %Q}", "path", "umount failed"),
    ]


def wifi_methods(config: Config, scan: Callable[[], object], join: Callable[[], None]) -> list[Method]:
    """The Wifi.* methods; settings hold until the next restart unless they are saved.

    Args:
        config: the running configuration.
        scan: looks for networks.
        join: connects to the station's network if one is configured.
    """

    def setup(method: str, section: str, then: Callable[[], None]) -> Callable[[Args], object]:
        def run(args: Args) -> object:
            try:
                config.tree = config_tree.apply(config.tree, f"wifi.{section}", args.value(section))
            except ValueError as error:
                raise RpcError(method, -1, f"{method} failed") from error
            then()
            return None

        return run

    return [
        Method("Wifi.Scan", "", lambda args: scan()),
        Method("Wifi.SetupSTA", "{sta: %T}", setup("Wifi.SetupSTA", "sta", join)),
        Method("Wifi.SetupAP", "{ap: %T}", setup("Wifi.SetupAP", "ap", lambda: None)),
    ]
