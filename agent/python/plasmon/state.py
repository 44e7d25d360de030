"""What the agent shows, as rows."""

from __future__ import annotations

import json
from typing import Any

from . import _plasmon

__all__ = ["list_objects", "report"]


def report() -> dict[str, Any]:
    """The whole report as ``plasmon memory --json`` prints it: ``node``, ``store``, ``totals``, ``references``, ``post_mortem``."""
    result: dict[str, Any] = json.loads(_plasmon.Report().json())
    return result


def list_objects() -> list[dict[str, Any]]:
    """Every reference: one row for each process and object.

    A row has ``object_id``, ``pid``, ``process_type`` (``"driver"``, ``"worker"`` or ``"agent"``), ``node_ip``, ``reference_type``,
    ``size_bytes``, ``call_site``, ``created_site``, ``creator_pid``, ``status``, ``attempt``, ``age_ms``, and the counts ``local``,
    ``pinned``, ``submitted`` and ``captured``.
    """
    rows: list[dict[str, Any]] = report()["references"]
    return rows
