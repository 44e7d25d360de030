"""A program that uses every name of the package: ``mypy --strict`` finds nothing wrong with it, and it runs."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, AsyncIterator, Iterator

import plasmon
from plasmon import exceptions


@plasmon.remote
def double(number: int) -> int:
    return 2 * number


@plasmon.remote
def numbers(end: int) -> Iterator[int]:
    yield from range(end)


@plasmon.remote
async def later(text: str) -> str:
    return text


@plasmon.remote(
    num_cpus=1, num_gpus=0, memory=1 << 20, resources={"db": 1}, num_returns=2, max_retries=-1, retry_exceptions=[OSError], name="pair", timeout=60
)
def pair() -> tuple[int, int]:
    return 1, 2


class Counting:
    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, amount: int = 1) -> int:
        self.total += amount
        return self.total

    @plasmon.method(num_returns=2)
    def both(self) -> tuple[int, int]:
        return self.total, -self.total

    async def waits(self) -> int:
        return self.total

    async def counts(self, end: int) -> AsyncIterator[int]:
        for number in range(end):
            yield number


# Type checkers know what a function returns, not what a decorator makes of a class.
Counter = plasmon.remote(Counting)


def main() -> None:
    context = plasmon.init(
        num_cpus=4,
        num_gpus=0,
        memory=1 << 30,
        object_store_memory=64 << 20,
        resources={"db": 2},
        namespace="typed",
        ignore_reinit_error=True,
        log_to_driver=True,
        agent_options={"fail_infeasible": True},
    )
    session: str = context.address_info["session"]
    assert session and plasmon.is_initialized()

    number: int = plasmon.get(plasmon.put(3))
    result: plasmon.ObjectRef[int] = double.remote(number)
    doubled: int = plasmon.get(result, timeout=60)
    all_of_them: list[int] = plasmon.get([double.remote(one) for one in range(3)])
    ready, rest = plasmon.wait([result, double.remote(1)], num_returns=2, timeout=60, fetch_local=True)
    assert doubled == 6 and all_of_them == [0, 2, 4] and len(ready) == 2 and not rest
    text: str = plasmon.get(later.remote("text"))
    named: int = plasmon.get(double.options(name="two times", num_cpus=0.5).remote(4))
    one, two = pair.remote()
    assert (text, named, plasmon.get(one), plasmon.get(two)) == ("text", 8, 1, 2)

    yielded: plasmon.ObjectRefGenerator[int] = numbers.remote(3)
    first: plasmon.ObjectRef[int] = yielded.next_within(60)
    assert [plasmon.get(first)] + [plasmon.get(reference) for reference in yielded] == [0, 1, 2]
    dynamic: plasmon.DynamicObjectRefGenerator = plasmon.get(numbers.options(num_returns="dynamic").remote(3))
    assert len(dynamic) == 3
    plasmon.cancel(yielded)

    identity: tuple[str, bytes, bool, int] = result.hex(), result.binary(), result.is_nil(), hash(result)
    future: Future[int] = result.future()
    assert identity and future.result() == 6 and result == result

    async def awaits() -> int:
        return await result

    assert asyncio.run(awaits()) == 6

    counter = Counter.options(
        name="counts", namespace="typed", lifetime="detached", get_if_exists=True, max_restarts=1, max_task_retries=1, max_concurrency=4
    ).remote(10)
    handle: plasmon.ActorHandle = plasmon.get_actor("counts", namespace="typed")
    assert handle == counter and plasmon.get(handle.add.remote(5)) == 15 and plasmon.get(counter.waits.remote()) == 15
    assert plasmon.get(counter.both.options(num_returns=2).remote()) == [15, -15]
    assert [plasmon.get(reference) for reference in counter.counts.remote(2)] == [0, 1]
    plasmon.kill(counter, no_restart=True)
    try:
        plasmon.get(counter.add.remote())
    except exceptions.RayActorError as error:
        assert error.code == "actor_died" and error.hint
    plasmon.cancel(result, force=False, recursive=True)

    runtime: plasmon.RuntimeContext = plasmon.get_runtime_context()
    assert runtime.get_job_id() and runtime.get_node_id() and runtime.get_worker_id() and runtime.namespace == "typed"
    assert runtime.get_task_id() is None and runtime.get_actor_id() is None and runtime.get_actor_name() is None
    assert runtime.get_assigned_resources() == {}
    free: dict[str, float] = plasmon.available_resources()
    nodes: list[dict[str, Any]] = plasmon.nodes()
    assert plasmon.cluster_resources()["db"] == 2 and free["CPU"] <= 4 and nodes[0]["Alive"]

    plasmon.set_call_sites(hidden=["asyncio"], enabled=True)
    summary: str = plasmon.memory_summary(group_by="PID", sort_by="AGE", units="AUTO", num_entries=3, stats_only=False)
    rows: list[dict[str, Any]] = plasmon.state.list_objects()
    store: plasmon.state.Store = plasmon.state.store()
    assert summary and rows and store["capacity_bytes"]
    values: list[Any] = plasmon.progress([double.remote(1)], desc="doubling", disable=True)
    assert values == [2]
    plasmon.shutdown()


if __name__ == "__main__":
    main()
    print("all of it")
