"""Remote functions and actors."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import plasmon
import pytest
from conftest import PATIENCE, end_process, until
from plasmon import _loop, _plasmon, _worker

pytestmark = pytest.mark.usefixtures("agent")


@plasmon.remote
def add(one: Any, other: Any = 10) -> Any:
    return one + other


def test_a_function_runs_in_another_process() -> None:
    pid = plasmon.remote(os.getpid)
    assert plasmon.get(pid.remote()) != os.getpid()
    assert plasmon.get(add.remote(1)) == 11
    assert plasmon.get(add.remote(1, other=2)) == 3
    assert add.__name__ == "add" and "add" in repr(add)


def test_references_among_arguments_are_values_there_and_inside_others_they_are_not() -> None:
    @plasmon.remote
    def kinds(one: Any, many: Any, *, named: Any) -> list[str]:
        return [type(one).__name__, type(many[0]).__name__, type(named).__name__, str(plasmon.get(many[0]))]

    reference = plasmon.put(5)
    assert plasmon.get(kinds.remote(reference, [reference], named=add.remote(1))) == ["int", "ObjectRef", "int", "5"]


def test_arrays_are_passed_without_a_copy() -> None:
    @plasmon.remote
    def look(array: Any) -> tuple[bool, bool, float]:
        return array.flags.writeable, array.flags.owndata, float(array.sum())

    array = np.ones(100_000)
    assert plasmon.get(look.remote(plasmon.put(array))) == (False, False, 100_000.0)
    assert plasmon.get(look.remote(array)) == (False, False, 100_000.0)


def test_a_function_has_as_many_results_as_it_says() -> None:
    @plasmon.remote(num_returns=2)
    def two() -> Any:
        return 1, "b"

    one, other = two.remote()
    assert plasmon.get([one, other]) == [1, "b"]
    assert two.options(num_returns=0).remote() is None
    with pytest.raises(ValueError, match="returns 3 objects, but its result has 2"):
        plasmon.get(two.options(num_returns=3).remote())


def test_a_tasks_exception_is_of_its_own_type_and_tells_where() -> None:
    class Odd(Exception):
        def __init__(self, number: int) -> None:
            super().__init__(f"{number} is odd")
            self.number = number

    @plasmon.remote
    def refuse(number: int) -> None:
        raise Odd(number)

    with pytest.raises(plasmon.exceptions.TaskError) as caught:
        plasmon.get(refuse.remote(3))
    # A class that goes along is made anew there and here.
    assert type(caught.value.cause).__name__ == "Odd"
    assert "3 is odd" in str(caught.value) and "in refuse" in caught.value.remote_traceback and __file__ in caught.value.remote_traceback
    with pytest.raises(KeyError) as built_in:
        plasmon.get(plasmon.remote(lambda: {}["x"]).remote())
    assert isinstance(built_in.value, plasmon.exceptions.TaskError) and built_in.value.pid != os.getpid()
    begin = f'Traceback (most recent call last):\n  File "{__file__}", line '
    assert built_in.value.remote_traceback.startswith(begin)

    @plasmon.remote
    class Asks:
        async def about(self, key: str) -> None:
            raise KeyError(key)

    with pytest.raises(KeyError) as asked:
        plasmon.get(Asks.remote().about.remote("x"))
    assert asked.value.remote_traceback.startswith(begin)  # type: ignore[attr-defined]
    # Through other tasks.
    with pytest.raises(TypeError, match="can only concatenate"):
        plasmon.get(add.remote(add.remote("text")))


class Refused(Exception):
    """Has fields that a ``TaskError`` has, too."""

    def __init__(self, code: int, pid: str) -> None:
        super().__init__(code, pid)
        self.code, self.pid = code, pid


def test_a_tasks_exception_keeps_its_own_fields() -> None:
    @plasmon.remote
    def fail(error: BaseException) -> None:
        raise error

    def raised(error: BaseException) -> Any:
        with pytest.raises(plasmon.exceptions.TaskError) as caught:
            plasmon.get(fail.remote(error))
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is type(caught.value) and str(again) == str(caught.value) and again.args == caught.value.args
        return again

    error = raised(Refused(7, "mine"))
    assert isinstance(error, Refused) and (error.code, error.pid) == (7, "mine") and error.args == (7, "mine")
    assert isinstance(error.cause, Refused) and "raised by" in str(error)
    error = raised(FileNotFoundError(2, "not there", "name.txt"))
    assert isinstance(error, FileNotFoundError) and (error.errno, error.strerror, error.filename) == (2, "not there", "name.txt")
    assert error.code == "task_failed" and error.pid != os.getpid()
    error = raised(UnicodeDecodeError("ascii", b"\xff", 0, 1, "odd"))
    assert isinstance(error, UnicodeDecodeError) and error.object == b"\xff" and error.reason == "odd"
    error = raised(SystemExit(3))
    assert not isinstance(error, SystemExit) and isinstance(error.cause, SystemExit) and "raised by" in str(error)


class Missing(Exception):
    """Is not made of its ``args``."""

    def __init__(self, what: str, *, where: str) -> None:
        super().__init__(f"{what} is not in {where}")
        self.what = what


def test_an_exception_that_makes_its_own_message_keeps_its_class() -> None:
    class Local(Missing):
        pass

    @plasmon.remote
    def search(local: bool) -> None:
        raise (Local if local else Missing)("it", where="here")

    with pytest.raises(Missing, match="it is not in here") as caught:
        # Through another task.
        plasmon.get(add.remote(search.remote(False)))
    assert isinstance(caught.value, plasmon.exceptions.TaskError) and caught.value.what == "it"
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, Missing) and again.what == "it" and isinstance(again.cause, Missing) and str(again) == str(caught.value)
    with pytest.raises(plasmon.exceptions.TaskError, match="it is not in here") as caught_local:
        plasmon.get(add.remote(search.remote(True)))
    assert type(caught_local.value.cause).__name__ == "Local" and "in search" in str(caught_local.value)


def test_an_exception_that_does_not_pickle_is_its_text_and_its_traceback() -> None:
    @plasmon.remote
    def fail() -> None:
        error = ValueError("what it holds stays")
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        raise error

    with pytest.raises(plasmon.exceptions.TaskError, match="what it holds stays") as caught:
        plasmon.get(fail.remote())
    assert caught.value.cause is None and "in fail" in str(caught.value) and __file__ in str(caught.value)


def test_exceptions_that_are_listed_are_worth_a_retry(tmp_path: Path) -> None:
    @plasmon.remote(max_retries=3, retry_exceptions=[OSError])
    def flaky(file: str, kind: type[BaseException]) -> int:
        with open(file, "a") as tries:
            tries.write("x")
        if os.path.getsize(file) < 3:
            raise kind("not yet")
        return os.path.getsize(file)

    assert plasmon.get(flaky.remote(str(tmp_path / "os"), ConnectionError)) == 3
    with pytest.raises(ValueError, match="not yet"):
        plasmon.get(flaky.remote(str(tmp_path / "value"), ValueError))
    assert (tmp_path / "value").read_text() == "x"


def test_methods_are_tried_again_as_they_say(tmp_path: Path) -> None:
    @plasmon.remote(max_task_retries=5)
    class Flaky:
        def __init__(self) -> None:
            self.tries = 0

        @plasmon.method(retry_exceptions=[OSError])
        def until(self, tries: int, kind: type[BaseException]) -> int:
            self.tries += 1
            if self.tries < tries:
                raise kind(f"try {self.tries}")
            return self.tries

        @plasmon.method(max_task_retries=1, retry_exceptions=True, num_returns="streaming")
        def counts(self) -> Any:
            self.tries += 1
            yield self.tries
            if self.tries < 6:
                raise ValueError(f"try {self.tries}")

    flaky = Flaky.options(name="flaky").remote()
    assert plasmon.get(flaky.until.remote(3, ConnectionError)) == 3
    with pytest.raises(ValueError, match="try 4"):
        plasmon.get(flaky.until.remote(9, ValueError))
    # What was yielded stays, and the second attempt ends well.
    assert [plasmon.get(item) for item in flaky.counts.remote()] == [5]
    # A handle that was found by its name knows it as well; what is said of one call goes before.
    found = plasmon.get_actor("flaky")
    assert plasmon.get(found.until.remote(8, OSError)) == 8
    with pytest.raises(OSError, match="try 9"):
        plasmon.get(found.until.options(max_task_retries=0).remote(99, OSError))
    with pytest.raises(OSError, match="try 10"):
        plasmon.get(found.until.options(retry_exceptions=False).remote(99, OSError))


def test_a_task_is_tried_again_after_its_worker_was_killed(tmp_path: Path) -> None:
    @plasmon.remote
    def dies_once(flag: str) -> str:
        if not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), 9)
        return "done"

    assert plasmon.get(dies_once.remote(str(tmp_path / "flag"))) == "done"
    with pytest.raises(plasmon.exceptions.WorkerCrashedError, match="SIGKILL"):
        plasmon.get(plasmon.remote(max_retries=0)(lambda: os.kill(os.getpid(), 9)).remote())


def test_tasks_submit_tasks() -> None:
    @plasmon.remote
    def fib(n: int) -> int:
        return n if n < 2 else sum(plasmon.get([fib.remote(n - 1), fib.remote(n - 2)]))

    assert plasmon.get(fib.remote(5)) == 5


@plasmon.remote
class Counter:
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.total = start
        self.all_here = asyncio.Event()

    def add(self, amount: int = 1) -> int:
        self.total += amount
        return self.total

    def fail(self) -> None:
        raise LookupError("nothing there")

    def pid(self) -> int:
        return os.getpid()

    @plasmon.method(num_returns=2)
    def pair(self) -> tuple[int, int]:
        return self.total, -self.total

    async def together(self, calls: int) -> str:
        """Waits until so many calls are here."""
        self.total += 1
        if self.total == calls:
            self.all_here.set()
        await self.all_here.wait()
        return "together"


def test_an_actor_keeps_what_it_has() -> None:
    counter = Counter.remote(5)
    assert plasmon.get([counter.add.remote(number) for number in range(5)]) == [5, 6, 8, 11, 15]
    with pytest.raises(LookupError, match="nothing there"):
        plasmon.get(counter.fail.remote())
    one, other = counter.pair.remote()
    assert plasmon.get([one, other]) == [15, -15]
    with pytest.raises(AttributeError, match="did you mean 'add'"):
        counter.addd.remote()


def test_async_methods_run_side_by_side() -> None:
    counter = Counter.remote()
    # One after the other the first would wait for ever.
    assert plasmon.get([counter.together.remote(20) for _ in range(20)], timeout=PATIENCE) == ["together"] * 20


def test_methods_of_an_actor_with_async_ones_exclude_each_other() -> None:
    @plasmon.remote
    class Loop:
        def __init__(self) -> None:
            # Here, too, a loop runs: what is made belongs to it.
            self.loop, self.thread, self.inside = asyncio.get_running_loop(), threading.get_ident(), 0

        def plain(self) -> int:
            assert threading.get_ident() == self.thread and asyncio.get_running_loop() is self.loop
            self.inside += 1
            time.sleep(0.001)
            inside, self.inside = self.inside, self.inside - 1
            return inside

        async def waits(self) -> bool:
            await asyncio.sleep(0.01)
            return threading.get_ident() == self.thread

        def fails(self) -> None:
            raise LookupError("nothing there")

    loop = Loop.remote()
    calls = [loop.plain.remote() for _ in range(50)] + [loop.waits.remote() for _ in range(5)]
    assert plasmon.get(calls) == [1] * 50 + [True] * 5
    with pytest.raises(LookupError, match="nothing there"):
        plasmon.get(loop.fails.remote())


def test_tasks_and_actors_know_who_they_are() -> None:
    def told() -> dict[str, Any]:
        context = plasmon.get_runtime_context()
        return {**context.get(), "task_name": context.get_task_name(), "actor_name": context.get_actor_name()}

    driver = told()
    assert driver.keys() == {"job_id", "node_id", "worker_id", "task_name", "actor_name"} and driver["task_name"] is driver["actor_name"] is None

    task = plasmon.get(plasmon.remote(name="asks")(told).remote())
    assert task["task_name"] == "asks" and task["job_id"] == driver["job_id"] and len(task["task_id"]) == 32 and "actor_id" not in task

    class Knowing:
        def __init__(self) -> None:
            self.born = told()

        def plain(self) -> list[dict[str, Any]]:
            return [self.born, told()]

    @plasmon.remote
    class KnowsAsync(Knowing):
        async def meets(self) -> dict[str, Any]:
            await asyncio.sleep(0)
            return told()

    knows = plasmon.remote(Knowing).options(name="wise").remote()
    born, here = plasmon.get(knows.plain.remote())
    assert born["actor_id"] == here["actor_id"] == knows._actor_id and born["actor_name"] == here["actor_name"] == "wise"
    assert born["task_name"].endswith("Knowing.__init__") and here["task_name"].endswith("Knowing.plain") and born["task_id"] != here["task_id"]
    beside = KnowsAsync.remote()
    told_beside = plasmon.get([beside.meets.remote() for _ in range(5)])
    assert len({one["task_id"] for one in told_beside}) == 5 and {one["actor_name"] for one in told_beside} == {""}
    assert {one["actor_id"] for one in told_beside} == {beside._actor_id} and all(one["task_name"].endswith("KnowsAsync.meets") for one in told_beside)


def test_tasks_and_actors_know_what_they_reserve() -> None:
    def told() -> dict[str, float]:
        return plasmon.get_runtime_context().get_assigned_resources()

    @plasmon.remote
    class Knows:
        def __init__(self) -> None:
            self.born = told()

        def meets(self) -> list[dict[str, float]]:
            return [self.born, told()]

    plasmon.shutdown()
    plasmon.init(num_cpus=2, memory=1 << 30, resources={"db": 2}, object_store_memory=64 << 20)
    assert told() == {}
    reserving = plasmon.remote(num_cpus=0.5, memory=1 << 20, resources={"db": 1})(told)
    # One after the other in the same worker.
    tasks = [reserving.remote(), plasmon.remote(told).remote(), plasmon.remote(num_cpus=0)(told).remote()]
    assert plasmon.get(tasks) == [{"CPU": 0.5, "memory": 1 << 20, "db": 1.0}, {"CPU": 1.0}, {}]
    listed = plasmon.remote(retry_exceptions=[OSError], num_cpus=2)(told).remote()
    assert plasmon.get(listed) == {"CPU": 2.0}
    assert plasmon.get(Knows.remote().meets.remote()) == [{}] * 2
    assert plasmon.get(Knows.options(num_cpus=1, resources={"db": 2}).remote().meets.remote()) == [{"CPU": 1.0, "db": 2.0}] * 2


class Pickled:
    """Tells how often it was pickled."""

    times = 0

    def __reduce__(self) -> Any:
        Pickled.times += 1
        return Pickled, ()


def test_a_function_is_exported_once() -> None:
    Pickled.times, captured = 0, Pickled()

    @plasmon.remote
    def uses(number: int) -> tuple[str, int]:
        return type(captured).__name__, number

    assert plasmon.get([uses.remote(number) for number in range(5)]) == [("Pickled", number) for number in range(5)]
    assert plasmon.get([uses.options(num_cpus=0, name=f"other {number}").remote(number) for number in range(3)])
    assert Pickled.times == 1


def test_handles_go_anywhere_and_the_last_one_ends_the_actor() -> None:
    counter = Counter.remote()
    pid = plasmon.get(counter.pid.remote())

    @plasmon.remote
    def use(handles: list[Any]) -> int:
        return plasmon.get(handles[0].add.remote(7))

    assert plasmon.get(use.remote([counter])) == 7
    assert plasmon.get(plasmon.get(plasmon.put(counter)).add.remote(1)) == 8
    del counter
    until("it has ended", lambda: not os.path.exists(f"/proc/{pid}"))


def test_named_actors_are_found() -> None:
    counter = Counter.options(name="counts").remote(1)
    found = plasmon.get_actor("counts")
    assert plasmon.get(found.add.remote()) == 2
    assert plasmon.get(found.pair.remote()) == [2, -2]
    with pytest.raises(AttributeError, match="did you mean 'add'"):
        found.ad.remote()
    with pytest.raises(ValueError, match="nobody"):
        plasmon.get_actor("nobody")
    with pytest.raises(plasmon.exceptions.ActorNameTakenError, match="counts"):
        Counter.options(name="counts").remote()
    same = Counter.options(name="counts", get_if_exists=True).remote()
    assert plasmon.get(same.add.remote()) == 3 and same == counter
    plasmon.kill(counter)
    with pytest.raises(plasmon.exceptions.ActorDiedError):
        plasmon.get(counter.add.remote())


def test_tasks_and_actors_are_in_their_drivers_namespace(sessions: Path) -> None:
    plasmon.shutdown()
    plasmon.init(num_cpus=4, object_store_memory=64 << 20, temp_dir=sessions, namespace="ours")

    @plasmon.remote
    def inner() -> tuple[str, int]:
        return plasmon.get_runtime_context().namespace, plasmon.get(plasmon.get_actor("counts").add.remote())

    @plasmon.remote
    def outer() -> tuple[str, int]:
        return plasmon.get(inner.remote())

    @plasmon.remote
    class Maker:
        def make(self) -> str:
            self.made = Counter.options(name="made").remote(10)
            plasmon.get(self.made.pid.remote())
            return plasmon.get_runtime_context().namespace

    counter = Counter.options(name="counts").remote(1)
    assert plasmon.get(inner.remote()) == ("ours", 2) and plasmon.get(outer.remote()) == ("ours", 3)
    maker = Maker.remote()
    assert plasmon.get(maker.make.remote()) == "ours"
    assert plasmon.get(plasmon.get_actor("made", namespace="ours").add.remote()) == 11
    with pytest.raises(plasmon.exceptions.NoActorError):
        plasmon.get_actor("made", namespace="")
    del counter


def test_an_actor_is_made_anew_after_its_worker_was_killed() -> None:
    counter = Counter.options(max_restarts=1, max_task_retries=2).remote(100)
    assert plasmon.get(counter.add.remote()) == 101
    end_process(plasmon.get(counter.pid.remote()))
    assert plasmon.get(counter.add.remote()) == 101
    plasmon.kill(counter, no_restart=True)
    with pytest.raises(plasmon.exceptions.RayActorError):
        plasmon.get(counter.add.remote())


def test_threads_of_an_actor_run_calls_side_by_side() -> None:
    @plasmon.remote(max_concurrency=2)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(2)

        def meet(self) -> int:
            return self.barrier.wait(100)

    meeting = Meeting.remote()
    assert sorted(plasmon.get([meeting.meet.remote(), meeting.meet.remote()])) == [0, 1]


def test_awaiting_and_futures() -> None:
    async def all_of_them() -> list[Any]:
        return [await reference for reference in [add.remote(number) for number in range(20)]]

    async def one(reference: Any) -> Any:
        return await reference

    assert asyncio.run(all_of_them()) == list(range(10, 30))
    assert asyncio.run(one(add.remote(1))) == 11
    assert [future.result(100) for future in [add.remote(number).future() for number in range(5)]] == [10, 11, 12, 13, 14]
    with pytest.raises(TypeError, match="can only concatenate"):
        asyncio.run(one(add.remote("text")))


def test_what_is_cancelled_never_runs() -> None:
    @plasmon.remote(num_cpus=2)
    def sleeps() -> None:
        time.sleep(1000)

    running, waiting = sleeps.remote(), sleeps.remote()
    plasmon.cancel(waiting)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(waiting)
    plasmon.cancel(running, force=True)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(running)


def test_what_runs_is_interrupted_and_its_worker_goes_on(tmp_path: Path) -> None:
    # Each takes the whole node, so that there is one worker.
    @plasmon.remote(num_cpus=2)
    def tells(begun: str, ended: str) -> None:
        open(begun, "w").close()
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            open(ended, "w").close()
            raise

    pid = plasmon.remote(num_cpus=2)(os.getpid)
    worker = plasmon.get(pid.remote())
    running = tells.remote(str(tmp_path / "begun"), str(tmp_path / "ended"))
    until("it runs", (tmp_path / "begun").exists)
    plasmon.cancel(running)
    until("it was interrupted", (tmp_path / "ended").exists)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(running)
    assert plasmon.get(pid.remote()) == worker


@pytest.mark.parametrize("place", ["before it begins", "when it has begun", "before it is watched"])
def test_wherever_a_task_is_cancelled_its_coroutine_ends_before_it(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    begin = _loop.Running.begin

    async def works() -> None:
        told.append("begun")
        try:
            await asyncio.sleep(2 * PATIENCE)
        finally:
            await asyncio.sleep(0.05)
            told.append("ended")

    def interrupted(running: Any) -> None:
        if place == "when it has begun":
            begin(running)
        raise KeyboardInterrupt

    def interrupted_later(_cancel: Any) -> None:
        until("it runs", lambda: told)
        raise KeyboardInterrupt

    if place == "before it is watched":
        monkeypatch.setattr(_plasmon, "when_cancelled", interrupted_later)
    else:
        monkeypatch.setattr(_loop.Running, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _worker.Handler()._in_loop(works())
    # Of one that was cancelled before its first step there is none.
    possible = {"before it begins": [[]], "when it has begun": [[], ["begun", "ended"]], "before it is watched": [["begun", "ended"]]}
    assert told in possible[place]


def test_a_coroutine_that_runs_is_cancelled_as_coroutines_are(tmp_path: Path) -> None:
    @plasmon.remote
    class Waits:
        def __init__(self) -> None:
            self.told: list[str] = []

        async def wait(self, begun: str) -> None:
            open(begun, "w").close()
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                self.told.append("cancelled")
                # What it awaits while it ends is not cancelled again.
                await asyncio.sleep(0.01)
                self.told.append("cleared up")
                raise

        async def what_was_told(self) -> list[str]:
            return self.told

    waits = Waits.remote()
    running, beside = waits.wait.remote(str(tmp_path / "begun")), waits.wait.remote(str(tmp_path / "beside"))
    until("both run", lambda: (tmp_path / "begun").exists() and (tmp_path / "beside").exists())
    plasmon.cancel(running)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(running)
    until("one was told", lambda: plasmon.get(waits.what_was_told.remote()) == ["cancelled", "cleared up"])
    assert plasmon.wait([beside], timeout=0)[0] == []

    @plasmon.remote
    async def sleeps(begun: str, ended: str) -> None:
        open(begun, "w").close()
        try:
            await asyncio.sleep(1000)
        finally:
            open(ended, "w").close()

    task = sleeps.remote(str(tmp_path / "task"), str(tmp_path / "ended"))
    until("it runs", (tmp_path / "task").exists)
    plasmon.cancel(task)
    until("it ends", (tmp_path / "ended").exists)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(task)


def test_a_partial_function_is_a_function() -> None:
    def total(one: int, other: int, *, more: int = 0) -> int:
        return one + other + more

    def up(first: int, last: int) -> Any:
        yield from range(first, last)

    partial = plasmon.remote(functools.partial(total, 1, more=100))
    assert partial.__name__ == "total" and plasmon.get(partial.remote(10)) == 111
    assert [plasmon.get(each) for each in plasmon.remote(functools.partial(up, 2)).remote(5)] == [2, 3, 4]
    assert plasmon.get(plasmon.remote(num_returns=2)(functools.partial(divmod, 7)).remote(2)) == [3, 1]


def test_a_time_that_is_shorter_than_any_is_over_at_once() -> None:
    @plasmon.remote(timeout=0.0001, max_retries=0)
    def sleeps() -> str:
        time.sleep(10)
        return "slept"

    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        plasmon.get(sleeps.remote())


def test_calls_are_called_as_they_are_named() -> None:
    @plasmon.remote
    class Named:
        def plain(self) -> Any:
            return plasmon.get_runtime_context().get_task_name()

        @plasmon.method(name="marked call")
        def marked(self) -> Any:
            return plasmon.get_runtime_context().get_task_name()

    named = Named.remote()
    assert plasmon.get(named.plain.remote()).endswith("Named.plain")
    assert plasmon.get([named.plain.options(name="step 1").remote(), named.marked.remote()]) == ["step 1", "marked call"]
    assert plasmon.get(named.marked.options(name="plain").remote()) == "plain"


def test_a_name_is_in_one_namespace_alone() -> None:
    @plasmon.remote
    class Named:
        def name(self) -> Any:
            return plasmon.get_runtime_context().get_actor_name()

    actors = [
        Named.options(name=name, namespace=namespace).remote() for name, namespace in (("a/b", None), ("b", "a"), ("b/c", "a"), ("b", None))
    ]
    assert plasmon.get([actor.name.remote() for actor in actors]) == ["a/b", "b", "b/c", "b"]
    assert plasmon.get_actor("a/b") == actors[0] and plasmon.get_actor("b", "a") == actors[1] and plasmon.get_actor("b") == actors[3]
    for call in (lambda: Named.options(namespace="a/b"), lambda: plasmon.get_actor("c", "a/b")):
        with pytest.raises(ValueError, match="a namespace has no '/', which 'a/b' has"):
            call()


def test_an_actors_destructor_may_use_the_store(tmp_path: Path) -> None:
    @plasmon.remote
    class Ends:
        def there(self) -> None:
            pass

        def __del__(self) -> None:
            said = f"{plasmon.get(plasmon.put('stored'))} {plasmon.get_runtime_context().is_worker}"
            (tmp_path / "part").write_text(said)
            (tmp_path / "part").rename(tmp_path / "said")

    actor = Ends.remote()
    plasmon.get(actor.there.remote())
    del actor
    until("it has ended", (tmp_path / "said").exists)
    assert (tmp_path / "said").read_text() == "stored True"


def test_a_child_that_a_task_forks_is_told() -> None:
    @plasmon.remote
    def forks() -> str:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                plasmon.put(1)
                os.write(write, b"it is connected")
            except BaseException as error:
                os.write(write, f"{type(error).__name__}: {error}".encode())
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        with open(read) as said:
            return said.read()

    said = plasmon.get(forks.remote())
    assert said.startswith("NotConnectedError") and "call plasmon.init() in the child" in said, said


def test_async_methods_begin_in_the_order_of_their_calls() -> None:
    class Loop:
        def __init__(self) -> None:
            self.begun: list[int] = []
            # Whoever can be overtaken is.
            sys.setswitchinterval(1e-6)

        async def begin(self, number: int, _more: Any) -> None:
            self.begun.append(number)

        async def all(self) -> list[int]:
            return self.begun

    actor = plasmon.remote(max_concurrency=16)(Loop).remote()
    plasmon.get([actor.begin.remote(number, list(range(number))) for number in range(500)])
    assert plasmon.get(actor.all.remote()) == list(range(500))
