"""What runs in a worker: functions that were exported, with arguments that were sent."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import sys
import threading
import traceback
from types import CodeType, FrameType, TracebackType
from typing import Any, Callable, Optional

from . import _init, _logs, _plasmon
from ._actor import METHODS, methods_of
from ._pickling import encode
from .exceptions import TaskError

#: What an exception may take, pickled; beyond it only its text is sent.
_MAX_EXCEPTION = 12 << 10
_MAX_TRACEBACK = 6 << 10

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Handler:
    """Called by the native half."""

    def __init__(self) -> None:
        self._loop: Any = None
        self._marked = False
        self._lock = threading.Lock()
        #: The exception that this thread's task raised and that is not worth a retry.
        self._unlisted = threading.local()

    def place_of(self, loaded: tuple[Any, str]) -> tuple[str, int, str]:
        """Where an exported function or class is defined: its file, line and name. A worker is of one job, which the first one tells of."""
        if not self._marked:
            self._marked = True
            _init.join_namespace(loaded[1])
            _logs.mark(_plasmon.facts())
        return _place(loaded[0])

    def place_of_method(self, instance: Any, name: str) -> tuple[str, int, str]:
        """Where a method is defined."""
        return _place(getattr(type(instance), name.rpartition(".")[2], type(instance)))

    def run(self, loaded: tuple[Callable[..., Any], str], payload: tuple[Any, ...], objects: list[Any]) -> tuple[Any, ...]:
        """Calls a function; its results."""
        num_returns, args, kwargs = _arguments(payload, objects)
        del objects, payload
        retried: Any = None
        if isinstance(num_returns, tuple):
            num_returns, retried = num_returns
        try:
            return self._results(loaded[0](*args, **kwargs), num_returns, loaded[0])
        except BaseException as error:
            if retried is not None and not isinstance(error, retried):
                self._unlisted.error = error
            raise

    def create(self, loaded: tuple[type, str], payload: tuple[Any, ...], objects: list[Any]) -> Any:
        """Makes an actor's instance."""
        _, args, kwargs = _arguments(payload, objects)
        return loaded[0](*args, **kwargs)

    def call(self, instance: Any, payload: tuple[Any, ...], objects: list[Any]) -> tuple[Any, ...]:
        """Calls a method; its results."""
        if payload[4] == METHODS:
            return (methods_of(type(instance)),)
        num_returns, args, kwargs = _arguments(payload, objects)
        method = getattr(instance, payload[4])
        del objects, payload
        return self._results(method(*args, **kwargs), num_returns, method)

    def _results(self, value: Any, num_returns: Any, function: Any) -> tuple[Any, ...]:
        if inspect.iscoroutine(value):
            value = self._awaited(value)
        if num_returns == 1:
            return (value,)
        if num_returns == 0:
            return ()
        if num_returns in ("dynamic", "streaming"):
            from ._generators import ObjectRefGenerator

            return (ObjectRefGenerator([_plasmon.put(item) for item in value]),)
        name = getattr(function, "__qualname__", repr(function))
        try:
            results = tuple(value)
        except TypeError:
            raise ValueError(f"{name} returns {num_returns} objects, but its result is a single {type(value).__name__}") from None
        if len(results) != num_returns:
            raise ValueError(f"{name} returns {num_returns} objects, but its result has {len(results)}")
        return results

    def _awaited(self, coroutine: Any) -> Any:
        """Runs a coroutine on the worker's event loop, beside the others."""
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="plasmon-asyncio", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def describe(self, error: BaseException) -> tuple[str, bytes, bool]:
        """An exception as text, with its traceback as a pickle of ``(exception, traceback)``, which is empty where it does not pickle, and
        whether it is worth a retry."""
        listed = self._unlisted.__dict__.pop("error", None) is not error
        remote = "".join(traceback.format_exception(type(error), error, _shown(error.__traceback__)))
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, TaskError):
            message = str(error)
        if len(remote) > _MAX_TRACEBACK:
            remote = remote[: _MAX_TRACEBACK // 2] + "\n[...]\n" + remote[-_MAX_TRACEBACK // 2 :]
        bare = error.with_traceback(None)
        bare.__cause__ = bare.__context__ = None
        for described in (bare, None):
            try:
                value, parts = encode((described, remote))
                # It is read back there; what is not may be of a class that only pickles.
                pickle.loads(value)
            except Exception:
                continue
            if not parts and len(value) <= _MAX_EXCEPTION:
                return message[:4000], value, listed
        return f"{message}\n{remote}"[:4000], b"", listed


def _shown(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """A traceback from the program's first frame on."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace


def _arguments(payload: tuple[Any, ...], objects: list[Any]) -> tuple[Any, Any, dict[str, Any]]:
    num_returns, args, kwargs, places, _ = payload
    kwargs = kwargs or {}
    if places:
        args = list(args)
        for place, value in zip(places, objects):
            if isinstance(place, int):
                args[place] = value
            else:
                kwargs[place] = value
    return num_returns, args, kwargs


def _place(what: Any) -> tuple[str, int, str]:
    what = inspect.unwrap(what) if callable(what) else what
    code: Optional[CodeType] = getattr(what, "__code__", None)
    name = getattr(what, "__qualname__", type(what).__qualname__)
    if code is None and isinstance(what, type):
        code = getattr(what.__dict__.get("__init__"), "__code__", None)
        if code is None:
            code = next((value.__code__ for value in vars(what).values() if hasattr(value, "__code__")), None)
    if code is None:
        return "", 0, name
    return code.co_filename, code.co_firstlineno, name


def _interrupted(_number: int, _frame: Optional[FrameType]) -> None:
    """A task was cancelled while it runs: the main thread's own ends with an exception, as Ctrl-C would end it."""
    if _plasmon.is_cancelled():
        raise KeyboardInterrupt("the task was cancelled")


def main() -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, _interrupted)
    boot = os.environ.pop("PLASMON_BOOT", "")
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    code = _plasmon.run_as(boot, Handler())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads that a task left behind do not keep it.
    os._exit(2 if code is None else code)
