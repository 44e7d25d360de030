"""Everything that can go wrong, typed. Each class has the name that Ray's users know it by as an alias where there is one."""

from __future__ import annotations

import pickle
from typing import Any, Optional

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorHandleNotFoundError",
    "ActorNameTakenError",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AgentDiedError",
    "ConnectError",
    "DecodeError",
    "DrainingError",
    "EncodeError",
    "GetTimeoutError",
    "InfeasibleError",
    "InvalidError",
    "LocalRayletDiedError",
    "NoActorError",
    "NodeDiedError",
    "NotConnectedError",
    "ObjectFetchTimedOutError",
    "ObjectFreedError",
    "ObjectLostError",
    "ObjectReconstructionFailedError",
    "ObjectReconstructionFailedLineageEvictedError",
    "ObjectReconstructionFailedMaxAttemptsExceededError",
    "ObjectStoreFullError",
    "OufOfBandObjectRefSerializationException",
    "OutOfBandError",
    "OutOfDiskError",
    "OutOfMemoryError",
    "OwnerDiedError",
    "PlasmonError",
    "ProtocolError",
    "RayActorError",
    "RayError",
    "RaySystemError",
    "RayTaskError",
    "ReferenceCountingAssertionError",
    "SystemRefusedError",
    "TaskCancelledError",
    "TaskError",
    "TaskUnschedulableError",
    "UnserializableException",
    "UserCodeException",
    "VersionError",
    "WorkerCrashedError",
]


class PlasmonError(Exception):
    """What every error of Plasmon's is. ``code`` is stable and for programs, ``hint`` says what to do."""

    code: str = ""
    hint: str = ""


class ObjectStoreFullError(PlasmonError, MemoryError):
    """The store has no room for an object, and none came free in time. Names the creation sites that hold most."""


class OutOfDiskError(PlasmonError):
    """The store has no room for an object, and external storage takes no more."""


class GetTimeoutError(PlasmonError, TimeoutError):
    """A ``get`` reached its time limit."""


class ObjectLostError(PlasmonError):
    """The object is gone: nobody held it any more, its connection has ended, or it never was."""


class DecodeError(PlasmonError):
    """The object was not written by Python."""


class EncodeError(PlasmonError, TypeError):
    """A value could not be pickled."""


class TaskError(PlasmonError):
    """The task raised an exception. It is of that exception's class, too: ``except ValueError`` catches a task's ``ValueError``.

    ``cause`` is the exception itself, ``remote_traceback`` the text of its traceback in the worker. What the exception has of its own is
    here as well, and goes first: an ``OSError`` keeps its ``errno``, and a ``code`` or ``pid`` of the program's is the program's. What would
    end this process, such as ``SystemExit``, is a bare ``TaskError``.
    """

    cause: Optional[BaseException] = None
    remote_traceback: str = ""
    function_name: str = ""
    pid: int = 0

    #: The exception, its traceback's text, the function, the worker, and what is printed.
    _told: Optional[tuple[Optional[BaseException], str, str, int, str]] = None

    def __reduce__(self) -> Any:
        cause, *rest = self._told or (None, "", "", 0, str(self))
        return _task_error, (Parts(cause) if cause is not None and not _is_made_of_its_args(cause) else cause, *rest)

    def __str__(self) -> str:
        return self._told[4] if self._told else str(self.args[0]) if self.args else ""


class WorkerCrashedError(PlasmonError):
    """The worker that ran the task died, and no retry was left."""


class TaskCancelledError(PlasmonError):
    """The task was cancelled, took too long, or its driver ended first."""


class ActorDiedError(PlasmonError):
    """The actor is gone: what was called of it will never run."""


class NoActorError(PlasmonError, ValueError):
    """No live actor has that name."""


class ActorNameTakenError(PlasmonError, ValueError):
    """A live actor has the name already."""


class InfeasibleError(PlasmonError):
    """The task asks for more than the node has, so it could never run."""


class AgentDiedError(PlasmonError, ConnectionError):
    """The agent is gone. Names who had started it."""


class DrainingError(PlasmonError):
    """The agent is about to end and takes no new work."""


class NotConnectedError(PlasmonError, RuntimeError):
    """This process has no connection: it was never made, was shut down, or stayed behind in a fork's parent."""


class ConnectError(PlasmonError, ConnectionError):
    """An agent could not be started or reached."""


class VersionError(PlasmonError):
    """The agent is of another version."""


class OutOfBandError(PlasmonError, TypeError):
    """A reference was pickled outside of an object, an argument or a result, where nobody could count it."""


class InvalidError(PlasmonError, ValueError):
    """A value given from outside is malformed."""


class ProtocolError(PlasmonError):
    """The agent or this process said what it must not."""


class SystemRefusedError(PlasmonError, OSError):
    """The operating system refused something."""


class OutOfMemoryError(PlasmonError, MemoryError):
    """Memory ran out, and the worker was ended before the kernel ends something. The message holds the numbers."""


# What Ray calls them. Where several of its classes are one of ours, their causes are told apart by the message alone.
RayError = PlasmonError
RayTaskError = TaskError
RayActorError = ActorDiedError
ActorUnavailableError = ActorDiedError
RaySystemError = ProtocolError
LocalRayletDiedError = AgentDiedError
NodeDiedError = AgentDiedError
OwnerDiedError = ObjectLostError
ObjectFreedError = ObjectLostError
ObjectFetchTimedOutError = ObjectLostError
ObjectReconstructionFailedError = ObjectLostError
ObjectReconstructionFailedMaxAttemptsExceededError = ObjectLostError
ObjectReconstructionFailedLineageEvictedError = ObjectLostError
ReferenceCountingAssertionError = ObjectLostError
ActorAlreadyExistsError = ActorNameTakenError
ActorHandleNotFoundError = NoActorError
UnserializableException = DecodeError
UserCodeException = TaskError
# Spelt as Ray has it.
OufOfBandObjectRefSerializationException = OutOfBandError
TaskUnschedulableError = InfeasibleError
ActorUnschedulableError = InfeasibleError

_CLASSES: dict[str, type[PlasmonError]] = {
    "object_store_full": ObjectStoreFullError,
    "out_of_disk": OutOfDiskError,
    "get_timeout": GetTimeoutError,
    "object_lost": ObjectLostError,
    "decode": DecodeError,
    "encode": EncodeError,
    "task_failed": TaskError,
    "task_panicked": TaskError,
    "worker_crashed": WorkerCrashedError,
    "task_cancelled": TaskCancelledError,
    "actor_died": ActorDiedError,
    "no_actor": NoActorError,
    "actor_name_taken": ActorNameTakenError,
    "unknown_function": TaskError,
    "infeasible": InfeasibleError,
    "agent_died": AgentDiedError,
    "draining": DrainingError,
    "not_connected": NotConnectedError,
    "connect": ConnectError,
    "version": VersionError,
    "out_of_band": OutOfBandError,
    "invalid": InvalidError,
    "protocol": ProtocolError,
    "system": SystemRefusedError,
    "out_of_memory": OutOfMemoryError,
}

#: What is to be done in Python, where it is called something else than elsewhere.
_HINTS = {
    "no_actor": "make it with .options(name=..), and keep a handle or say lifetime='detached'",
    "encode": "everything in it must pickle; open files, locks and connections do not",
    "not_connected": "call plasmon.init() in this process first",
    "object_store_full": "del references that nobody needs, or start with init(object_store_memory=..)",
    "infeasible": "ask for less, or start with init(num_cpus=.., num_gpus=.., memory=.., resources=..)",
    "out_of_disk": "free space, or start with init(agent_options={'spill_dir': [..], 'spill_limit': ..})",
    "out_of_memory": "let memory= say what it needs, so that fewer run at once; or init(agent_options={'oom_threshold': ..})",
    "unknown_function": "driver and worker must run the same release of the package",
    # What is accepted is in the message.
    "invalid": "",
}

class Parts:
    """Pickles an exception whose class does not take its ``args``, as many have it that make their message themselves. It comes back as
    the exception, which is put together without a call of its class."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        return _put_together, (type(self._error), self._error.args, self._error.__dict__)


def _put_together(cls: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def _is_made_of_its_args(error: BaseException) -> bool:
    reduced = error.__reduce__()
    if not isinstance(reduced, tuple) or reduced[0] is not type(error):
        return True
    try:
        type(error)(*reduced[1])
    except Exception:
        return False
    return True


#: They would end who gets them.
_ENDS = (SystemExit, KeyboardInterrupt, GeneratorExit)

# By the class of a task's exception: the class that is both that and TaskError.
_both: dict[type[BaseException], type[TaskError]] = {}


def _exception_of(code: str, message: str, hint: str, name: str, printed: str, pid: int, value: bytes) -> BaseException:
    """The exception for an error of the native half."""
    if code == "task_failed":
        cause, remote = None, ""
        if value:
            try:
                cause, remote = pickle.loads(value)
            except Exception as unreadable:
                remote = f"(the exception does not unpickle here: {type(unreadable).__name__}: {unreadable})"
        return _task_error(cause, remote, name, pid, message if cause is None else "")
    hint = _HINTS.get(code, hint)
    error = _CLASSES.get(code, PlasmonError)(f"{message}\nhint: {hint}" if hint else message)
    error.code, error.hint = code, hint
    return error


def _task_error(cause: Optional[BaseException], remote: str, name: str, pid: int, message: str) -> TaskError:
    if isinstance(cause, TaskError):
        # It was passed on: by a task that got it from another.
        return cause
    # Without the exception there is its text; the traceback belongs to it as well.
    text = f"{message}\n\n{remote}" if cause is None and remote and remote not in message else message
    text = text or f"{type(cause).__name__}: {cause}\n\nraised by {name} in worker {pid}:\n{remote}"
    made = None
    if cause is not None and not isinstance(cause, _ENDS):
        try:
            made = _both_of(cause)
        except Exception:
            made = None
    own = made is not None and not isinstance(cause, PlasmonError)
    if made is None:
        made = TaskError(text)
    fields = {"code": "task_failed", "hint": "", "cause": cause, "remote_traceback": remote, "function_name": name, "pid": pid}
    for field, value in fields.items():
        setattr(made, field, getattr(cause, field, value) if own else value)
    made._told = (cause, remote, name, pid, text)
    made.__cause__ = cause
    return made


def _both_of(cause: BaseException) -> TaskError:
    """An exception of both classes, with what the cause consists of."""
    both = _class_of(type(cause))
    reduced = cause.__reduce__()
    made: Optional[TaskError] = None
    if isinstance(reduced, tuple) and reduced[0] is type(cause):
        try:
            # As unpickling makes it: fields of built-in classes are made of arguments alone.
            made = both(*reduced[1])
        except Exception:
            made = None
    if made is None:
        made = both.__new__(both)
    made.__dict__.update(cause.__dict__)
    # It may have made others of those that it got.
    made.args = cause.args
    return made


def _class_of(cause: type[BaseException]) -> type[TaskError]:
    known = _both.get(cause)
    if known is None:
        known = type(f"TaskError({cause.__name__})", (TaskError, cause), {"__module__": __name__, "__qualname__": f"TaskError({cause.__name__})"})
        _both[cause] = known
    return known
