"""How things look in a notebook."""

from __future__ import annotations

import html
from typing import Any

from . import _plasmon


def of_reference(reference: _plasmon.ObjectRef[Any]) -> str:
    """A reference: its id, and whether its object is there."""
    return f"<code>ObjectRef</code> <code>{html.escape(reference.hex())}</code>"
