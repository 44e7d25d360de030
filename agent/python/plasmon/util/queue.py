"""A queue between programs, tasks and actors: whoever has it can put into it and take out of it."""

from __future__ import annotations

import asyncio
import queue
from typing import Any, Iterable, Optional

from .. import _plasmon
from .._actor import ActorClass, kill

__all__ = ["Empty", "Full", "Queue"]


class Empty(queue.Empty):
    """Nothing was there in time."""


class Full(queue.Full):
    """There was no room in time."""


class _Items:
    """The items, in the worker of an actor. Whether there was room, or an item, is told and not raised: a queue that is asked again and again
    is not a call that fails again and again."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._made: Optional[asyncio.Queue[Any]] = None

    @property
    def _items(self) -> asyncio.Queue[Any]:
        # Before CPython 3.10 it belongs to the event loop that it is made in.
        if self._made is None:
            self._made = asyncio.Queue(self._maxsize)
        return self._made

    async def size(self) -> int:
        return self._items.qsize()

    async def put(self, item: Any, timeout: Optional[float]) -> bool:
        try:
            await asyncio.wait_for(self._items.put(item), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    async def put_at_once(self, items: list[Any]) -> int:
        """Room for so many, of which all were put if that is enough, and else none."""
        room = self._maxsize - self._items.qsize() if self._maxsize > 0 else len(items)
        if len(items) <= room:
            for item in items:
                self._items.put_nowait(item)
        return room

    async def get(self, timeout: Optional[float]) -> Optional[tuple[Any]]:
        try:
            return (await asyncio.wait_for(self._items.get(), timeout),)
        except asyncio.TimeoutError:
            return None

    async def get_at_once(self, count: int) -> tuple[int, list[Any]]:
        """How many there are, and the first ones if those are enough."""
        there = self._items.qsize()
        return there, [self._items.get_nowait() for _ in range(count)] if count <= there else []


class Queue:
    """First in, first out. It can be passed on as an argument and lives as long as anybody has it.

    >>> queue = Queue(maxsize=100)
    >>> queue.put(1)
    >>> queue.get()
    1

    Args:
        maxsize: items that it takes; any number when it is 0 or less.
        actor_options: how its actor lives: ``{"num_cpus": 1, "name": "jobs"}``.

    Raises:
        TypeError: there is no such option, or ``maxsize`` is no whole number.
    """

    def __init__(self, maxsize: int = 0, actor_options: Optional[dict[str, Any]] = None) -> None:
        if isinstance(maxsize, bool) or not isinstance(maxsize, int):
            raise TypeError(f"maxsize is a whole number, not {type(maxsize).__name__}")
        self.maxsize = maxsize
        #: The actor that has the items.
        self.actor = ActorClass._of(_Items, actor_options or {}).remote(maxsize)

    def __len__(self) -> int:
        return self.size()

    def size(self) -> int:
        """How many items there are at this moment."""
        return int(_plasmon.get(self.actor.size.remote()))

    def qsize(self) -> int:
        """The same."""
        return self.size()

    def empty(self) -> bool:
        """Whether there is none at this moment."""
        return self.size() == 0

    def full(self) -> bool:
        """Whether it takes no more at this moment."""
        return 0 < self.maxsize <= self.size()

    def put(self, item: Any, block: bool = True, timeout: Optional[float] = None) -> None:
        """Puts an item behind the others.

        Args:
            item: any value that can be put.
            block: waits for room; otherwise there is some now, or never.
            timeout: seconds that it waits; as long as it takes without.

        Raises:
            Full: there was no room in time.
            ValueError: ``timeout`` is negative.
        """
        if not block:
            self.put_nowait(item)
        elif not _plasmon.get(self.actor.put.remote(item, _seconds(timeout))):
            raise Full

    async def put_async(self, item: Any, block: bool = True, timeout: Optional[float] = None) -> None:
        """As ``put``, for a coroutine."""
        if not block:
            self._put(await self.actor.put_at_once.remote([item]), 1)
        elif not await self.actor.put.remote(item, _seconds(timeout)):
            raise Full

    def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """Takes the first item.

        Args:
            block: waits for one; otherwise there is one now, or never.
            timeout: seconds that it waits; as long as it takes without.

        Raises:
            Empty: there was none in time.
            ValueError: ``timeout`` is negative.
        """
        if not block:
            return self.get_nowait()
        return _one(_plasmon.get(self.actor.get.remote(_seconds(timeout))))

    async def get_async(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """As ``get``, for a coroutine."""
        if not block:
            return self._got(await self.actor.get_at_once.remote(1), 1)[0]
        return _one(await self.actor.get.remote(_seconds(timeout)))

    def put_nowait(self, item: Any) -> None:
        """Puts an item if there is room now.

        Raises:
            Full: there is none.
        """
        self.put_nowait_batch([item])

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Puts all these items, or none of them.

        Raises:
            Full: there is not room for all.
        """
        items = list(items)
        self._put(_plasmon.get(self.actor.put_at_once.remote(items)), len(items))

    def get_nowait(self) -> Any:
        """Takes the first item if there is one now.

        Raises:
            Empty: there is none.
        """
        return self.get_nowait_batch(1)[0]

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Takes so many items, or none.

        Raises:
            Empty: there are fewer.
            ValueError: ``num_items`` is negative.
        """
        if num_items < 0:
            raise ValueError(f"num_items is at least 0, not {num_items}")
        return self._got(_plasmon.get(self.actor.get_at_once.remote(num_items)), num_items)

    def shutdown(self, force: bool = False, grace_period_s: float = 5) -> None:
        """Ends the queue, whoever has it: its items are gone, and calls of it fail from then on.

        Args:
            force: at once; otherwise what was called before is done.
            grace_period_s: seconds until it ends at once in any case.
        """
        if not force:
            ended = self.actor.__ray_terminate__.remote()
            if _plasmon.wait([ended], num_returns=1, timeout=grace_period_s)[0]:
                return
        kill(self.actor)

    def _put(self, room: int, count: int) -> None:
        if count > room:
            raise Full(f"there is room for {max(room, 0)} more, not for {count}")

    def _got(self, answer: tuple[int, list[Any]], count: int) -> list[Any]:
        there, items = answer
        if count > there:
            raise Empty(f"there are {there} items, not {count}")
        return items


def _seconds(timeout: Optional[float]) -> Optional[float]:
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout is at least 0 seconds, not {timeout}")
    return timeout


def _one(answer: Optional[tuple[Any]]) -> Any:
    if answer is None:
        raise Empty
    return answer[0]
