"""Futures of objects, for threads and for coroutines."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, Generator, Optional

from . import _plasmon


def future_of(reference: _plasmon.ObjectRef[Any]) -> concurrent.futures.Future[Any]:
    """A future of the object's value."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def ready(reference: _plasmon.ObjectRef[Any], error: Optional[BaseException]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
            return
        try:
            value = _plasmon.get(reference)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    _plasmon.when_ready(reference, ready)
    return future


def await_on(reference: _plasmon.ObjectRef[Any]) -> Generator[Any, None, Any]:
    """What ``await`` on a reference does."""
    return asyncio.wrap_future(future_of(reference)).__await__()
