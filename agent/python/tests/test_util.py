"""What is built of actors: pools and queues."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import plasmon
import pytest
from conftest import until
from plasmon.util import ActorPool
from plasmon.util.queue import Empty, Full, Queue

pytestmark = pytest.mark.usefixtures("agent")


@plasmon.remote
class Worker:
    def double(self, value: int) -> int:
        return 2 * value

    def wait_for(self, path: str, value: int) -> int:
        until(f"{path} is there", Path(path).exists)
        return value

    def fail(self, value: int) -> int:
        raise KeyError(value)


def doubled(actor: Any, value: int) -> Any:
    return actor.double.remote(value)


def failing(actor: Any, value: int) -> Any:
    return actor.fail.remote(value) if value == 1 else actor.double.remote(value)


def test_a_pool_gives_results_in_order_and_each_actor_one_value_at_a_time() -> None:
    pool: ActorPool[int] = ActorPool([Worker.remote(), Worker.remote()])
    assert list(pool.map(doubled, range(10))) == [2 * value for value in range(10)]
    assert sorted(pool.map_unordered(doubled, range(10))) == [2 * value for value in range(10)]
    assert not pool.has_next() and pool.has_free()
    for value in range(3):
        pool.submit(doubled, value)
    assert not pool.has_free() and pool.pop_idle() is None
    assert [pool.get_next() for _ in range(3)] == [0, 2, 4]
    with pytest.raises(StopIteration):
        pool.get_next()
    with pytest.raises(StopIteration):
        pool.get_next_unordered()


def test_what_is_there_first_comes_first(tmp_path: Path) -> None:
    go = tmp_path / "go"

    def slow(actor: Any, value: int) -> Any:
        return actor.wait_for.remote(str(go), value)

    pool: ActorPool[int] = ActorPool([Worker.remote(), Worker.remote()])
    pool.submit(slow, 1)
    pool.submit(doubled, 2)
    assert pool.get_next_unordered() == 4
    with pytest.raises(TimeoutError):
        pool.get_next(timeout=0.01)
    with pytest.raises(TimeoutError):
        pool.get_next_unordered(timeout=0)
    assert pool.has_next(), "a result that is not there in time can still be taken"
    with pytest.raises(TimeoutError, match="any more"):
        pool.get_next(timeout=0, ignore_if_timedout=True)
    assert not pool.has_next()
    go.touch()
    assert list(pool.map(doubled, [3, 4])) == [6, 8]


def test_an_actor_whose_call_fails_takes_the_next_value() -> None:
    pool: ActorPool[int] = ActorPool([Worker.remote()])
    for value in range(3):
        pool.submit(failing, value)
    assert pool.get_next() == 0
    with pytest.raises(KeyError):
        pool.get_next()
    assert pool.get_next() == 4
    with pytest.raises(TypeError, match="one ObjectRef, not int"):
        pool.submit(lambda _actor, value: value, 1)  # type: ignore[arg-type, return-value]
    assert pool.has_free()


def test_a_pool_grows_and_shrinks() -> None:
    actor = Worker.remote()
    pool: ActorPool[int] = ActorPool([actor])
    with pytest.raises(ValueError, match="already"):
        pool.push(actor)
    assert pool.pop_idle() == actor and pool.pop_idle() is None
    pool.submit(doubled, 1)
    with pytest.raises(ValueError, match="no actor"):
        pool.get_next()
    pool.push(actor)
    with pytest.raises(ValueError, match="already"):
        pool.push(actor)
    assert pool.get_next() == 2
    with pytest.raises(TypeError, match="handles, not int"):
        pool.push(1)  # type: ignore[arg-type]


def test_a_queue_is_first_in_first_out_and_says_when_it_is_full_or_empty() -> None:
    queue = Queue(maxsize=2)
    assert queue.empty() and not queue.full() and len(queue) == 0
    queue.put("a")
    queue.put(np.arange(3))
    assert queue.full() and queue.qsize() == 2
    for put in (lambda: queue.put("c", timeout=0.01), lambda: queue.put("c", block=False), lambda: queue.put_nowait("c")):
        with pytest.raises(Full):
            put()
    assert queue.get() == "a"
    assert queue.get_nowait().tolist() == [0, 1, 2]
    for get in (lambda: queue.get(timeout=0.01), lambda: queue.get(block=False), lambda: queue.get_nowait()):
        with pytest.raises(Empty):
            get()
    queue.put_nowait_batch([1, 2])
    with pytest.raises(Full, match="room for 0 more, not for 1"):
        queue.put_nowait_batch([3])
    with pytest.raises(Empty, match="there are 2 items, not 3"):
        queue.get_nowait_batch(3)
    assert queue.get_nowait_batch(2) == [1, 2]
    endless = Queue()
    endless.put_nowait_batch(range(100))
    assert endless.get_nowait_batch(100) == list(range(100)) and not endless.full()


def test_whoever_waits_is_served_when_somebody_else_comes() -> None:
    @plasmon.remote(num_cpus=0)
    def produce(queue: Queue) -> None:
        for item in range(20):
            queue.put(item)

    queue = Queue(maxsize=1)
    done = produce.remote(queue)
    assert [queue.get(timeout=60) for _ in range(20)] == list(range(20))
    plasmon.get(done)
    taken: list[Any] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.get()))
    waiting.start()
    queue.put(None)
    waiting.join(60)
    assert taken == [None]

    async def through() -> list[Any]:
        await queue.put_async(1)
        with pytest.raises(Full):
            await queue.put_async(2, block=False)
        first = await queue.get_async()
        with pytest.raises(Empty):
            await queue.get_async(timeout=0.01)
        with pytest.raises(Empty):
            await queue.get_async(block=False)
        return [first]

    assert asyncio.run(through()) == [1]


def test_a_queue_that_was_shut_down_fails_its_calls() -> None:
    for force in (False, True):
        queue = Queue(actor_options={"name": f"queue {force}"})
        assert plasmon.get_actor(f"queue {force}") == queue.actor
        queue.put(1)
        queue.shutdown(force=force)
        with pytest.raises(plasmon.exceptions.ActorDiedError):
            queue.get()


def test_bad_words_to_a_queue() -> None:
    with pytest.raises(TypeError, match="whole number, not str"):
        Queue("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="num_cpus"):
        Queue(actor_options={"num_cpu": 1})
    queue = Queue()
    for wrong in (lambda: queue.get(timeout=-1), lambda: queue.put(1, timeout=-0.5), lambda: queue.get_nowait_batch(-1)):
        with pytest.raises(ValueError, match="at least 0"):
            wrong()
    with pytest.raises(TypeError, match="pickle"):
        queue.put(threading.Lock())
    assert queue.empty()
