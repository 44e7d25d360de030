"""A coroutine in an event loop of another thread. Imported where there is one: asyncio is much to carry for workers without."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, Coroutine


class Running:
    """A coroutine that runs in a loop, for a thread that waits for it."""

    def __init__(self, loop: Any, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop, self._coroutine, self._cancelled = loop, coroutine, False
        self._task: Any = None
        self._result: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def begin(self) -> None:
        """It runs from now on, in this thread's context."""
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(_contained(self._coroutine))
        self._task.add_done_callback(self._end)

    def _end(self, task: Any) -> None:
        # Cancelled before its first step, what it contains was never awaited.
        self._coroutine.close()
        if task.cancelled():
            self._result.set_exception(asyncio.CancelledError())
        elif task.exception() is not None:
            self._result.set_exception(task.exception())
        else:
            self._result.set_result(task.result())

    def cancel(self) -> None:
        """Raises ``asyncio.CancelledError`` in it, once. From any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()
        else:
            # Who was to begin it was interrupted before: what the loop is told, it is told in order.
            self._coroutine.close()
            self._result.set_exception(asyncio.CancelledError())

    def result(self) -> Any:
        """What it returns or raises, once it has."""
        value = self._result.result()
        if isinstance(value, _Ends):
            raise value.error
        return value

    def end(self) -> None:
        """Returns when it does not run any more, which it is told in its own way."""
        if not self._result.done():
            self.cancel()
            self._result.exception()


class _Ends:
    """What would end the loop, with whatever else runs in it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        return _Ends(error)
