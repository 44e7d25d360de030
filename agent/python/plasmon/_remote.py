"""``@remote``: functions that run in workers, classes whose instances live in one."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any, AsyncIterator, Callable, Coroutine, Generic, Iterator, Optional, TypeVar, overload

from . import _init, _plasmon
from ._actor import ActorClass
from ._generators import ObjectRefGenerator, yields
from ._options import ONE_CPU, TASK_OPTIONS, assigned, checked, reserve, retried
from ._signature import signature_of, takes_of
from ._sites import hidden_files

_T = TypeVar("_T")
#: What ``.remote(..)`` returns: an ``ObjectRef`` where no options say otherwise.
_Outcome = TypeVar("_Outcome")

#: As Ray has it.
_MAX_RETRIES = 3


class RemoteFunction(Generic[_Outcome]):
    """A function that runs in a worker process.

    ``f.remote(..)`` submits a task and returns a reference to its result at once; ``f.options(..)`` changes how it runs.
    References among the arguments are passed as the values of their objects.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], export: Optional[_plasmon.Exported] = None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._export = export or _plasmon.Exported(functools.partial(_exported, function))
        name = options.get("name") or f"{function.__module__}.{function.__qualname__}"
        num_returns = options.get("num_returns", "streaming" if yields(function) else 1)
        retry, listed = retried(options)
        reserved = assigned(options, 1)
        self._task = _plasmon.Task(
            name,
            self._export,
            *reserve(options),
            options.get("max_retries", _MAX_RETRIES),
            retry,
            # 0 is none: a time that is shorter than what is counted is not.
            math.ceil(options.get("timeout", 0) * 1000),
            num_returns if isinstance(num_returns, int) else None if num_returns == "streaming" else 1,
            # Most calls say but this.
            num_returns if listed is None and reserved == ONE_CPU else (num_returns, listed, reserved),
            takes_of(signature_of(function), function.__name__),
        )
        self.remote = self._task.submit

    #: Submits a task; returns an ``ObjectRef`` to its result, a list of them where ``num_returns`` says so, ``None`` where it is 0, or an
    #: ``ObjectRefGenerator`` where it is ``"streaming"``. A ``TypeError`` where the function does not take these arguments.
    remote: Callable[..., _Outcome]

    def options(self, **options: Any) -> RemoteFunction[Any]:
        """The same function with other options, for the calls that are made through what is returned.

        Args:
            num_cpus: CPUs that it reserves while it runs; 1.
            num_gpus: GPUs that it reserves; 0.
            memory: bytes of heap that it reserves, for admission only; 0.
            resources: custom resources that it reserves, by name.
            num_returns: how many objects the result becomes; 1. A generator's is ``"streaming"``: each value is an object as soon as
                it was yielded; with ``"dynamic"`` they are there when it has ended, in a single object.
            max_retries: how often it is tried again after its worker died; 3, and -1 for as often as it takes.
            retry_exceptions: whether it is tried again after an exception; a list of classes for those alone.
            name: what it is called in the report and the dashboard.
            timeout: seconds after which an attempt is cancelled by force.

        Raises:
            TypeError: there is no such option, or a value is of the wrong type.
            ValueError: a value is out of range.
        """
        return RemoteFunction(self._function, {**self._options, **checked(options, TASK_OPTIONS, "a remote function")}, self._export)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"the remote function {self._function.__qualname__} cannot be called like a local one\n"
            f"hint: {self._function.__name__}.remote(..) runs it in a worker; {self._function.__name__}.__wrapped__(..) runs it here"
        )

    def __repr__(self) -> str:
        return f"<remote function {self._function.__module__}.{self._function.__qualname__}>"

    def __reduce__(self) -> Any:
        return _rebuilt, (self._function, self._options)


def _rebuilt(function: Callable[..., Any], options: dict[str, Any]) -> RemoteFunction[Any]:
    return RemoteFunction(function, options)


def _exported(function: Callable[..., Any]) -> Any:
    """What a worker needs of a function: it, the namespace of its job, and which files that hides."""
    return function, _init.namespace(), hidden_files()


@overload
def remote(actor: type[_T], /) -> ActorClass: ...  # type: ignore[overload-overlap]
@overload
def remote(function: Callable[..., Iterator[_T]], /) -> RemoteFunction[ObjectRefGenerator[_T]]: ...  # type: ignore[overload-overlap]
@overload
def remote(function: Callable[..., AsyncIterator[_T]], /) -> RemoteFunction[ObjectRefGenerator[_T]]: ...  # type: ignore[overload-overlap]
@overload
def remote(function: Callable[..., Coroutine[Any, Any, _T]], /) -> RemoteFunction[_plasmon.ObjectRef[_T]]: ...
@overload
def remote(function: Callable[..., _T], /) -> RemoteFunction[_plasmon.ObjectRef[_T]]: ...
@overload
def remote(**options: Any) -> Callable[[Any], Any]: ...
def remote(*args: Any, **options: Any) -> Any:
    """Makes a function remote, or an actor of a class.

    As ``@remote`` or ``@remote(num_cpus=2, memory=500 * 2**20)``. A function gets ``.remote(..)``, which runs it in a worker and returns an
    ``ObjectRef`` at once. A class gets ``.remote(..)``, which makes an instance in a worker of its own and returns an ``ActorHandle``.
    Options are those of ``RemoteFunction.options`` and ``ActorClass.options``.

    Raises:
        TypeError: there is no such option, a value is of the wrong type, or what is decorated is neither function nor class.
        ValueError: a value is out of range.
    """
    if len(args) == 1 and not options and callable(args[0]):
        return _made(args[0], {})
    if args:
        raise TypeError("remote takes options by name\nhint: @plasmon.remote or @plasmon.remote(num_cpus=2)")
    return functools.partial(_made, options=options)


def _made(what: Any, options: dict[str, Any]) -> Any:
    if inspect.isclass(what):
        return ActorClass._of(what, options)
    if isinstance(what, (RemoteFunction, ActorClass)):
        raise TypeError(f"{what!r} is remote already")
    if not inspect.isroutine(what) and not isinstance(what, functools.partial):
        raise TypeError(f"remote makes functions and classes remote, not {type(what).__name__}")
    if isinstance(what, functools.partial):
        bound = what
        what = functools.wraps(bound.func)(lambda *args, **kwargs: bound(*args, **kwargs))
        if yields(bound):
            options = {"num_returns": "streaming", **options}
    return RemoteFunction(what, checked(options, TASK_OPTIONS, "a remote function"))
