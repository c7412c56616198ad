"""A process that does one irreversible thing and kills itself at a named step: SIGKILL, no exception.

``python -m tests.e2e.guard_child RIG_FILE OPERATION STEP`` does OPERATION on the rig's element. Where the
program reaches STEP for the first time, it prints the step and is gone: no handler runs, nothing is
flushed, every kernel lock falls. STEP ``none`` kills nobody; ``pause`` waits for the end of stdin while
everything is armed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from hil import provision
from hil.element import irreversible, irreversible_state
from hil.element.device import Element
from hil.errors import HilError
from hil.guard.guard import Facts, Guard
from hil.guard.ledger import Ledger
from hil.guard.operations import Operation, classify
from hil.i2c.trace import TracedBus
from hil.rig.oneshot import one_rig
from hil.rig.policy import named_config
from hil.wire.atecc import decode_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.rig.rig import Rig

    Hook = Callable[..., None]

STEPS = (
    "intent-torn", "intent-written", "before-send", "sent", "before-read-back", "before-result",
    "result-torn", "result-written",
)  # fmt: skip
SAMPLE = "mongoose-os-test"


def die(step: str) -> None:
    os.write(1, f"killed: {step}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def pause() -> None:
    os.write(1, b"armed\n")
    sys.stdin.read()


def around(
    owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None
) -> None:
    """Put hooks around a method; they get its arguments."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **keywords: Any) -> Any:
        if before is not None:
            before(*args)
        result = real(*args, **keywords)
        if after is not None:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def is_irreversible(data: bytes) -> bool:
    return len(data) > 7 and data[0] == 3 and classify(decode_command(data[1:])) is not None


def torn_line(kind: str, step: str) -> None:
    """The ledger's line of that kind is cut off in the middle of its write."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if data.startswith(f'{{"kind":"{kind}"'.encode()):
            real(descriptor, data[: len(data) // 2])
            die(step)
        return real(descriptor, data)

    os.write = write  # type: ignore[assignment]


def install(step: str) -> None:
    """Where the process dies."""
    if step == "intent-torn":
        torn_line("intent", step)
    elif step == "intent-written":
        around(Ledger, "intend", None, lambda *_: die(step))
    elif step == "before-send":
        around(Guard, "_pass", None, lambda *_: die(step))
    elif step == "sent":
        around(
            TracedBus, "write", None, lambda bus, address, data: die(step) if is_irreversible(data) else None
        )
    elif step == "before-read-back":
        around(
            Element, "execute", None, lambda element, command, *_: die(step) if classify(command) else None
        )
    elif step == "before-result":
        around(Ledger, "close", lambda *_: die(step), None)
    elif step == "result-torn":
        torn_line("result", step)
    elif step == "result-written":
        around(Ledger, "close", None, lambda *_: die(step))
    elif step == "pause":
        around(Guard, "_pass", lambda *_: pause(), None)


def write_config(rig: Rig) -> None:
    config = named_config(SAMPLE).onto(rig.element.config)
    permit = rig.guard.permit(Operation.WRITE_CONFIG, facts(rig, config=config.to_bytes()))
    irreversible.write_config(rig.element, config, permit)


def lock_config(rig: Rig) -> None:
    config = named_config(SAMPLE).onto(rig.element.config)
    permit = rig.guard.permit(Operation.LOCK_CONFIG, facts(rig, config=config.to_bytes()))
    irreversible.lock_config(rig.element, config, permit)


def lock_data(rig: Rig) -> None:
    config = rig.element.config
    contents = provision.Contents.zeros(config)
    about = facts(rig, config=config.to_bytes(), data=contents.covered())
    permit = rig.guard.permit(Operation.LOCK_DATA, about)
    irreversible.lock_data(rig.element, contents.slots, contents.otp, permit)


def write_contents(rig: Rig) -> None:
    provision.write_contents(rig.element, rig.guard, provision.Contents.zeros(rig.element.config))


def lock_slot(rig: Rig) -> None:
    about = facts(rig, slot=10, config=rig.element.read_config())
    irreversible.lock_slot(rig.element, 10, rig.guard.permit(Operation.LOCK_SLOT, about))


def generate_key(rig: Rig) -> None:
    irreversible.generate_key(rig.element, 0, rig.guard.permit(Operation.GENERATE_KEY, facts(rig, slot=0)))


def write_slot(rig: Rig) -> None:
    permit = rig.guard.permit(Operation.WRITE_SLOT, facts(rig, slot=8))
    irreversible.write_slot(rig.element, 8, b"\xa5" * 32, permit)


def count(rig: Rig) -> None:
    irreversible_state.increment_counter(rig.element, 0, rig.guard.permit(Operation.COUNTER, facts(rig)))


def update_extra(rig: Rig) -> None:
    permit = rig.guard.permit(Operation.UPDATE_EXTRA, facts(rig))
    irreversible_state.update_extra(rig.element, 0x42, permit)


def facts(rig: Rig, **about: Any) -> Facts:
    return Facts(rig.element.serial_number().hex(), **about)


ACTS: dict[str, Callable[[Rig], None]] = {
    "write-config": write_config,
    "lock-config": lock_config,
    "lock-data": lock_data,
    "lock-slot": lock_slot,
    "generate-key": generate_key,
    "write-slot": write_slot,
    "counter": count,
    "update-extra": update_extra,
}

PREPARATIONS = {"write-contents": write_contents}


def main(path: str, operation: str, step: str) -> int:
    with one_rig(path, allow_irreversible=frozenset(os.environ.get("TEST_SERIALS", "").split())) as rig:
        rig.need_start()
        install(step)
        try:
            (ACTS | PREPARATIONS)[operation](rig)
        except HilError as error:
            print(f"refused: {error}", flush=True)
            return 1
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
