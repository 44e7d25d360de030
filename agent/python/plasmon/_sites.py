"""Which lines of the program are told as call sites."""

from __future__ import annotations

import importlib.util
import os
from typing import Optional, Sequence

from . import _plasmon

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

#: Begins of the names of files that the program hides.
_hidden: list[str] = []


def set_call_sites(*, hidden: Optional[Sequence[str]] = None, enabled: Optional[bool] = None) -> None:
    """Says what is told of the places that references come from. The change is for what happens after it, in this process.

    Args:
        hidden: names of modules, or begins of files' paths: they are left out of call sites and their stacks, so that the first line
            shown is the program's own and not a library's. Those that were hidden before are shown again. Functions that are made
            remote and called for the first time after it take this along to their workers.
        enabled: whether places are told at all; the agent can switch them off for all its processes, too.

    Raises:
        ValueError: a name is neither a module nor a path.
        TypeError: ``hidden`` is no list of texts.
    """
    if hidden is not None:
        if isinstance(hidden, str) or not all(isinstance(name, str) for name in hidden):
            raise TypeError(f"hidden is a list of names, not {hidden!r}\nhint: set_call_sites(hidden=['library'])")
        hide([begin for name in hidden for begin in [_files_of(name)]])
    if enabled is not None:
        _plasmon.want_call_sites(bool(enabled))


def _files_of(name: str) -> str:
    if os.sep in name:
        return os.path.abspath(name) + (os.sep if name.endswith(os.sep) else "")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise ValueError(f"{name!r} is neither a module nor a path\nhint: a path has a {os.sep!r} in it")
    return os.path.dirname(spec.origin) + os.sep if spec.submodule_search_locations else spec.origin


def hide(begins: Sequence[str]) -> None:
    """Hides files whose names begin so, and this package's own."""
    _hidden[:] = begins
    _plasmon.set_hidden_files([_HERE, *begins])


def hidden_files() -> list[str]:
    """What the program hides."""
    return list(_hidden)


hide([])
