"""How values become bytes: pickle where that is enough, cloudpickle for what only the program itself knows."""

from __future__ import annotations

import io
import pickle
from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from . import _plasmon

_dumps = pickle.dumps
_by_value = cloudpickle.list_registry_pickle_by_value


#: What cloudpickle calls the file of a function that goes along.
_NO_FILE = "<dynamic-code>"
_reduce_bare = cloudpickle.Pickler.dispatch_table[CodeType]


def _reduce_code(code: CodeType) -> Any:
    """A function's code with its file: tracebacks and call sites name it."""
    kind, parts = _reduce_bare(code)
    return kind, tuple(code.co_filename if isinstance(part, str) and part == _NO_FILE else part for part in parts)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    dispatch_table = ChainMap({CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)


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
        _plasmon.write_anew()
        data = _encode_all(value, parts)
    return data, [part.raw() for part in parts]


def _encode_all(value: Any, parts: list[pickle.PickleBuffer]) -> bytes:
    try:
        file = io.BytesIO()
        _Pickler(file, 5, buffer_callback=parts.append).dump(value)
        return file.getvalue()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        from .exceptions import EncodeError, PlasmonError

        if isinstance(error, PlasmonError):
            raise
        kind = type(value)
        raise EncodeError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored: {error}\n"
            "hint: everything in it must pickle; open files, locks and connections do not"
        ) from error
