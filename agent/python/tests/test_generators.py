"""Generators: their values are there as they are yielded."""

from __future__ import annotations

import asyncio
import os
import pickle
import time
from pathlib import Path
from typing import Any, AsyncIterator, Iterator

import numpy as np
import plasmon
import pytest
from conftest import PATIENCE, rows, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("agent")

#: Values that a task runs ahead of whoever takes them.
AHEAD = 16


@plasmon.remote
def count(end: int, file: str = "", fail_at: int = -1) -> Iterator[int]:
    """Yields numbers, and tells a file of each."""
    for number in range(end):
        if number == fail_at:
            raise LookupError(f"at {number}")
        if file:
            with open(file, "a") as told:
                told.write("x")
        yield number


def values(references: Any) -> list[Any]:
    return [plasmon.get(reference) for reference in references]


def test_each_value_is_there_while_the_task_runs(tmp_path: Path) -> None:
    @plasmon.remote
    def stepwise(directory: str) -> Iterator[int]:
        for number in range(3):
            while not os.path.exists(os.path.join(directory, str(number))):
                time.sleep(0.01)
            yield number

    steps = stepwise.remote(str(tmp_path))
    with pytest.raises(TimeoutError):
        steps.next_within(0.05)
    for number in range(3):
        assert plasmon.wait([steps], timeout=0) == ([], [steps]) and not steps.next_ready() and not steps.is_finished()
        (tmp_path / str(number)).touch()
        # The task goes on only when the next file is there: it cannot have ended.
        assert plasmon.wait([steps], timeout=PATIENCE) == ([steps], []) and steps.next_ready()
        assert plasmon.get(next(steps)) == number
    until("it has ended", steps.is_finished)
    assert not steps.next_ready()
    with pytest.raises(StopIteration):
        next(steps)
    assert steps.is_finished() and not steps.next_ready()
    assert plasmon.wait([steps, plasmon.put(1)], num_returns=2, timeout=PATIENCE)[1] == []


def test_a_task_runs_a_few_values_ahead_and_ends_when_nobody_wants_more(tmp_path: Path) -> None:
    told = tmp_path / "told"
    numbers = count.remote(10**9, str(told))
    taken = values(next(numbers) for _ in range(10))
    until("it is ahead", lambda: told.stat().st_size >= 10 + AHEAD // 2)
    time.sleep(0.2)
    assert taken == list(range(10)) and told.stat().st_size <= 10 + AHEAD + 1
    # People see what was yielded, and nothing that was not.
    assert len(rows(reference_type="LOCAL_REFERENCE")) <= AHEAD
    del numbers
    until("its worker is free", lambda: plasmon.available_resources()["CPU"] == 2)
    assert told.stat().st_size <= 10 + AHEAD + 1
    until("nothing is left", lambda: not rows())


def test_an_error_comes_in_its_place() -> None:
    references = list(count.remote(10, "", 3))
    assert values(references[:3]) == [0, 1, 2] and len(references) == 4
    with pytest.raises(LookupError, match="at 3"):
        plasmon.get(references[3])
    assert values(count.remote(0)) == []
    with pytest.raises(LookupError, match="at 0"):
        values(count.remote(1, "", 0))
    with pytest.raises(TypeError, match="result is a single int\nhint: let it yield"):
        values(plasmon.remote(num_returns="streaming")(lambda: 3).remote())
    # Whatever can be iterated over will do.
    assert values(plasmon.remote(num_returns="streaming")(lambda: [1, "b"]).remote()) == [1, "b"]


def test_a_value_lives_as_long_as_its_reference() -> None:
    @plasmon.remote
    def arrays() -> Iterator[Any]:
        for number in range(40):
            yield np.full(1 << 17, number)

    kept = [reference for number, reference in enumerate(arrays.remote()) if number % 10 == 0]
    # All of them at once would not fit: 40 MiB of 128 are what the last ones take.
    until("the others are gone", lambda: len(rows()) == 4)
    assert [int(plasmon.get(reference)[0]) for reference in kept] == [0, 10, 20, 30]
    assert {row["call_site"].split()[0:2][0] for row in rows()} == {"(task"}


def test_after_its_worker_was_killed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    @plasmon.remote(max_retries=2)
    def fragile(flag: str) -> Iterator[int]:
        for number in range(40):
            if number == 20 and not os.path.exists(flag):
                open(flag, "w").close()
                os.kill(os.getpid(), 9)
            yield number

    assert values(fragile.remote(str(tmp_path / "flag"))) == list(range(40))
    hopeless = list(fragile.options(max_retries=0).remote(str(tmp_path / "other")))
    assert values(hopeless[:-1]) == list(range(len(hopeless) - 1))
    with pytest.raises(plasmon.exceptions.WorkerCrashedError):
        plasmon.get(hopeless[-1])


def test_a_listed_exception_is_tried_again(tmp_path: Path) -> None:
    @plasmon.remote(max_retries=3, retry_exceptions=[OSError])
    def flaky(file: str, kind: type[BaseException]) -> Iterator[int]:
        yield 1
        with open(file, "a") as tries:
            tries.write("x")
        if os.path.getsize(file) < 3:
            raise kind("not yet")
        yield os.path.getsize(file)

    assert values(flaky.remote(str(tmp_path / "os"), ConnectionError)) == [1, 3]
    with pytest.raises(ValueError, match="not yet"):
        values(flaky.remote(str(tmp_path / "value"), ValueError))


def test_one_that_waits_for_room_is_cancelled() -> None:
    numbers = count.remote(10**9)
    first = next(numbers)
    plasmon.cancel(numbers)
    with pytest.raises(plasmon.exceptions.TaskCancelledError):
        values(numbers)
    assert plasmon.get(first) == 0
    until("its worker is free", lambda: plasmon.available_resources()["CPU"] == 2)
    plasmon.cancel(numbers)


def test_methods_and_coroutines_yield_too() -> None:
    @plasmon.remote
    class Source:
        def plain(self, end: int) -> Iterator[int]:
            yield from range(end)

        @plasmon.method(num_returns="dynamic")
        def at_once(self, end: int) -> Iterator[int]:
            yield from range(end)

    @plasmon.remote
    class AsyncSource:
        async def later(self, end: int) -> AsyncIterator[int]:
            for number in range(end):
                await asyncio.sleep(0)
                yield number

        def plain(self, end: int) -> Iterator[int]:
            asyncio.get_running_loop()
            yield from range(end)

    @plasmon.remote
    async def later(end: int) -> AsyncIterator[int]:
        for number in range(end):
            yield number

    source, other = Source.remote(), AsyncSource.remote()
    assert values(source.plain.remote(20)) == list(range(20))
    assert values(plasmon.get(source.at_once.remote(20))) == list(range(20))
    assert values(other.later.remote(20)) == values(other.plain.remote(20)) == values(later.remote(20)) == list(range(20))

    async def gather() -> list[Any]:
        return [await reference async for reference in source.plain.remote(30)]

    assert asyncio.run(gather()) == list(range(30))
    plasmon.kill(source)
    with pytest.raises(plasmon.exceptions.ActorDiedError):
        values(source.plain.remote(1))


def test_what_nobody_wants_more_of_is_closed_where_it_runs_if_it_can_be(tmp_path: Path) -> None:
    @plasmon.remote(num_returns="streaming")
    def listed() -> list[int]:
        return list(range(100))

    @plasmon.remote
    class AsyncSource:
        async def later(self, file: str) -> AsyncIterator[int]:
            try:
                for number in range(100):
                    yield number
            finally:
                await asyncio.sleep(0)
                asyncio.get_running_loop()
                Path(file).touch()

        def plain(self, file: str) -> Iterator[int]:
            try:
                yield from range(100)
            finally:
                asyncio.get_running_loop()
                Path(file).touch()

        @plasmon.method(num_returns="streaming")
        def mapped(self) -> Iterator[int]:
            return map(abs, range(100))

    source = AsyncSource.remote()
    for method, arguments in ((source.later, ["later"]), (source.plain, ["plain"]), (source.mapped, []), (listed, [])):
        numbers = method.remote(*(str(tmp_path / name) for name in arguments))
        assert plasmon.get(next(numbers)) == 0
        del numbers
        for name in arguments:
            until(f"{name} was closed in the loop's thread", (tmp_path / name).exists)
    until("their worker is free", lambda: plasmon.available_resources()["CPU"] == 2)


def test_two_share_a_generator_and_the_loop_goes_on(tmp_path: Path) -> None:
    @plasmon.remote
    def stepwise(directory: str) -> Iterator[int]:
        for number in range(3):
            until(f"the file {number}", Path(directory, str(number)).exists)
            yield number

    async def consume(steps: Any) -> list[Any]:
        return [await reference async for reference in steps]

    async def share() -> list[list[Any]]:
        steps = stepwise.remote(str(tmp_path))
        both = asyncio.gather(consume(steps), consume(steps))
        for number in range(3):
            await asyncio.sleep(0.05)
            # Were the loop blocked, nobody would make the next file.
            (tmp_path / str(number)).touch()
        return await both

    assert sorted(sum(asyncio.run(share()), [])) == [0, 1, 2]


def test_a_value_that_fails_alone_does_not_end_the_generator() -> None:
    @plasmon.remote
    def captives(around: list[Any]) -> Iterator[Any]:
        yield 0
        # A reference to the object that is yielded here itself: it would never be freed.
        yield plasmon.get(around[0])
        yield from range(2, 30)

    holder = Holder.remote()
    numbers = captives.remote([holder.wait.remote()])
    first = next(numbers)
    own = numbers._results.front()
    plasmon.get(holder.give.remote([own]))
    references = [first, *numbers]
    assert len(references) == 30 and references[1] == own
    assert values(references[:1] + references[2:]) == [0, *range(2, 30)]
    with pytest.raises(plasmon.exceptions.EncodeError, match="contain itself"):
        plasmon.get(own)


@plasmon.remote
class Holder:
    """Passes a value on from one call to another."""

    def __init__(self) -> None:
        self.given = asyncio.Event()

    async def give(self, value: Any) -> None:
        self.value = value
        self.given.set()

    async def wait(self) -> Any:
        await self.given.wait()
        return self.value


def test_a_task_passes_on_what_a_generator_yields() -> None:
    @plasmon.remote
    def doubled(end: int) -> Iterator[int]:
        for reference in count.remote(end):
            yield 2 * plasmon.get(reference)

    assert values(doubled.remote(30)) == list(range(0, 60, 2))
    with pytest.raises(TypeError, match="pass the references"):
        pickle.dumps(count.remote(1))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(ends=st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 40), st.integers(0, 41)), min_size=1, max_size=4))
def test_any_number_of_values_is_taken_as_far_as_wanted(ends: list[tuple[int, int, int]]) -> None:
    running = [(count.remote(end, "", fail_at), end, fail_at, wanted) for end, fail_at, wanted in ends]
    for numbers, end, fail_at, wanted in running:
        fails = 0 <= fail_at < end
        there = [reference for _, reference in zip(range(wanted), numbers)]
        assert len(there) == min(wanted, fail_at + 1 if fails else end)
        if fails and len(there) == fail_at + 1:
            with pytest.raises(LookupError):
                plasmon.get(there.pop())
        assert values(there) == list(range(len(there)))
