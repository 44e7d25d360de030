"""How values become bytes: pickle where that is enough, cloudpickle for what only the program itself knows."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle

_dumps = pickle.dumps
_by_value = cloudpickle.list_registry_pickle_by_value


def encode(value: Any) -> tuple[bytes, list[memoryview]]:
    """The pickle of a value, and the buffers that lie beside it."""
    parts: list[pickle.PickleBuffer] = []
    try:
        data = _dumps(value, 5, buffer_callback=parts.append)
        # What is defined in the program's main file is not there in other processes: it goes along.
        if b"__main__" in data or _by_value():
            raise pickle.PicklingError
    except (pickle.PicklingError, AttributeError, TypeError):
        parts = []
        data = _encode_all(value, parts)
    return data, [part.raw() for part in parts]


def _encode_all(value: Any, parts: list[pickle.PickleBuffer]) -> bytes:
    try:
        return cloudpickle.dumps(value, 5, buffer_callback=parts.append)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        from .exceptions import EncodeError, PlasmonError

        if isinstance(error, PlasmonError):
            raise
        kind = type(value)
        raise EncodeError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored: {error}\n"
            "hint: everything in it must pickle; open files, locks and connections do not"
        ) from error
