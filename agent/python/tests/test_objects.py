"""put, get and wait."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import plasmon
import pyarrow as pa
import pytest
from conftest import PATIENCE, rows, until

pytestmark = pytest.mark.usefixtures("agent")


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        2**80,
        "text",
        b"",
        b"bytes",
        b"x" * 100_000,
        bytearray(b"array"),
        bytearray(),
        bytearray(b"a" * 100_000),
        (1, [2, {"three": {4.0}}]),
        Point(3),
        range(5),
        {"a": [b"y" * 5000] * 3},
        [b"z" * 200_000, {"array": bytearray(b"a" * 200_000), "text": "long" * 50_000}, (b"z" * 70_000, 1)],
        "a long text of ASCII" * 10_000,
        "ein längerer Text" * 10_000,
        "\ud800 lone" * 20_000,
        float("inf"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_put_is_got(value: Any) -> None:
    got = plasmon.get(plasmon.put(value))
    assert got == value
    assert type(got) is type(value)


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


def test_long_bytes_anywhere_in_a_value_are_copied_once_and_no_more() -> None:
    from plasmon._pickling import encode

    held, array = b"h" * 100_000, bytearray(b"a" * 100_000)
    for value in ([held, 1, held], {"array": array, "holder": Holder((held,))}, Holder([lambda: 1, held, array])):
        first, pieces, parts = encode(value)
        # What is written are the program's own bytes, once each: from there they are copied into shared memory. Of an array it is a copy.
        assert sum(piece is held for piece in pieces) == 1 and all(type(piece) is bytes for piece in [first, *pieces])
        assert len(first) + sum(len(piece) for piece in pieces if piece is not held) < 110_000 and not parts


def test_a_task_returns_long_bytes_within_values() -> None:
    @plasmon.remote
    def make(size: int) -> dict[str, Any]:
        return {"bytes": [b"r" * size], "array": bytearray(size)}

    assert plasmon.get(make.remote(1_000_000)) == {"bytes": [b"r" * 1_000_000], "array": bytearray(1_000_000)}


class PutsAnother:
    def __reduce__(self) -> Any:
        return plasmon.get, (), {"inner": plasmon.get(plasmon.put([b"i" * 100_000, plasmon.put(1)]))[0]}

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("never read")


class Resizes:
    def __init__(self, array: bytearray) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        self.array.append(0)
        return str, ()


def test_a_value_may_use_the_store_while_it_is_written() -> None:
    from plasmon._pickling import encode

    inner = encode(PutsAnother())
    assert b"".join([inner[0], *inner[1]]) == pickle.dumps(PutsAnother(), 5)


def test_a_long_bytearray_is_the_programs_own_again_as_soon_as_it_is_written() -> None:
    from plasmon._pickling import encode

    array = bytearray(100_000)
    first, pieces, _ = encode([array, Resizes(array)])
    # As long as what was written is kept, too.
    array[0] = 1
    array.append(1)
    assert pickle.loads(b"".join([first, *pieces])) == [bytearray(100_000), ""]
    with pytest.raises(plasmon.exceptions.EncodeError) as caught:
        plasmon.put([array, threading.Lock()])
    array.append(2)
    kept = plasmon.put(array)
    array.append(3)
    assert plasmon.get(kept) == array[:-1]
    assert caught.value.__traceback__ and plasmon.get(plasmon.put([1, array])) == [1, array]


@pytest.mark.parametrize("change", [1, -1])
def test_a_bytearray_may_change_its_length_while_that_is_written(change: int) -> None:
    from plasmon._pickling import _File

    array, often = bytearray(b"a" * 100_000), 1

    def profile(frame: Any, event: str, _: Any) -> None:
        # As another thread may at this moment: what is written first ends with the array's length.
        if event == "return" and frame.f_code is _File.write.__code__ and abs(len(array) - 100_000) < often:
            array.append(1) if change > 0 else array.pop()

    def put() -> plasmon.ObjectRef[Any]:
        sys.setprofile(profile)
        try:
            return plasmon.put({"array": array, "more": 1})
        finally:
            sys.setprofile(None)

    # What has become shorter is written once more.
    assert plasmon.get(put()) == {"array": b"a" * min(100_000, 100_000 + change), "more": 1}
    assert len(array) == 100_000 + change
    often = 10
    if change < 0:
        with pytest.raises(plasmon.exceptions.EncodeError, match="shrank to [0-9]+ while it was written"):
            put()


#: What it defines is nobody else's, and what is written of it is one long piece.
LARGE_NUMBER = """
import plasmon

class Local:
    def __init__(self, number):
        self.number = number

@plasmon.remote
def add(values):
    return values[0].number + (values[1] >> 2_000_000)

plasmon.init(num_cpus=1)
print(plasmon.get(add.remote(plasmon.put([Local(41), 1 << 2_000_000]))))
"""


def test_a_class_of_the_program_goes_along_beside_a_large_number() -> None:
    run = subprocess.run([sys.executable, "-c", LARGE_NUMBER], capture_output=True, text=True, timeout=PATIENCE)
    assert (run.returncode, run.stdout) == (0, "42\n"), run.stderr


def test_lambdas_and_local_classes_are_values() -> None:
    class Local:
        size = 7

    assert plasmon.get(plasmon.put(lambda x: x + Local.size))(1) == 8


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c16", "?"])
def test_arrays_are_views_of_shared_memory(dtype: str) -> None:
    array = np.arange(5000).astype(dtype).reshape(50, 100)
    reference = plasmon.put(array)
    one, other = plasmon.get(reference), plasmon.get(reference)
    assert (one == array).all() and one.dtype == array.dtype and one.shape == array.shape
    assert not one.flags.writeable and not one.flags.owndata
    assert one.ctypes.data == other.ctypes.data and one.ctypes.data % 64 == 0
    with pytest.raises(ValueError):
        one[0, 0] = 1


def test_every_array_of_a_value_is_a_view_of_its_own() -> None:
    value = {"a": np.arange(1000), "b": [np.ones((3, 5), order="F"), np.zeros(0)], "c": np.arange(100)[::3]}
    got = plasmon.get(plasmon.put(value))
    assert (got["a"] == value["a"]).all() and (got["b"][0] == 1).all() and got["b"][1].size == 0 and (got["c"] == value["c"]).all()
    assert got["b"][0].flags.f_contiguous
    assert got["a"].ctypes.data % 64 == 0 and got["b"][0].ctypes.data % 64 == 0


def test_arrow_tables_are_views() -> None:
    table = pa.table({"n": list(range(10_000)), "s": [str(n) for n in range(10_000)]})
    got = plasmon.get(plasmon.put(table))
    assert got.equals(table)
    [row] = rows()
    assert row["reference_type"] == "PINNED_IN_MEMORY"


def test_memoryviews_come_back_as_read_only_views() -> None:
    got = plasmon.get(plasmon.put(memoryview(bytearray(b"abc" * 1000))[::1]))
    assert isinstance(got, memoryview) and got.readonly and bytes(got) == b"abc" * 1000
    assert bytes(plasmon.get(plasmon.put(memoryview(b"abcdef")[::2]))) == b"ace"
    # Flattened, as they lie in memory.
    for array in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.empty((3, 0, 2))):
        assert bytes(plasmon.get(plasmon.put(memoryview(array)))) == array.tobytes(order="A")


def test_several_are_got_in_order_and_nested_references_stay() -> None:
    references = [plasmon.put(number) for number in range(20)]
    assert plasmon.get(references) == list(range(20))
    assert plasmon.get([]) == []
    inner = plasmon.get(plasmon.put({"refs": references}))["refs"]
    assert inner == references and plasmon.get(inner[3]) == 3


def test_a_get_that_takes_too_long_times_out() -> None:
    @plasmon.remote
    def forever() -> None:
        time.sleep(1000)

    reference = forever.remote()
    with pytest.raises(plasmon.exceptions.GetTimeoutError, match=reference.hex()) as caught:
        plasmon.get(reference, timeout=0.05)
    assert isinstance(caught.value, TimeoutError) and caught.value.code == "get_timeout"


@pytest.mark.parametrize("limit", [sys.maxsize, 9.2233720368547e18, 1e18])
def test_a_limit_may_be_any_number(limit: float) -> None:
    @plasmon.remote
    def soon() -> int:
        time.sleep(0.1)
        return 1

    assert plasmon.get(soon.remote(), timeout=limit) == 1
    assert plasmon.get([soon.remote(), soon.remote()], timeout=limit) == [1, 1]
    assert len(plasmon.wait([soon.remote()], timeout=limit)[0]) == 1


def test_wait_returns_as_many_as_asked_in_order() -> None:
    @plasmon.remote
    def after(flag: float) -> float:
        time.sleep(flag)
        return flag

    slow, quick = after.remote(1000), plasmon.put(1)
    assert plasmon.wait([slow, quick], timeout=30) == ([quick], [slow])
    assert plasmon.wait([slow], timeout=0) == ([], [slow])
    both = [plasmon.put(1), plasmon.put(2)]
    assert plasmon.wait(both, num_returns=1) == (both[:1], both[1:])
    assert plasmon.wait(both, num_returns=2) == (both, [])
    assert plasmon.wait([]) == ([], [])


def test_wait_finds_those_that_are_there_among_many() -> None:
    @plasmon.remote
    def soon(seconds: float) -> None:
        time.sleep(seconds)

    there = [plasmon.put(number) for number in range(100)]
    mixed = there[::2] + there[1::2][::-1]
    assert plasmon.wait(mixed, num_returns=100) == (mixed, [])
    for count in (1, 7, 50, 99):
        assert plasmon.wait(mixed, num_returns=count) == (mixed[:count], mixed[count:])
    for order in (there + there[:1], mixed + mixed[50:51]):
        with pytest.raises(ValueError, match="each reference once"):
            plasmon.wait(order)
    # Any iterable, as Ray takes it.
    ready, rest = plasmon.wait(iter(there), num_returns=3)
    assert (ready, rest) == (there[:3], there[3:])
    late = soon.remote(0.2)
    assert plasmon.wait([*there[:40], late], num_returns=41, timeout=60) == ([*there[:40], late], [])
    # Another thread changes the list while it is waited for; should it have been quicker than the call, once more.
    ready, rest = [], []
    while not ready:
        changing = [soon.remote(0.2), soon.remote(0.1)]
        both = list(changing)
        clears = threading.Timer(0.02, changing.clear)
        clears.start()
        ready, rest = plasmon.wait(changing, num_returns=len(changing), timeout=60)
        clears.join()
    assert (ready, rest) == (both, [])


@pytest.mark.parametrize("count", [(4 << 20) - 1, (8 << 20) + 4097, 24 << 20])
def test_large_buffers_are_copied_whole(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)
    for value in (values, values.tobytes(), memoryview(values)):
        got = plasmon.get(plasmon.put(value))
        assert np.array_equal(np.frombuffer(got, np.uint8), values)


class Lazy:
    """Keeps what it has as a pickle of its own, and reads it when it is wanted."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return unread, (pickle.dumps(self.value),)


def unread(data: bytes) -> Any:
    return data, pickle.loads(data), pickle.loads(data)


def test_references_are_read_where_they_were_written_alone() -> None:
    one, other = plasmon.put(1), plasmon.put(2)
    data, *both = plasmon.get(plasmon.put([Lazy([one, other]), other]))[0]
    assert both == [[one, other]] * 2 and plasmon.get(both[0]) == [1, 2]
    with pytest.raises(plasmon.exceptions.OutOfBandError):
        pickle.loads(data)
    again = plasmon.put([one, data])
    with pytest.raises(plasmon.exceptions.OutOfBandError):
        pickle.loads(plasmon.get(again)[1])


def test_references_are_equal_by_object_and_hashed() -> None:
    one, other = plasmon.put(1), plasmon.put(1)
    again = plasmon.get(plasmon.put([one]))[0]
    assert one == again and hash(one) == hash(again) and one is not again and one != other and one != one.hex()
    assert len({one, again, other}) == 2
    assert one.binary().hex() == one.hex() and len(one.binary()) == 16
    assert repr(one) == f"ObjectRef({one.hex()})" and one.hex() in one._repr_html_()


def test_a_store_that_is_full_says_who_holds_it() -> None:
    held = plasmon.get([plasmon.put(np.ones(40 << 20, np.uint8)) for _ in range(2)])
    with pytest.raises(plasmon.exceptions.ObjectStoreFullError, match="test_a_store_that_is_full") as caught:
        plasmon.put(np.ones(100 << 20, np.uint8))
    assert "hint:" in str(caught.value) and isinstance(caught.value, MemoryError)
    del held
    gc.collect()
    until("everything is free", lambda: not rows())
    plasmon.put(np.ones(100 << 20, np.uint8))


def test_what_was_just_put_is_there() -> None:
    @plasmon.remote
    def never() -> None:
        time.sleep(1000)

    # Whether the agent has come to it or not.
    for _ in range(100):
        reference = plasmon.put(1)
        assert plasmon.wait([reference], timeout=0) == ([reference], [])
    # Nor where another one is missing.
    pending = never.remote()
    for _ in range(100):
        reference = plasmon.put(2)
        assert plasmon.wait([pending, reference], num_returns=2, timeout=0) == ([reference], [pending])
    plasmon.cancel(pending, force=True)
    assert "is there" in plasmon.put(1)._repr_html_()


class Gapped:
    """Its buffer is not in one piece."""

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return bytes, (pickle.PickleBuffer(memoryview(bytes(100))[::2]),)


def test_a_buffer_with_gaps_is_refused_by_name() -> None:
    with pytest.raises(plasmon.exceptions.EncodeError, match=r"a value of type test_objects\.Gapped cannot be stored"):
        plasmon.put(Gapped())
    assert plasmon.get(plasmon.put([1])) == [1]


def test_every_exception_is_listed() -> None:
    public = {name for name, value in vars(plasmon.exceptions).items() if isinstance(value, type) and issubclass(value, plasmon.exceptions.PlasmonError)}
    assert {name for name in public if not name.startswith("_")} == set(plasmon.exceptions.__all__)
