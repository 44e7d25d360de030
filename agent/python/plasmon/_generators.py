"""Tasks whose results are as many as a generator yields."""

from __future__ import annotations

from typing import Any, Callable, Iterator

from . import _plasmon


class ObjectRefGenerator:
    """References to what a generator yielded, in order."""

    def __init__(self, references: list[_plasmon.ObjectRef[Any]]) -> None:
        self._references = references

    def __iter__(self) -> Iterator[_plasmon.ObjectRef[Any]]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def __repr__(self) -> str:
        return f"<{len(self)} references>"


class StreamingGenerator:
    """What ``.remote()`` returns with ``num_returns="streaming"``: an iterator over references, there once the task has yielded them all."""

    def __init__(self, whole: _plasmon.ObjectRef[Any]) -> None:
        self._whole = whole
        self._references: Any = None

    def __iter__(self) -> StreamingGenerator:
        return self

    def __next__(self) -> _plasmon.ObjectRef[Any]:
        if self._references is None:
            self._references = iter(_plasmon.get(self._whole))
        reference: _plasmon.ObjectRef[Any] = next(self._references)
        return reference

    def completed(self) -> _plasmon.ObjectRef[Any]:
        """A reference whose object is there when the task has ended."""
        return self._whole


def submitting(submit: Callable[..., Any], streaming: bool) -> Callable[..., Any]:
    """How a call is made whose results are a generator's."""
    return (lambda *args, **kwargs: StreamingGenerator(submit(*args, **kwargs))) if streaming else submit
