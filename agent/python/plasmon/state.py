"""What the agent shows, as rows."""

from __future__ import annotations

import json
from typing import Any

from . import _html, _plasmon

__all__ = ["Store", "list_objects", "report", "store"]


class Store(dict[str, Any]):
    """The object store at one moment: ``capacity_bytes``, ``used_bytes``, ``objects``, ``unattributed_bytes``, and the ledger's lines, which
    sum to the capacity."""

    def __repr__(self) -> str:
        used, capacity = self["used_bytes"], self["capacity_bytes"]
        return f"<object store: {_html.size(used)} of {_html.size(capacity)} used by {self['objects']} objects>"

    def _repr_html_(self) -> str:
        return _html.of_store(self)


def report() -> dict[str, Any]:
    """The whole report as ``plasmon memory --json`` prints it: ``node``, ``store``, ``totals``, ``references``, ``post_mortem``."""
    result: dict[str, Any] = json.loads(_plasmon.Report().json())
    return result


def store() -> Store:
    """The object store: how full it is, and what its bytes are. Shows itself in a notebook.

    Raises:
        ConnectError: no agent of this user runs.
    """
    return Store(report()["store"])


def list_objects() -> list[dict[str, Any]]:
    """Every reference: one row for each process and object.

    A row has ``object_id``, ``pid``, ``process_type`` (``"driver"``, ``"worker"`` or ``"agent"``), ``node_ip``, ``reference_type``,
    ``size_bytes``, ``call_site``, ``created_site``, ``creator_pid``, ``status``, ``attempt``, ``age_ms``, and the counts ``local``,
    ``pinned``, ``submitted`` and ``captured``; also ``call_stack`` and ``created_stack`` where the sites were called from elsewhere: lists of
    ``function file:line``, the program's own innermost line first.
    """
    rows: list[dict[str, Any]] = report()["references"]
    return rows
