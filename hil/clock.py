"""Time: the clock every wait goes through, and the world that emulated parts live in.

A :class:`World` is one heap of events in integer microseconds, in one thread, advanced by
whoever waits. Firmware and drivers are plain synchronous code. A firmware task has a stack
of its own (a :class:`Fiber`) and gives way wherever it waits. The same three verbs serve both
sides: ``spend`` (time that something takes), ``sleep`` and ``wait``. In a task they give way;
in the caller they run the world.

Rules that everything else relies on:

* Equal times run in the order they were scheduled.
* An event is a short callback and may not wait.
* Whatever the caller can see arrives through an event, never by a task writing into the
  caller's buffer: only then is the fast path of ``spend`` exact.
* ``Halted`` is thrown into a task when its power goes; it is a ``BaseException`` so that
  firmware's ``except Exception`` cannot swallow it, and it is raised again at each further step.
* A world belongs to one thread and must be closed.

This module is the only place of the project that reads or sleeps on the computer's clock.
"""

from __future__ import annotations

import heapq
import selectors
import threading
import time
from collections import Counter
from contextvars import copy_context
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol

import greenlet

from hil.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = [
    "Calendar",
    "Clock",
    "Event",
    "Fiber",
    "FiberLike",
    "Halted",
    "Signal",
    "Task",
    "WallClock",
    "World",
    "wall_us",
]

MAX_EVENTS_PER_INSTANT = 10_000


def wall_us() -> int:
    """The computer's monotonic clock in microseconds."""
    return time.monotonic_ns() // 1000


class Clock(Protocol):
    """What drivers and measurements see of time; all figures are microseconds."""

    @property
    def now(self) -> int:
        """Microseconds since an arbitrary origin."""
        ...

    @property
    def kind(self) -> Literal["virtual", "wall"]:
        """Which time this is; every measurement carries it."""
        ...

    account: Counter[str]

    def spend(self, category: str, us: int) -> None:
        """Let ``us`` microseconds pass for something that is booked under ``category``."""
        ...

    def sleep(self, us: int) -> None:
        """Let ``us`` microseconds pass."""
        ...


class WallClock:
    """The clock of a physical rig: ``sleep`` sleeps, ``spend`` only books."""

    kind: Literal["virtual", "wall"] = "wall"

    def __init__(self) -> None:
        self.account: Counter[str] = Counter()

    @property
    def now(self) -> int:
        """Microseconds of the computer's monotonic clock."""
        return wall_us()

    def spend(self, category: str, us: int) -> None:
        """Book time that the hardware takes by itself."""
        self.account[category] += us

    def sleep(self, us: int) -> None:
        """Sleep; returns at once for ``us <= 0``."""
        if us > 0:
            time.sleep(us / 1e6)


class Calendar:
    """Date and time for certificates and records; never mixed with a :class:`Clock`.

    Args:
        fixed: seconds since the epoch to report for ever, or None for the computer's calendar.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed

    def time(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return time.time() if self._fixed is None else self._fixed


class Halted(BaseException):
    """Thrown into a task whose power went away; never to be caught."""


class FiberLike(Protocol):
    """A second stack: ``resume`` runs it until it pauses or ends, ``pause`` gives way."""

    @property
    def alive(self) -> bool: ...  # noqa: D102
    def resume(self, exc: BaseException | None = None) -> None: ...  # noqa: D102
    def pause(self) -> None: ...  # noqa: D102


class Fiber:
    """A stack of its own for a firmware task; the only code that knows greenlet.

    An exception that ends the fiber surfaces in ``resume`` with both tracebacks.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._greenlet = greenlet.greenlet(run)
        self._greenlet.gr_context = copy_context()

    @property
    def alive(self) -> bool:
        """False once the function returned."""
        return not self._greenlet.dead

    def resume(self, exc: BaseException | None = None) -> None:
        """Run until the next pause or the end; throw ``exc`` at the pause if given."""
        self._greenlet.parent = greenlet.getcurrent()
        if exc is None:
            self._greenlet.switch()
        else:
            self._greenlet.throw(exc)

    def pause(self) -> None:
        """Give way to whoever resumed; called on the fiber's own stack."""
        parent = self._greenlet.parent
        assert parent is not None, "a running fiber has a parent"
        parent.switch()


class Event:
    """A callback due at a time; ``cancel`` keeps it from running."""

    __slots__ = ("cancelled", "due", "fn", "what")

    def __init__(self, due: int, fn: Callable[[], None], what: str) -> None:
        self.due = due
        self.fn = fn
        self.what = what
        self.cancelled = False

    def cancel(self) -> None:
        """Keep the callback from running; harmless afterwards."""
        self.cancelled = True


class Signal:
    """Something to wait for. ``set`` wakes those who wait at that moment, through an event.

    It is a pulse, not a state: use it as ``while not condition: world.wait(signal, deadline)``.
    """

    __slots__ = ("_pulses", "_waiting", "_world", "what")

    def __init__(self, world: World, what: str = "signal") -> None:
        self._world = world
        self._waiting: list[Task] = []
        self._pulses = 0
        self.what = what

    def set(self) -> None:
        """Wake every waiting task, in the order they began to wait."""
        self._pulses += 1
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task._signalled = True
            if task._wake is not None:
                task._wake.cancel()
            task._wake = self._world.at(self._world.now, task._resume, f"{task.name}: {self.what}")


class Task:
    """Synchronous code on a stack of its own; made by :meth:`World.spawn`."""

    def __init__(self, world: World, fn: Callable[[], None], name: str) -> None:
        self._world = world
        self._fn = fn
        self.name = name
        self.halted: str | None = None
        self._signalled = False
        self._started = False
        self._wake: Event | None = None
        self._waits_on: Signal | None = None
        self._waits_for = "start"
        self._fiber = world._make_fiber(self._run)

    @property
    def alive(self) -> bool:
        """True until the function has returned or the halt has unwound it."""
        return self._fiber.alive

    def _run(self) -> None:
        try:
            if self.halted is None:
                self._fn()
        except Halted:
            if self.halted is None:
                raise

    def _resume(self, exc: BaseException | None = None) -> None:
        world = self._world
        if not self._fiber.alive:
            return
        outer, world._running = world._running, self
        self._wake = None
        if not self._started:
            self._started, exc = True, None  # a halt before the start: _run sees it
        try:
            self._fiber.resume(exc)
        except BaseException as error:
            world._broken = error
            raise
        finally:
            world._running = outer
            if not self._fiber.alive:
                world._tasks.pop(self, None)

    def _pause(self, waits_for: str) -> None:
        self._waits_for = waits_for
        self._fiber.pause()
        self.check()

    def check(self) -> None:
        """Raise :class:`Halted` if the task has been halted."""
        if self.halted is not None:
            raise Halted(self.halted)

    def halt(self, why: str) -> None:
        """Throw :class:`Halted` into the task at this very microsecond.

        From an event or the caller the task has unwound when this returns; from another task
        it unwinds in the next event.
        """
        if self.halted is not None or not self.alive:
            return
        self.halted = why
        world = self._world
        if world._running is self:
            raise Halted(why)
        if self._wake is not None:
            self._wake.cancel()
        if self._waits_on is not None and self in self._waits_on._waiting:
            self._waits_on._waiting.remove(self)
        if world._running is None:
            self._resume(Halted(why))
        else:
            world.at(world.now, lambda: self._resume(Halted(why)), f"{self.name}: halt")


class World:
    """One heap of events, one thread, integer microseconds: the clock of an emulated rig.

    Args:
        fast_path: let ``spend`` move the clock without a switch when nothing can observe it.
        fiber: makes the stack of a task; replaced in tests only.
        paced: keep to the computer's clock (``now`` never runs ahead of it), for outside programs.
    """

    def __init__(
        self,
        *,
        fast_path: bool = True,
        fiber: Callable[[Callable[[], None]], FiberLike] = Fiber,
        paced: bool = False,
    ) -> None:
        self.now = 0
        """Microseconds since the world began; only the world moves it."""
        self.account: Counter[str] = Counter()
        self.trace: Callable[[int, str], None] | None = None
        """Called with ``(now, what)`` for every event that runs."""
        self._fast_path = fast_path
        self._make_fiber = fiber
        self._heap: list[tuple[int, int, Event]] = []
        self._seq = count()
        self._tasks: dict[Task, None] = {}
        self._running: Task | None = None
        self._in_event: str | None = None
        self._horizon: int | None = None
        self._owner = threading.get_ident()
        self._broken: BaseException | None = None
        self._closed = False
        self._instant = -1
        self._at_instant = 0
        self._selector: selectors.BaseSelector | None = None
        self._epoch: int | None = wall_us() if paced else None

    # -- what everyone sees ---------------------------------------------------------------

    @property
    def kind(self) -> Literal["virtual", "wall"]:
        """``virtual``, or ``wall`` for a paced world."""
        return "virtual" if self._epoch is None else "wall"

    def at(self, due: int, fn: Callable[[], None], what: str) -> Event:
        """Run ``fn`` at ``due`` (not before now); it may not wait."""
        event = Event(max(due, self.now), fn, what)
        heapq.heappush(self._heap, (event.due, next(self._seq), event))
        return event

    def after(self, us: int, fn: Callable[[], None], what: str) -> Event:
        """Run ``fn`` in ``us`` microseconds."""
        return self.at(self.now + us, fn, what)

    def spawn(self, fn: Callable[[], None], name: str) -> Task:
        """Start ``fn`` as a task; it begins in an event at the present time."""
        self._usable()
        task = Task(self, fn, name)
        self._tasks[task] = None
        task._wake = self.at(self.now, task._resume, f"{name}: start")
        return task

    def signal(self, what: str = "signal") -> Signal:
        """Make a signal that tasks and the caller can wait for."""
        return Signal(self, what)

    @property
    def running(self) -> Task | None:
        """The task whose code is running, or None in the caller and in events."""
        return self._running

    # -- the three verbs ------------------------------------------------------------------

    def spend(self, category: str, us: int) -> None:
        """Let ``us`` microseconds pass, booked under ``category``."""
        if us < 0:
            raise WorldError(f"cannot spend {us} us of {category}")
        self.account[category] += us
        target, task, heap, horizon = self.now + us, self._running, self._heap, self._horizon
        unseen = (
            self._fast_path
            and not (heap and heap[0][0] <= target)
            and (horizon is None or target < horizon)
            and (self._epoch is None or target <= wall_us() - self._epoch)
        )
        if task is None:
            if unseen and self._in_event is None and self._is_usable:
                self.now = target
            else:
                self.run_until(lambda: False, target)
        elif unseen and task.halted is None:
            self.now = target  # nobody could tell the difference: no need to give way
        else:
            task.check()
            task._wake = self.at(target, task._resume, f"{task.name}: {category}")
            task._pause(category)

    def sleep(self, us: int) -> None:
        """Let ``us`` microseconds pass, booked as ``sleep``; none for ``us < 0``."""
        self.spend("sleep", us if us > 0 else 0)

    def quiet_until(self, latest: int) -> int:
        """Until when, ``latest`` at most, nothing can happen but what the running code does itself.

        Waits that end before it are seen by nobody: one long wait is as good as many short ones.
        """
        if not self._fast_path:
            return self.now
        looks = [latest]
        if self._heap:
            looks.append(self._heap[0][0])
        if self._epoch is not None:
            looks.append(wall_us() - self._epoch + 1)
        if self._horizon is not None:
            looks.append(self._horizon)
        return min(looks)

    def wait(self, signal: Signal, deadline: int | None) -> bool:
        """Wait for a pulse of ``signal``; False when ``deadline`` (absolute) came first."""
        task = self._running
        if task is None:
            before = signal._pulses
            return self.run_until(lambda: signal._pulses != before, deadline)
        task.check()
        task._signalled = False
        task._waits_on = signal
        signal._waiting.append(task)
        if deadline is not None:
            task._wake = self.at(deadline, task._resume, f"{task.name}: deadline of {signal.what}")
        task._pause(f"{signal.what}" + ("" if deadline is None else f" until {deadline}"))
        if task in signal._waiting:
            signal._waiting.remove(task)
        return task._signalled

    # -- the caller's side ----------------------------------------------------------------

    def run_until(self, predicate: Callable[[], bool], deadline: int | None) -> bool:
        """Run events until ``predicate`` holds (True) or ``deadline`` is reached (False).

        Only the world's owner calls this, never a task or an event. At the deadline ``now`` is
        the deadline exactly.

        Raises:
            WorldError: nobody can end the wait, a model broke, or the caller may not wait here.
        """
        self._may_run()
        outer, self._horizon = self._horizon, deadline
        self._in_event = "(between events)"
        try:
            while not predicate():
                if not self._step(deadline):
                    return predicate()
            return True
        finally:
            self._horizon = outer
            self._in_event = None

    @property
    def next_due(self) -> int | None:
        """When the next event is due, in us; None without one. Until then nothing happens by itself."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_for(self, us: int) -> None:
        """Run everything that happens within the next ``us`` microseconds."""
        self.run_until(lambda: False, self.now + us)

    def _step(self, deadline: int | None) -> bool:
        """Run the next event; False when the deadline comes first."""
        due = self.next_due
        if due is None and deadline is None and not self._has_inputs():
            raise WorldError(f"nobody can end this wait\n{self.describe()}")
        if deadline is not None and (due is None or due > deadline):
            if self._epoch is not None and not self._reached(deadline):
                return True
            self.now = max(self.now, deadline)
            return False
        if self._epoch is not None and not self._reached(due):
            return True
        _, _, event = heapq.heappop(self._heap)
        self._count_instant(event.due)
        self.now = max(self.now, event.due)
        if self.trace is not None:
            self.trace(self.now, event.what)
        self._in_event = event.what
        event.fn()
        return True

    def _count_instant(self, due: int) -> None:
        if due == self._instant:
            self._at_instant += 1
            if self._at_instant > MAX_EVENTS_PER_INSTANT:
                raise WorldError(f"more than {MAX_EVENTS_PER_INSTANT} events at {due} us\n{self.describe()}")
        else:
            self._instant, self._at_instant = due, 0

    # -- outside programs: the same heap on the computer's clock ------------------------------

    def listen(self, fileobj: Any, callback: Callable[[], None]) -> None:  # noqa: ANN401  (as selectors types it)
        """Call ``callback`` as an event whenever ``fileobj`` is readable (paced worlds only)."""
        if self._epoch is None:
            raise WorldError("only a paced world listens to files and sockets")
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        self._selector.register(fileobj, selectors.EVENT_READ, callback)

    def unlisten(self, fileobj: Any) -> None:  # noqa: ANN401
        """Stop listening to ``fileobj``."""
        if self._selector is not None:
            self._selector.unregister(fileobj)

    def _has_inputs(self) -> bool:
        return self._selector is not None and bool(self._selector.get_map())

    def _reached(self, due: int | None) -> bool:
        """True when the computer's clock has come to ``due``; handles inputs until then."""
        assert self._epoch is not None, "only a paced world waits for the computer's clock"
        timeout = None if due is None else (due - (wall_us() - self._epoch)) / 1e6
        if self._selector is None:
            if timeout is not None and timeout > 0:
                time.sleep(timeout)
            return True
        ready = self._selector.select(None if timeout is None else max(timeout, 0.0))
        if not ready:
            return due is not None and wall_us() - self._epoch >= due
        for key, _ in ready:
            # Input takes the later of world and wall time, but never overtakes a due event.
            wall = wall_us() - self._epoch
            self.now = max(self.now, wall if due is None else min(wall, due))
            self._in_event = "input"
            key.data()
        return False

    # -- diagnosis and end ----------------------------------------------------------------

    def describe(self) -> str:
        """Now, the next events and what each task waits for, as text."""
        upcoming = [e for e in sorted(self._heap)[:8] if not e[2].cancelled]
        lines = [f"world at {self.now} us"]
        lines += [f"  next {due} us: {event.what}" for due, _, event in upcoming]
        lines += [f"  task {task.name}: waits for {task._waits_for}" for task in self._tasks]
        if len(lines) == 1:
            lines.append("  no events, no tasks")
        return "\n".join(lines)

    @property
    def _is_usable(self) -> bool:
        return not self._closed and self._broken is None and threading.get_ident() == self._owner

    def _usable(self) -> None:
        if self._is_usable:
            return
        if self._closed:
            raise WorldError("the world is closed")
        if threading.get_ident() != self._owner:
            raise WorldError("a world belongs to the thread that made it")
        raise WorldError(f"the world broke earlier: {self._broken!r}") from self._broken

    def _may_run(self) -> None:
        self._usable()
        if self._running is not None:
            raise WorldError(f"task {self._running.name} may not run the world; use spend, sleep or wait")
        if self._in_event is not None:
            raise WorldError(f"an event may not wait: {self._in_event}")

    def close(self) -> None:
        """Halt every task and drop every event; owed, suspended stacks cannot be collected."""
        if self._closed:
            return
        errors: list[BaseException] = []
        for task in list(self._tasks):
            try:
                task.halt("world closed")
            except Exception as error:  # a model that breaks while it unwinds; the others still end
                errors.append(error)
        self._heap.clear()
        self._closed = True
        if self._selector is not None:
            self._selector.close()
        if errors:
            raise WorldError(f"a task broke while the world closed: {errors[0]!r}") from errors[0]

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
