"""A coroutine in an event loop of another thread. Imported where there is one: asyncio is much to carry for workers without."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, Coroutine


class Running:
    """A coroutine that runs in a loop, for a thread that waits for it."""

    def __init__(self, loop: Any, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop, self._cancelled = loop, False
        self._task: Any = None
        self._result: concurrent.futures.Future[Any] = concurrent.futures.Future()
        loop.call_soon_threadsafe(self._begin, coroutine)

    def _begin(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._task = self._loop.create_task(_contained(coroutine))
        self._task.add_done_callback(self._end)

    def _end(self, task: Any) -> None:
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
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def result(self) -> Any:
        """What it returns or raises, once it has."""
        try:
            value = self._result.result()
        except KeyboardInterrupt:
            # The task was cancelled, and it is told in its own way; when it has ended, the task has.
            self.cancel()
            self._result.exception()
            raise
        if isinstance(value, _Ends):
            raise value.error
        return value


class _Ends:
    """What would end the loop, with whatever else runs in it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await coroutine
    except (KeyboardInterrupt, SystemExit) as error:
        return _Ends(error)
