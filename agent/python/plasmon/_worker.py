"""What runs in a worker: functions that were exported, with arguments that were sent."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import pickle
import signal
import sys
import threading
import traceback
from types import CodeType, FrameType, TracebackType
from typing import Any, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Optional, Union

from . import _init, _logs, _node, _plasmon, _sites
from ._actor import BUILT_IN, METHODS, is_async, told_methods
from ._leaving import leave
from ._options import ONE_CPU
from ._pickling import encode
from .exceptions import Parts, TaskError

#: What an exception may take, pickled; beyond it only its text is sent.
_MAX_EXCEPTION = 12 << 10
_MAX_TRACEBACK = 6 << 10

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FUTURES = os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "concurrent", "futures") + os.sep


class Handler:
    """Called by the native half."""

    def __init__(self) -> None:
        #: Where the methods of an actor run that has async ones: each in one thread, which they share by waiting.
        self._loop: Any = None
        self._marked = False
        self._lock = threading.Lock()
        #: The exception that this thread's task raised and that is not worth a retry.
        self._unlisted = threading.local()

    def place_of(self, loaded: tuple[Any, str, list[str]]) -> tuple[str, int, str]:
        """Where an exported function or class is defined: its file, line and name. A worker is of one job, which the first one tells of."""
        if not self._marked:
            self._marked = True
            _init.join_namespace(loaded[1])
            _logs.mark(_plasmon.facts())
        if loaded[2] != _sites.hidden_files():
            _sites.hide(loaded[2])
        return _place(loaded[0])

    def place_of_method(self, instance: Any, name: str) -> tuple[str, int, str]:
        """Where a method is defined."""
        kind = type(instance)
        # A call that was named by the program tells no method.
        own, _, method = name.rpartition(".")
        return _place(getattr(kind, method, kind) if own == f"{kind.__module__}.{kind.__qualname__}" else kind)

    def run(self, loaded: tuple[Callable[..., Any], str, list[str]], payload: tuple[Any, ...], objects: list[Any]) -> Union[tuple[Any, ...], Iterator[Any]]:
        """Calls a function; its results."""
        num_returns, args, kwargs = _arguments(payload, objects)
        del objects, payload
        retried, reserved = None, ONE_CPU
        if isinstance(num_returns, tuple):
            num_returns, retried, reserved = num_returns
        _node.assign(reserved)
        return self._called(num_returns, retried, loaded[0], lambda: loaded[0](*args, **kwargs))

    def _called(self, num_returns: Any, retried: Any, function: Any, value: Callable[[], Any]) -> Union[tuple[Any, ...], Iterator[Any]]:
        """A call's results; of its exceptions it is noted which are not worth a retry, where that is said."""
        if retried is None:
            return self._results(value(), num_returns, function)
        with self._noting(retried):
            results = self._results(value(), num_returns, function)
        return results if isinstance(results, tuple) else self._noted(results, retried)

    @contextlib.contextmanager
    def _noting(self, retried: tuple[type[BaseException], ...]) -> Iterator[None]:
        """Notes an exception that is not worth a retry."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, retried):
                self._unlisted.error = error
            raise

    def _noted(self, values: Iterable[Any], retried: tuple[type[BaseException], ...]) -> Iterator[Any]:
        with self._noting(retried):
            yield from values

    def create(self, loaded: tuple[type, str, list[str]], payload: tuple[Any, ...], objects: list[Any]) -> Any:
        """Makes an actor's instance."""
        told, args, kwargs = _arguments(payload, objects)
        _node.become_actor(*told)
        if is_async(loaded[0]):
            return self._in_loop(_later(loaded[0], args, kwargs))
        return loaded[0](*args, **kwargs)

    def call(self, instance: Any, payload: tuple[Any, ...], objects: list[Any], turn: Any) -> Union[tuple[Any, ...], Iterator[Any]]:
        """Calls a method; its results. Where several run side by side, ``turn`` passes on when it is about to begin: of threads the next may
        still be faster.
        """
        if payload[4] == METHODS:
            return (told_methods(type(instance)),)
        num_returns, args, kwargs = _arguments(payload, objects)
        built_in = BUILT_IN.get(payload[4])
        method = functools.partial(built_in, instance) if built_in else getattr(instance, payload[4])
        del objects, payload

        def value() -> Any:
            if self._loop is not None:
                # Of an actor with async methods the others run in the same thread: no two of them at once.
                return self._in_loop(_later(method, args, kwargs), turn=turn)
            if turn is not None:
                turn.pass_on()
            return method(*args, **kwargs)

        retried = None
        if isinstance(num_returns, tuple):
            num_returns, retried = num_returns
        return self._called(num_returns, retried, method, value)

    def _results(self, value: Any, num_returns: Any, function: Any) -> Union[tuple[Any, ...], Iterator[Any]]:
        """A call's results; of a generator that is streamed what it yields, as it does."""
        if inspect.iscoroutine(value):
            value = self._in_loop(value)
        if num_returns == 1:
            return (value,)
        if num_returns == 0:
            return ()
        name = getattr(function, "__qualname__", repr(function))
        if num_returns in ("dynamic", "streaming"):
            values = self._iterated(value, num_returns, name)
            if num_returns == "streaming":
                return values
            from ._generators import DynamicObjectRefGenerator

            return (DynamicObjectRefGenerator([_plasmon.put(item) for item in values]),)
        try:
            results = tuple(value)
        except TypeError:
            raise ValueError(f"{name} returns {num_returns} objects, but its result is a single {type(value).__name__}") from None
        if len(results) != num_returns:
            raise ValueError(f"{name} returns {num_returns} objects, but its result has {len(results)}")
        return results

    def _iterated(self, value: Any, num_returns: str, name: str) -> Iterator[Any]:
        if inspect.isasyncgen(value):
            return self._in_turn(value, _next_async)
        try:
            values = iter(value)
        except TypeError:
            message = f"{name} has num_returns={num_returns!r}, but its result is a single {type(value).__name__}\nhint: let it yield its results"
            raise TypeError(message) from None
        # A method's own code runs in the loop's thread.
        return values if self._loop is None else self._in_turn(values, _next)

    def _in_turn(self, values: Any, following: Callable[[Any], Coroutine[Any, Any, Any]]) -> Iterator[Any]:
        """What follows each time that it is asked for on the event loop. There it is closed, too, when nobody wants more."""
        while True:
            item = self._in_loop(following(values))
            if item is _END:
                return
            try:
                yield item
            except GeneratorExit:
                self._in_loop(_close(values), cancelled_too=True)
                raise

    def _in_loop(self, coroutine: Coroutine[Any, Any, Any], *, cancelled_too: bool = False, turn: Any = None) -> Any:
        """Runs a coroutine on the worker's event loop, beside the others. When the call is cancelled it gets an ``asyncio.CancelledError``,
        unless it is what is done then."""
        import asyncio

        from ._loop import Running

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run_forever, args=(self._loop,), name="plasmon-asyncio", daemon=True).start()
        running, watch = Running(self._loop, coroutine), None
        try:
            with _node.in_this_task():
                running.begin()
            if turn is not None:
                turn.pass_on()
            # Told of it as long as this is here.
            watch = None if cancelled_too else _plasmon.when_cancelled(running.cancel)
            return running.result()
        except BaseException:
            # Wherever the task was cancelled: it has not ended before its coroutine has.
            running.end()
            raise
        finally:
            del watch

    def describe(self, error: BaseException) -> tuple[str, bytes, bool]:
        """An exception as text, with its traceback as a pickle of ``(exception, traceback)``, which is empty where it does not pickle, and
        whether it is worth a retry. Does not return where an actor leaves."""
        if isinstance(error, SystemExit) and _node.actor() is not None:
            leave(error)
        listed = self._unlisted.__dict__.pop("error", None) is not error
        remote = "".join(traceback.format_exception(type(error), error, _shown(error.__traceback__)))
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, TaskError):
            message = str(error)
        if len(remote) > _MAX_TRACEBACK:
            remote = remote[: _MAX_TRACEBACK // 2] + "\n[...]\n" + remote[-_MAX_TRACEBACK // 2 :]
        bare = error.with_traceback(None)
        bare.__cause__ = bare.__context__ = None
        for described in (bare, Parts(bare), None):
            try:
                first, pieces, parts = encode((described, remote))
                value = b"".join([first, *pieces])
                # It is read back there; what is not may be of a class that only pickles.
                pickle.loads(value)
            except Exception:
                continue
            if not parts and len(value) <= _MAX_EXCEPTION:
                return message[:4000], value, listed
        return f"{message}\n{remote}"[:4000], b"", listed


def _run_forever(loop: Any) -> None:
    """Runs an event loop, whatever its tasks raise: a ``SystemExit`` of one that a call has started comes to whoever awaits it, too."""
    while True:
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            loop.run_forever()


#: A generator has ended: a coroutine cannot say so by an exception.
_END = object()


async def _next(values: Iterator[Any]) -> Any:
    return next(values, _END)


async def _next_async(values: AsyncIterator[Any]) -> Any:
    try:
        return await values.__anext__()
    except StopAsyncIteration:
        return _END


async def _close(values: Any) -> None:
    if inspect.isasyncgen(values):
        await values.aclose()
    elif hasattr(values, "close"):
        values.close()


async def _later(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Calls a function; waits where it is async."""
    value = function(*args, **kwargs)
    return await value if inspect.iscoroutine(value) else value


def _shown(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """A traceback from the program's first frame on: behind this package's own, and those of the futures that it waits for."""
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith((_HERE, _FUTURES)):
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
    _logs.note_order()
    _init.be_worker()
    code = _plasmon.run_as(boot, Handler())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads that a task left behind do not keep it.
    os._exit(2 if code is None else code)
