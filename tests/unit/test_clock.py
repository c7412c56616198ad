"""The world: order, waiting, halting, errors, and what the fast path may not change."""

from __future__ import annotations

import gc
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.clock import Calendar, Fiber, Halted, WallClock, World
from hil.emulator.cpu import Cpu
from hil.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_events_run_by_time_and_equal_times_in_scheduling_order(world: World) -> None:
    seen: list[str] = []
    world.at(20, lambda: seen.append("late"), "late")
    world.at(10, lambda: seen.append("first"), "first")
    world.at(10, lambda: seen.append("second"), "second")
    world.run_for(20)
    assert seen == ["first", "second", "late"]


def test_the_clock_stands_at_the_deadline_exactly(world: World) -> None:
    assert not world.run_until(lambda: False, 1_234)
    assert world.now == 1_234


def test_a_wait_ends_at_the_event_that_makes_it_true(world: World) -> None:
    box: list[int] = []
    world.at(300, lambda: box.append(1), "byte")
    assert world.run_until(lambda: bool(box), 10_000)
    assert world.now == 300


def test_spend_means_the_same_in_a_task_and_in_the_caller(world: World) -> None:
    def poll() -> int:
        for _ in range(5):
            world.spend("poll", 170)
        return world.now

    from_caller = poll()
    ended: list[int] = []
    start = world.now
    world.spawn(lambda: ended.append(poll() - start), "task")
    world.run_for(10_000)
    assert ended == [from_caller]
    assert world.account["poll"] == 2 * from_caller


def test_a_task_waits_for_a_signal_or_its_deadline(world: World) -> None:
    signal = world.signal("ready")
    answers: list[tuple[bool, int]] = []

    def task() -> None:
        answers.append((world.wait(signal, 500), world.now))
        answers.append((world.wait(signal, 500), world.now))

    world.spawn(task, "task")
    world.at(100, signal.set, "set")
    world.run_for(1_000)
    assert answers == [(True, 100), (False, 500)]


def test_the_caller_waits_for_a_signal(world: World) -> None:
    signal = world.signal()
    world.at(70, signal.set, "set")
    assert world.wait(signal, 1_000)
    assert world.now == 70
    assert not world.wait(signal, 100)


def test_an_event_may_not_wait(world: World) -> None:
    world.at(10, lambda: world.sleep(5), "naughty")
    with pytest.raises(WorldError, match="an event may not wait: naughty"):
        world.run_for(100)


def test_a_task_may_not_run_the_world(world: World) -> None:
    world.spawn(lambda: world.run_for(5), "driver")
    with pytest.raises(WorldError, match="driver may not run the world"):
        world.run_for(100)


def test_a_wait_that_nobody_can_end_is_an_error_at_once(world: World) -> None:
    signal = world.signal("never")
    world.spawn(lambda: void(world.wait(signal, None)), "sleeper")
    with pytest.raises(WorldError, match=r"(?s)nobody can end this wait.*sleeper: waits for never"):
        world.run_until(lambda: False, None)


def void(_: object) -> None:
    return None


def test_a_loop_at_one_instant_is_an_error(world: World) -> None:
    def again() -> None:
        world.at(world.now, again, "again")

    again()
    with pytest.raises(WorldError, match="more than 10000 events at 0 us"):
        world.run_for(1)


def test_another_thread_gets_an_error_not_a_race(world: World) -> None:
    caught: list[BaseException] = []

    def intrude() -> None:
        try:
            world.run_for(1)
        except WorldError as error:
            caught.append(error)

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    assert "belongs to the thread" in str(caught[0])


def test_a_halted_task_unwinds_at_that_microsecond_and_cannot_swallow_it(world: World) -> None:
    log: list[str] = []

    def firmware() -> None:
        try:
            try:
                world.sleep(1_000)
            except Exception:  # what firmware does; Halted is no Exception
                log.append("swallowed")
        finally:
            log.append(f"unwound at {world.now}")
            with pytest.raises(Halted):
                world.spend("mcu", 1)

    task = world.spawn(firmware, "firmware")
    world.at(400, lambda: task.halt("power cut"), "cut")
    world.run_for(2_000)
    assert log == ["unwound at 400"]
    assert not task.alive


def test_a_task_halted_before_it_started_never_runs(world: World) -> None:
    ran: list[int] = []
    task = world.spawn(lambda: ran.append(1), "late")
    task.halt("never powered")
    world.run_for(10)
    assert not ran
    assert not task.alive


def test_a_task_can_halt_another_and_itself(world: World) -> None:
    log: list[str] = []

    def victim() -> None:
        try:
            world.sleep(1_000)
        finally:
            log.append("victim")

    other = world.spawn(victim, "victim")

    def killer() -> None:
        world.sleep(10)
        other.halt("reset")
        me.halt("reset")
        log.append("not reached")

    me = world.spawn(killer, "killer")
    world.run_for(50)
    assert log == ["victim"]
    assert not me.alive


def test_an_error_in_a_task_surfaces_in_the_callers_wait_and_marks_the_world(world: World) -> None:
    def broken() -> None:
        world.sleep(10)
        raise ValueError("a bug in a model")

    world.spawn(broken, "broken")
    with pytest.raises(ValueError, match="a bug in a model"):
        world.run_for(100)
    with pytest.raises(WorldError, match="the world broke earlier"):
        world.run_for(1)


def test_two_tasks_of_one_processor_queue(world: World) -> None:
    cpu = Cpu(world)
    done: dict[str, int] = {}

    def work(name: str, start: int, us: int) -> None:
        world.sleep(start)
        cpu.spend(us)
        done[name] = world.now

    world.spawn(lambda: work("ecdh", 0, 200_000), "ecdh")
    world.spawn(lambda: work("rpc", 50_000, 200), "rpc")
    world.run_for(1_000_000)
    assert done == {"ecdh": 200_000, "rpc": 200_200}
    assert world.account["mcu"] == 200_200


def test_a_closed_world_halts_its_tasks_and_leaks_nothing() -> None:
    world = World()
    task = world.spawn(lambda: world.sleep(10**9), "long")
    world.run_for(10)
    ref = weakref.ref(task)
    world.close()
    assert not task.alive
    with pytest.raises(WorldError, match="closed"):
        world.run_for(1)
    del task
    gc.collect()
    assert ref() is None


class ThreadFiber:
    """A task's stack as a thread that passes a baton: slow, and independent of greenlet."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thrown: BaseException | None = None
        self._error: BaseException | None = None
        self.alive = True
        self._thread: threading.Thread | None = None
        self._run = run

    def _main(self) -> None:
        self._go.acquire()
        try:
            self._run()
        except BaseException as error:
            self._error = error
        self.alive = False
        self._back.release()

    def resume(self, exc: BaseException | None = None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, daemon=True)
            self._thread.start()
        self._thrown = exc
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error

    def pause(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._thrown is not None:
            raise self._thrown


Step = tuple[str, int]
PROGRAM = st.lists(
    st.tuples(st.sampled_from(["spend", "sleep", "set", "wait"]), st.integers(0, 40)), max_size=12
)


def play(
    programs: list[list[Step]], *, fast_path: bool, threads: bool
) -> tuple[list[object], dict[str, int]]:
    """What the caller sees (arrivals by event) and the time account."""
    seen: list[object] = []
    with World(fast_path=fast_path, fiber=ThreadFiber if threads else Fiber) as world:
        signal = world.signal()

        def arrive(row: tuple[int, str, int]) -> None:
            seen.append((*row, world.now))

        def task(name: int, program: list[Step]) -> None:
            for verb, us in program:
                if verb == "spend":
                    world.spend("mcu", us)
                elif verb == "sleep":
                    world.sleep(us)
                elif verb == "set":
                    signal.set()
                else:
                    world.wait(signal, world.now + us)
                world.after(3, partial(arrive, (name, verb, world.now)), "byte")

        for number, program in enumerate(programs):
            world.spawn(partial(task, number, program), f"task {number}")
        world.run_for(700)
        return seen, dict(world.account)


@given(st.lists(PROGRAM, min_size=1, max_size=4))
def test_the_fast_path_changes_nothing_that_can_be_seen(programs: list[list[Step]]) -> None:
    assert play(programs, fast_path=True, threads=False) == play(programs, fast_path=False, threads=False)


def test_threads_as_stacks_give_the_same_timeline() -> None:
    programs: list[list[Step]] = [
        [("spend", 7), ("wait", 30), ("spend", 0), ("sleep", 5)],
        [("sleep", 7), ("set", 0), ("spend", 40), ("set", 0)],
        [("wait", 12), ("wait", 25), ("spend", 9)],
    ]
    assert play(programs, fast_path=True, threads=False) == play(programs, fast_path=False, threads=True)


def test_a_paced_world_never_runs_ahead_of_the_wall() -> None:
    wall = WallClock()
    start = wall.now
    with World(paced=True) as world:
        assert world.kind == "wall"
        world.run_for(3_000)
        assert world.now == 3_000
    assert wall.now - start >= 3_000


def test_a_physical_clock_books_what_hardware_takes_and_sleeps_what_is_asked() -> None:
    clock = WallClock()
    before = clock.now
    clock.spend("i2c", 10_000_000)
    assert clock.account["i2c"] == 10_000_000
    assert clock.now - before < 5_000_000
    clock.sleep(1_000)
    assert clock.now - before >= 1_000


def test_a_fixed_calendar_stands_still() -> None:
    assert Calendar(1_700_000_000.0).time() == 1_700_000_000.0
    assert Calendar().time() > 1_700_000_000.0
