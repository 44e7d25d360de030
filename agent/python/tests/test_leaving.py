"""Actors that end themselves."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from pathlib import Path
from typing import Any

import plasmon
import pytest
from conftest import PATIENCE, until
from plasmon.actor import exit_actor
from plasmon.exceptions import ActorDiedError, NoActorError, TaskError

pytestmark = pytest.mark.usefixtures("agent")


@plasmon.remote
class Leaver:
    def __init__(self, how: str = "") -> None:
        if how == "at once":
            exit_actor()

    def ready(self) -> int:
        return os.getpid()

    def leave(self, trace: str = "") -> None:
        try:
            if trace:
                atexit.register(lambda: open(trace + ".atexit", "w").close())
            exit_actor()
        finally:
            if trace:
                open(trace + ".finally", "w").close()

    def leave_as(self, code: Any) -> None:
        sys.exit(code)

    def leave_between(self) -> Any:
        yield 1
        exit_actor()

    def mark(self, path: str) -> None:
        open(path, "w").close()


@plasmon.remote
class AsyncLeaver:
    async def ready(self) -> int:
        return os.getpid()

    async def leave(self) -> None:
        await asyncio.sleep(0)
        exit_actor()

    def leave_plainly(self) -> None:
        exit_actor()

    async def leave_deep_inside(self) -> None:
        async def inside() -> None:
            await asyncio.sleep(0)
            exit_actor()

        await asyncio.gather(inside())

    async def wait(self) -> None:
        await asyncio.sleep(PATIENCE * 10)


def left(reference: Any, match: str = "it exited by itself at .* test_leaving.py:") -> None:
    with pytest.raises(ActorDiedError, match=match):
        plasmon.get(reference, timeout=PATIENCE)


def test_an_actor_that_exits_is_gone_for_good_and_says_where(tmp_path: Path) -> None:
    leaver = Leaver.options(name="leaver", max_restarts=-1, max_task_retries=-1).remote()
    plasmon.get(leaver.ready.remote())
    leaving, queued = leaver.leave.remote(str(tmp_path / "trace")), leaver.mark.remote(str(tmp_path / "queued"))
    left(leaving)
    left(queued)
    left(leaver.ready.remote())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace.atexit", "trace.finally"]
    with pytest.raises(NoActorError):
        plasmon.get_actor("leaver")


def test_sys_exit_leaves_too_and_with_a_code_it_is_a_failure() -> None:
    for code in (None, 0):
        leaver = Leaver.options(max_restarts=1).remote()
        left(leaver.leave_as.remote(code))
        left(leaver.ready.remote())
    for code in (3, "no more"):
        leaver = Leaver.options(max_restarts=1).remote()
        pid = plasmon.get(leaver.ready.remote())
        left(leaver.leave_as.remote(code), "exit code [13]|exited with")
        assert plasmon.get(leaver.ready.remote(), timeout=PATIENCE) != pid
        left(leaver.leave_as.remote(code), "exit code [13]|exited with")
        left(leaver.ready.remote(), "exit code [13]|exited with")


def test_what_a_generator_yielded_before_it_left_stays() -> None:
    values = Leaver.remote().leave_between.remote()
    assert plasmon.get(next(values)) == 1
    left(next(values))


def test_a_constructor_may_leave() -> None:
    left(Leaver.options(max_restarts=-1).remote("at once").ready.remote())


@pytest.mark.parametrize("method", ["leave", "leave_plainly", "leave_deep_inside"])
def test_an_actor_with_async_methods_leaves_with_all_that_runs_in_it(method: str) -> None:
    leaver = AsyncLeaver.options(max_restarts=-1).remote()
    plasmon.get(leaver.ready.remote())
    waiting = [leaver.wait.remote() for _ in range(5)]
    for each in [getattr(leaver, method).remote(), *waiting]:
        left(each)
    left(leaver.ready.remote())


def test_what_every_actor_can_do() -> None:
    leaver = Leaver.options(name="able").remote()
    assert plasmon.get(leaver.__ray_ready__.remote()) is True
    pid = plasmon.get(plasmon.get_actor("able").__ray_call__.remote(lambda actor, more: (actor.ready(), more), "more"))
    assert pid == (plasmon.get(leaver.ready.remote()), "more")
    before, end = leaver.ready.remote(), leaver.__ray_terminate__.remote()
    assert plasmon.get(before) == pid[0]
    left(end, "it exited by itself")


def test_its_process_ends_and_what_it_reserved_is_free() -> None:
    leaver = Leaver.options(num_cpus=2).remote()
    pid = plasmon.get(leaver.ready.remote())
    left(leaver.leave.remote())
    until("its process has ended", lambda: not os.path.exists(f"/proc/{pid}"))
    until("its CPUs are free", lambda: plasmon.available_resources().get("CPU") == 2)


def test_outside_of_an_actor_nothing_exits() -> None:
    with pytest.raises(TypeError, match="this process is none"):
        exit_actor()
    with pytest.raises(TypeError, match="this process is none"):
        plasmon.get(plasmon.remote(exit_actor).remote())
    # A task that exits has failed; its worker takes others.
    with pytest.raises(TaskError, match="SystemExit: 3"):
        plasmon.get(plasmon.remote(lambda: sys.exit(3)).remote())
