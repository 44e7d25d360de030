"""The native half of the package."""

import concurrent.futures
from typing import Any, Callable, Generator, Generic, Optional, Sequence, TypeVar, overload

_T = TypeVar("_T")

#: See ``_signature``.
_Takes = tuple[int, int, Optional[frozenset[str]], Callable[..., Any]]

__version__: str
#: The words of a report's options.
GROUPS: tuple[str, ...]
ORDERS: tuple[str, ...]
UNITS: tuple[str, ...]

class ObjectRef(Generic[_T]):
    """A reference to an object, which may not exist yet. The object lives as long as any reference to it, in any process and object."""

    def hex(self) -> str:
        """The id in hexadecimal, as the report and the dashboard print it."""
    def binary(self) -> bytes:
        """The id's 16 bytes."""
    def is_nil(self) -> bool:
        """Whether it refers to nothing; never so."""
    def future(self) -> concurrent.futures.Future[_T]:
        """A ``concurrent.futures.Future`` of the object's value."""
    def __await__(self) -> Generator[Any, None, _T]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...

class SharedBuffer:
    """A read-only view of a part of an object."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Exported:
    def __init__(self, make: Callable[[], Any]) -> None: ...

class Task:
    def __init__(
        self,
        name: str,
        export: Exported,
        num_cpus: Optional[float],
        num_gpus: Optional[float],
        memory: Optional[int],
        resources: Sequence[tuple[str, float]],
        max_retries: int,
        retry_exceptions: str,
        timeout_ms: int,
        results: Optional[int],
        returns: Any,
        takes: Optional[_Takes],
    ) -> None: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any: ...

class Creation:
    def __init__(
        self,
        class_: str,
        export: Exported,
        num_cpus: Optional[float],
        num_gpus: Optional[float],
        memory: Optional[int],
        resources: Sequence[tuple[str, float]],
        name: str,
        detached: bool,
        max_concurrency: int,
        max_restarts: int,
        max_task_retries: int,
        assigned: dict[str, float],
        takes: Optional[_Takes],
    ) -> None: ...
    def create(self, args: tuple[Any, ...], kwargs: Optional[dict[str, Any]]) -> ObjectRef[None]: ...

class Method:
    def __init__(
        self,
        actor: ObjectRef[None],
        name: str,
        method: str,
        results: Optional[int],
        returns: Any,
        max_task_retries: Optional[int],
        retry_exceptions: str,
        takes: Optional[_Takes],
    ) -> None: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any: ...

class CancelWatch: ...

class Results:
    def next(self, timeout: Optional[float] = None) -> Optional[ObjectRef[Any]]: ...
    def front(self) -> Optional[ObjectRef[Any]]: ...
    def is_finished(self) -> bool: ...

class Report:
    def __init__(self) -> None: ...
    def text(
        self,
        group_by: str,
        sort_by: str,
        reverse: bool,
        units: str,
        limit: Optional[int],
        stats_only: bool,
        no_format: bool,
        width: Optional[int],
    ) -> str: ...
    def json(self) -> str: ...
    def node(self) -> dict[str, Any]: ...

def connect(
    executable: str,
    worker: Sequence[str],
    agent: Sequence[str],
    address: Optional[str],
    temp_dir: Optional[str],
    options: Optional[str],
    local: bool,
) -> dict[str, Any]: ...
def disconnect() -> None: ...
def await_threads() -> None: ...
def forget_threads() -> None: ...
def is_connected() -> bool: ...
def current_task() -> Optional[tuple[str, str]]: ...
def facts() -> dict[str, Any]: ...
def put(value: _T, /) -> ObjectRef[_T]:
    """Stores a value as an object, and returns the first reference to it.

    Arrays, tables, other buffers, and bytes of 64 KiB and more are copied once, into shared memory; so are bytes and a bytearray that are
    the whole value, and a text of ASCII from 64 KiB on. Everything else is pickled or encoded, which copies it once more:
    0.7 us of the 3.6 that a list with 60 KiB of bytes in it takes. To pickle it twice instead, first for its size and then in place, would take
    1 us more. A bare memoryview comes back as one of single bytes, as they lie in memory.

    Raises:
        ObjectStoreFullError: there is no room, and none comes free within two seconds; a ``MemoryError``.
        EncodeError: something in the value does not pickle; a ``TypeError``.
        TypeError: ``value`` is a reference itself.
    """

@overload
def get(refs: ObjectRef[_T], /, *, timeout: Optional[float] = None) -> _T: ...
@overload
def get(refs: Sequence[ObjectRef[_T]], /, *, timeout: Optional[float] = None) -> list[_T]:
    """The value of an object, or a list of those of several; waits until they are there.

    Arrays, tables and memoryviews are read-only views of shared memory: the object stays in memory as long as any view of it.

    Args:
        refs: a reference, or a list of them.
        timeout: seconds after which it gives up; ``None`` waits for as long as it takes.

    Raises:
        GetTimeoutError: the time is over; a ``TimeoutError``.
        TaskError: the task that should have made the object raised an exception. It is of that exception's class, too.
        ObjectLostError: there is no such object any more.
        TypeError: ``refs`` are no references.
    """

def wait(
    refs: Sequence[ObjectRef[_T]],
    *,
    num_returns: int = 1,
    timeout: Optional[float] = None,
    fetch_local: bool = True,
) -> tuple[list[ObjectRef[_T]], list[ObjectRef[_T]]]:
    """Waits until some of the objects are there, with a value or an error.

    Args:
        refs: a list of references, each once. A generator's results are there when the next one is.
        num_returns: how many.
        timeout: seconds after which it returns with what there is; ``None`` waits for as long as it takes.
        fetch_local: there is one node, so this changes nothing.

    Returns:
        The references whose objects are there, ``num_returns`` at most, and the others; both in the order given.

    Raises:
        TypeError: ``refs`` is no list of references.
        ValueError: ``num_returns`` is not between 1 and their number, or a reference is there twice.
    """

def cancel(reference: ObjectRef[Any], force: bool) -> None: ...
def is_cancelled() -> bool: ...
def when_cancelled(callback: Callable[[], object]) -> CancelWatch: ...
def kill(actor: ObjectRef[Any], no_restart: bool) -> None: ...
def exit_actor(id: bytes, place: tuple[str, int, str]) -> None: ...
def when_ready(reference: ObjectRef[_T], callback: Callable[[ObjectRef[_T], Optional[BaseException]], object]) -> None: ...
def find_actor(name: str) -> tuple[ObjectRef[None], str]: ...
def load_reference(id: bytes) -> ObjectRef[Any]: ...
def write_anew() -> None: ...
def name_main(pieces: list[bytes]) -> bool: ...
def set_hidden_files(prefixes: Sequence[str]) -> None: ...
def want_call_sites(wanted: bool) -> None: ...
def run_command(arguments: Sequence[str]) -> int: ...
def run_as(boot: str, handler: Any) -> Optional[int]: ...
