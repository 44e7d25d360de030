"""Plasmon: shared-memory objects, tasks and actors that you can see inside.

>>> import plasmon
>>> @plasmon.remote
... def total(numbers):
...     return sum(numbers)
>>> plasmon.get(total.remote([1, 2, 3]))
6

The names and meanings are Ray's, as far as they go; the README's page *Coming from Ray* says how far.
``python -m plasmon memory`` prints who holds what; the command ``plasmon``, which is installed apart, shows it live.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, TypeVar

from . import _html, _plasmon, exceptions, state
from ._actor import ActorClass, ActorHandle, get_actor, kill, method
from ._generators import DynamicObjectRefGenerator, ObjectRefGenerator
from ._init import init, is_initialized, shutdown
from ._node import RuntimeContext, available_resources, cluster_resources, get_runtime_context, nodes
from ._plasmon import ObjectRef
from ._progress import progress
from ._remote import RemoteFunction, remote
from ._sites import set_call_sites

__all__ = [
    "ActorClass",
    "ActorHandle",
    "DynamicObjectRefGenerator",
    "ObjectRef",
    "ObjectRefGenerator",
    "RemoteFunction",
    "RuntimeContext",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exceptions",
    "get",
    "get_actor",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "memory_summary",
    "method",
    "nodes",
    "progress",
    "put",
    "remote",
    "set_call_sites",
    "shutdown",
    "state",
    "wait",
]

_T = TypeVar("_T")

put = _plasmon.put
get = _plasmon.get


def wait(
    refs: Sequence[ObjectRef[_T]],
    *,
    num_returns: int = 1,
    timeout: Optional[float] = None,
    fetch_local: bool = True,
) -> Tuple[List[ObjectRef[_T]], List[ObjectRef[_T]]]:
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
    if isinstance(refs, ObjectRef):
        raise TypeError("wait takes a list of references, not a single one\nhint: plasmon.wait([ref])")
    if isinstance(num_returns, bool) or not isinstance(num_returns, int):
        raise TypeError(f"num_returns is a whole number, not {type(num_returns).__name__}")
    items = refs if type(refs) is list else list(refs)
    if not items:
        return [], []
    if not 1 <= num_returns <= len(items):
        raise ValueError(f"num_returns is 1 to {len(items)}, the number of references, which {num_returns} is not")
    if any(type(item) is ObjectRefGenerator for item in items):
        return _wait_for_next(items, num_returns, timeout)
    return _plasmon.wait(items, num_returns, timeout)


def _wait_for_next(items: Sequence[Any], num_returns: int, timeout: Optional[float]) -> Tuple[List[Any], List[Any]]:
    """A generator is there when its next value is, or its end."""
    fronts = [item._results.front() if isinstance(item, ObjectRefGenerator) else item for item in items]
    ended = sum(front is None for front in fronts)
    there: set[Any] = set()
    waited = [front for front in fronts if front is not None]
    if waited:
        wanted = max(1, min(num_returns - ended, len(waited)))
        there = set(_plasmon.wait(waited, wanted, 0.0 if ended >= num_returns else timeout)[0])
    ready: List[Any] = []
    rest: List[Any] = []
    for item, front in zip(items, fronts):
        (ready if len(ready) < num_returns and (front is None or front in there) else rest).append(item)
    return ready, rest


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancels the task or call that makes an object, and what it has submitted itself.

    One that has not begun never runs. One that runs gets a ``KeyboardInterrupt``; of a call of an actor that runs, only the waits in
    ``get`` and ``wait`` end. In any case its results are
    ``TaskCancelledError`` from now on, and it is not tried again.

    Args:
        ref: a reference to one of its results, or what a generator's call returned.
        force: ends its worker at once, unless it is an actor, which goes on.
        recursive: what it has submitted is cancelled in any case.

    Raises:
        TypeError: ``ref`` is no reference.
    """
    if isinstance(ref, ObjectRefGenerator):
        ref = ref._results.front()
        if ref is None:
            return
    if not isinstance(ref, ObjectRef):
        hint = "\nhint: plasmon.kill(actor) ends an actor" if isinstance(ref, ActorHandle) else ""
        raise TypeError(f"cancel takes an ObjectRef, not {type(ref).__name__}{hint}")
    _plasmon.cancel(ref, force)


class Summary(str):
    """A report's text, which a notebook shows as it is."""

    def _repr_html_(self) -> str:
        return _html.of_text(self)


def memory_summary(
    *,
    group_by: str = "NODE_ADDRESS",
    sort_by: str = "OBJECT_SIZE",
    units: str = "B",
    num_entries: Optional[int] = None,
    stats_only: bool = False,
    reverse: bool = False,
    no_format: bool = False,
) -> str:
    """Who holds which object, why, and from which line of code: what ``python -m plasmon memory`` prints.

    Args:
        group_by: ``"NODE_ADDRESS"``, ``"STACK_TRACE"``, ``"PID"`` or ``"REFERENCE_TYPE"``.
        sort_by: ``"OBJECT_SIZE"``, ``"PID"``, ``"REFERENCE_TYPE"`` or ``"AGE"``; largest first.
        units: ``"B"``, ``"KB"``, ``"MB"``, ``"GB"`` (powers of 1000) or ``"AUTO"``.
        num_entries: rows of each group.
        stats_only: the sums only.
        reverse: smallest first.
        no_format: whole values between bars instead of columns.

    Raises:
        ValueError: an argument is none of these.
    """
    return Summary(_plasmon.Report().text(group_by, sort_by, reverse, units, num_entries, stats_only, no_format, None))
