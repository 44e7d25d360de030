"""How values become bytes: pickle where that is enough, cloudpickle for what only the program itself knows."""

from __future__ import annotations

import pickle
from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from . import _plasmon

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


class _Writer:
    """A pickler that serves one value after the other: to make one takes longer than to pickle a small value."""

    def __init__(self, kind: type = pickle.Pickler) -> None:
        self._pieces: list[Any] = []
        self._parts: list[pickle.PickleBuffer] = []
        self._pickler = kind(_File(self._pieces), 5, buffer_callback=self._parts.append)

    def write(self, value: Any) -> tuple[list[Any], list[pickle.PickleBuffer]]:
        """The pickle's pieces, and the buffers that lie beside it. What raises is not to be used again."""
        self._pickler.dump(value)
        self._pickler.clear_memo()
        pieces, parts = self._pieces[:], self._parts[:]
        self._pieces.clear()
        self._parts.clear()
        return pieces, parts


class _File:
    """What a pickler writes to: it hands over long bytes as they are, of long texts a copy in UTF-8, and the rest by pieces of some
    :data:`_PIECE` bytes."""

    def __init__(self, pieces: list[Any]) -> None:
        self._pieces = pieces

    def write(self, piece: Any) -> None:
        # Bytes never change. A long bytearray may, from the moment this returns: it is copied here, once more than bytes are.
        if type(piece) is not bytes:
            # Its length is written, the last word of the piece before, and other threads may have run since.
            length = int.from_bytes(self._pieces[-1][-8:], "little")
            piece = bytes(piece)
            if len(piece) < length:
                raise pickle.PicklingError(f"a bytearray of {length} bytes shrank to {len(piece)} while it was written")
            piece = piece[:length]
        self._pieces.append(piece)


#: What a pickler collects before it writes, bytes. Bytes that are shorter are part of it: to copy them twice takes less time than to hand
#: each over by itself.
_PIECE = 64 << 10
#: What its pieces begin with, all but the first: they are longer where there is a large number.
_FRAME = b"\x95"
#: Writers that nobody uses at this moment. Taking one and giving it back needs no lock.
_idle: list[_Writer] = []


def encode(value: Any) -> tuple[bytes, list[Any], list[memoryview]]:
    """The pickle of a value: its first piece, and those behind it; and the buffers that lie beside it."""
    try:
        writer = _idle.pop()
    except IndexError:
        writer = _Writer()
    try:
        pieces, parts = writer.write(value)
        if len(pieces) == 1:
            # After a large value it would keep much memory.
            _idle.append(writer)
        # What is defined in the program's main file is not there in other processes: it goes along. No name is as long as long bytes,
        # which are searched only if they look like a piece of the pickler's own.
        searched = pieces
        if len(pieces) > 1:
            searched = [piece for at, piece in enumerate(pieces) if not at or len(piece) < 3 * _PIECE or piece[:1] == _FRAME]
        if _by_value() or _plasmon.name_main(searched):
            raise pickle.PicklingError
    except (pickle.PicklingError, AttributeError, TypeError):
        _plasmon.write_anew()
        pieces, parts = _encode_all(value)
    return pieces[0], pieces[1:], [part.raw() for part in parts]


def _encode_all(value: Any) -> tuple[list[Any], list[pickle.PickleBuffer]]:
    try:
        return _Writer(_Pickler).write(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        from .exceptions import EncodeError, PlasmonError

        if isinstance(error, PlasmonError):
            raise
        kind = type(value)
        raise EncodeError(
            f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored: {error}\n"
            "hint: everything in it must pickle; open files, locks and connections do not"
        ) from error
