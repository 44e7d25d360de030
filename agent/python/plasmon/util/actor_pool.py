"""Work for several actors of the same kind: each takes the next piece when it has done one."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Generic, Iterable, Iterator, Optional, TypeVar

from .. import _plasmon
from .._actor import ActorHandle

V = TypeVar("V")
#: Calls a method of the actor with the value, and returns the reference.
Call = Callable[[ActorHandle, V], "_plasmon.ObjectRef[Any]"]


class ActorPool(Generic[V]):
    """Hands values to actors that have nothing to do, one at a time each; the others wait for their turn.

    >>> pool = ActorPool([Worker.remote(), Worker.remote()])
    >>> list(pool.map(lambda actor, value: actor.double.remote(value), [1, 2, 3]))
    [2, 4, 6]

    An actor takes its next value when its result before is taken.

    Args:
        actors: handles; the pool can have more with ``push``.

    Raises:
        TypeError: one of them is no handle.
    """

    def __init__(self, actors: Iterable[ActorHandle]) -> None:
        self._idle: list[ActorHandle] = []
        #: What is being worked on, in the order of its submission: the result, and who makes it.
        self._running: dict[int, tuple[_plasmon.ObjectRef[Any], ActorHandle]] = {}
        self._waiting: deque[tuple[Call[V], V]] = deque()
        self._begun = 0
        for actor in actors:
            self.push(actor)

    def map(self, fn: Call[V], values: Iterable[V]) -> Iterator[Any]:
        """The results of all values, in their order. What was submitted before is forgotten.

        Args:
            fn: ``lambda actor, value: actor.method.remote(value)``.
            values: all are read at once.
        """
        self._submit_all(fn, values)
        return self._results(self.get_next)

    def map_unordered(self, fn: Call[V], values: Iterable[V]) -> Iterator[Any]:
        """The same, each result as soon as it is there."""
        self._submit_all(fn, values)
        return self._results(self.get_next_unordered)

    def submit(self, fn: Call[V], value: V) -> None:
        """Has an actor work on a value, as soon as one is free.

        Raises:
            TypeError: ``fn`` returned no reference.
        """
        if not self._idle:
            self._waiting.append((fn, value))
            return
        actor = self._idle.pop()
        try:
            ref = fn(actor, value)
            if not isinstance(ref, _plasmon.ObjectRef):
                raise TypeError(
                    f"a function of an ActorPool returns one ObjectRef, not {type(ref).__name__}\n"
                    "hint: lambda actor, value: actor.method.remote(value)"
                )
        except BaseException:
            self._idle.append(actor)
            raise
        self._running[self._begun] = ref, actor
        self._begun += 1

    def has_next(self) -> bool:
        """Whether a result is still to be taken."""
        return bool(self._running or self._waiting)

    def get_next(self, timeout: Optional[float] = None, ignore_if_timedout: bool = False) -> Any:
        """The next result, in the order of the submissions.

        Args:
            timeout: seconds; as long as it takes without.
            ignore_if_timedout: a result that is not there in time will not be told any more, and its actor takes the next value.

        Raises:
            StopIteration: all results were taken.
            TimeoutError: it is not there in time.
            ValueError: something waits and the pool has no actor.
        """
        self._check()
        return self._take(min(self._running), timeout, ignore_if_timedout)

    def get_next_unordered(self, timeout: Optional[float] = None, ignore_if_timedout: bool = False) -> Any:
        """The result that is there first; otherwise as ``get_next``. What is ignored is the one that was submitted first."""
        self._check()
        refs = {ref: number for number, (ref, _) in self._running.items()}
        ready, _ = _plasmon.wait(list(refs), num_returns=1, timeout=timeout)
        return self._take(refs[ready[0]] if ready else min(self._running), 0, ignore_if_timedout)

    def has_free(self) -> bool:
        """Whether an actor has nothing to do, and nothing waits for one."""
        return bool(self._idle) and not self._waiting

    def pop_idle(self) -> Optional[ActorHandle]:
        """Takes an actor that has nothing to do out of the pool; ``None`` when there is none."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: ActorHandle) -> None:
        """Adds an actor to the pool.

        Raises:
            TypeError: it is no handle.
            ValueError: the pool has it.
        """
        if not isinstance(actor, ActorHandle):
            raise TypeError(f"an ActorPool is of actors' handles, not {type(actor).__name__}\nhint: ActorPool([Worker.remote()])")
        if actor in self._idle or any(actor == busy for _, busy in self._running.values()):
            raise ValueError(f"the pool has {actor!r} already")
        self._free(actor)

    def _submit_all(self, fn: Call[V], values: Iterable[V]) -> None:
        self._waiting.clear()
        for number in list(self._running):
            self._free(self._running.pop(number)[1])
        for value in values:
            self.submit(fn, value)

    def _results(self, take: Callable[[], Any]) -> Iterator[Any]:
        while self.has_next():
            yield take()

    def _check(self) -> None:
        if not self.has_next():
            raise StopIteration("all results were taken")
        if not self._running:
            raise ValueError(f"{len(self._waiting)} values wait, and the pool has no actor\nhint: pool.push(actor)")

    def _take(self, number: int, timeout: Optional[float], ignore: bool) -> Any:
        ref, actor = self._running[number]
        ready, _ = _plasmon.wait([ref], num_returns=1, timeout=timeout)
        if not ready and not ignore:
            raise TimeoutError("the result is not there in time")
        del self._running[number]
        self._free(actor)
        if not ready:
            raise TimeoutError("the result is not there in time, and will not be told any more")
        return _plasmon.get(ref)

    def _free(self, actor: ActorHandle) -> None:
        self._idle.append(actor)
        if self._waiting:
            self.submit(*self._waiting.popleft())
