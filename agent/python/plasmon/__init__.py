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

import sys
from typing import Any, Optional

from . import _html, _plasmon, actor, exceptions, state
from ._actor import ActorClass, ActorHandle, get_actor, kill, method
from ._generators import DynamicObjectRefGenerator, ObjectRefGenerator
from ._init import init, is_initialized, shutdown
from ._node import RuntimeContext, available_resources, cluster_resources, get_runtime_context, nodes
from ._plasmon import ObjectRef
from ._plasmon import __version__ as __version__
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
    "actor",
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

put = _plasmon.put
get = _plasmon.get
wait = _plasmon.wait


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancels the task or call that makes an object, and what it has submitted itself.

    One that has not begun never runs. One that runs gets a ``KeyboardInterrupt``, a coroutine an ``asyncio.CancelledError``; of a call of an
    actor without async methods, only the waits in ``get`` and ``wait`` end. In any case its results are ``TaskCancelledError`` from now on,
    and it is not tried again.

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
        TypeError: ``num_entries`` is no number.
    """
    for name, value, known in (("group_by", group_by, _plasmon.GROUPS), ("sort_by", sort_by, _plasmon.ORDERS), ("units", units, _plasmon.UNITS)):
        if not isinstance(value, str) or value.upper() not in known:
            raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
    if num_entries is not None and (isinstance(num_entries, bool) or not isinstance(num_entries, int)):
        raise TypeError(f"num_entries is a whole number, not {type(num_entries).__name__} {num_entries!r}")
    if num_entries is not None and num_entries < 0:
        raise ValueError(f"num_entries is not negative, as {num_entries} is")
    # There are never more.
    entries = None if num_entries is None else min(num_entries, sys.maxsize)
    return Summary(_plasmon.Report().text(group_by, sort_by, reverse, units, entries, stats_only, no_format, None))
