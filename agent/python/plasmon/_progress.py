"""How far many tasks are."""

from __future__ import annotations

import sys
from typing import Any, Iterable

from . import _plasmon


def progress(refs: Iterable[_plasmon.ObjectRef[Any]], *, desc: str = "", disable: bool = False) -> list[Any]:
    """Shows how many of the objects are there, until all are; their values.

    With tqdm where that is installed, else as a line on stderr where that is a terminal.

    Args:
        refs: references; each counts as often as it is there.
        desc: what stands before the bar.
        disable: shows nothing.

    Raises:
        TypeError: ``refs`` are no references.
    """
    if isinstance(refs, _plasmon.ObjectRef):
        raise TypeError("progress takes a list of references, not a single one\nhint: plasmon.progress([ref])")
    refs = list(refs)
    bar: Any = None
    left = list(dict.fromkeys(refs))
    done = len(refs) - len(left)
    if not disable:
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped, import-not-found, unused-ignore]

            bar = tqdm(total=len(refs), initial=done, desc=desc)
        except ImportError:
            pass
    try:
        while left:
            ready, left = _plasmon.wait(left, num_returns=len(left), timeout=0.1)
            done += len(ready)
            if bar is not None:
                bar.update(len(ready))
            elif not disable and sys.stderr.isatty():
                print(f"\r{desc or 'done'}: {done} of {len(refs)}", end="" if left else "\n", file=sys.stderr, flush=True)
    finally:
        if bar is not None:
            bar.close()
    values: list[Any] = _plasmon.get(refs)
    return values
