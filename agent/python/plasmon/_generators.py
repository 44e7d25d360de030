"""Tasks whose results are as many as a generator yields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Generic, Iterator, Optional, TypeVar

from . import _plasmon

if TYPE_CHECKING:
    import asyncio

_T = TypeVar("_T")


class DynamicObjectRefGenerator:
    """With ``num_returns="dynamic"``: what ``get`` returns, an iterable of references to what the generator yielded, in order."""

    def __init__(self, references: list[_plasmon.ObjectRef[Any]]) -> None:
        self._references = references

    def __iter__(self) -> Iterator[_plasmon.ObjectRef[Any]]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def __repr__(self) -> str:
        return f"<{len(self)} references>"


class ObjectRefGenerator(Generic[_T]):
    """With ``num_returns="streaming"``: what ``.remote()`` returns at once, an iterator over references to what the generator yields.

    Each reference comes as soon as its value was yielded, while the task still runs; the task runs at most 16 values ahead. An exception
    comes in its place, as a reference whose ``get`` raises it, and ends the iteration. ``async for`` iterates, too. When the iterator is
    gone, the task ends at its next value.
    """

    def __init__(self, results: _plasmon.Results) -> None:
        self._results = results

    def __iter__(self) -> ObjectRefGenerator[_T]:
        return self

    def __next__(self) -> _plasmon.ObjectRef[_T]:
        reference = self._results.next()
        if reference is None:
            raise StopIteration
        return reference

    def __aiter__(self) -> AsyncIterator[_plasmon.ObjectRef[_T]]:
        return self

    async def __anext__(self) -> _plasmon.ObjectRef[_T]:
        # Here: it is much to carry for whoever has no loop.
        import asyncio

        while front := self._results.front():
            ready = asyncio.get_running_loop().create_future()
            _plasmon.when_ready(front, _telling(ready))
            await ready
            try:
                # The loop waits for nothing: somebody else may have taken that one.
                reference = self._results.next(0.0)
            except TimeoutError:
                continue
            if reference is None:
                break
            return reference
        raise StopAsyncIteration

    def next_ready(self) -> bool:
        """Whether ``next`` returns a reference at once. False behind the last one."""
        front = self._results.front()
        # Asked last: what tells that there are no more counts as there, too.
        return front is not None and bool(_plasmon.wait([front], timeout=0.0)[0]) and not self.is_finished()

    def is_finished(self) -> bool:
        """Whether all was taken of what the generator has yielded, and it has ended."""
        return self._results.is_finished()

    def next_within(self, timeout: float) -> _plasmon.ObjectRef[_T]:
        """The next reference, as ``next`` returns it.

        Args:
            timeout: seconds after which it gives up.

        Raises:
            TimeoutError: nothing was yielded in time. The value comes with the next call.
            StopIteration: there are no more.
        """
        reference = self._results.next(timeout)
        if reference is None:
            raise StopIteration
        return reference

    def __reduce__(self) -> Any:
        raise TypeError("a generator's results cannot be passed on\nhint: pass the references that it yields")

    def __repr__(self) -> str:
        return f"<references to what a generator yields: {self._results!r}>"


def _telling(ready: asyncio.Future[None]) -> Callable[[Any, Any], object]:
    return lambda _reference, _error: ready.get_loop().call_soon_threadsafe(_done, ready)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def wait_for_next(items: list[Any], num_returns: int, timeout: Optional[float]) -> tuple[list[Any], list[Any]]:
    """``plasmon.wait`` where generators are among the references: one is there when its next value is, or its end."""
    fronts = [item._results.front() if isinstance(item, ObjectRefGenerator) else item for item in items]
    ended = sum(front is None for front in fronts)
    there: set[Any] = set()
    waited = [front for front in fronts if front is not None]
    if waited:
        wanted = max(1, min(num_returns - ended, len(waited)))
        there = set(_plasmon.wait(waited, num_returns=wanted, timeout=0.0 if ended >= num_returns else timeout)[0])
    ready: list[Any] = []
    rest: list[Any] = []
    for item, front in zip(items, fronts):
        (ready if len(ready) < num_returns and (front is None or front in there) else rest).append(item)
    return ready, rest


def yields(function: Callable[..., Any]) -> bool:
    """Whether a function is a generator: then its results are streamed where nothing else is said."""
    import inspect

    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
