"""Who holds what, and for how long: rows as Ray's page about memory tells them, and the life times of Python's references."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path
from typing import Any, Callable

import numpy as np
import plasmon
import pytest
from conftest import end_process, line_of, rows, until

pytestmark = pytest.mark.usefixtures("agent")


def line() -> int:
    """The caller's line."""
    return sys._getframe(1).f_lineno


def site(kind: str, at: int, function: str) -> str:
    return f"({kind}) {function} {__file__}:{at}"


def seen(reference: Any = None) -> set[tuple[str, str, str]]:
    """The report: reference types, call sites, and what each holder is."""
    return {
        (row["reference_type"], row["call_site"], row["process_type"])
        for row in plasmon.state.list_objects()
        if reference is None or row["object_id"] == reference.hex()
    }


@plasmon.remote
def stay(arg: Any, flag: str, begun: str) -> None:
    """Runs until the file `flag` is there."""
    open(begun, "w").close()
    while not os.path.exists(flag):
        threading.Event().wait(0.01)


STAY = stay.__wrapped__.__code__.co_firstlineno


def test_local_references() -> None:
    a, at = plasmon.put(None), line()
    b, called = plasmon.remote(lambda arg: arg).remote(None), line()
    plasmon.get(b)
    assert seen() == {
        ("LOCAL_REFERENCE", site("put object", at, "test_local_references"), "driver"),
        ("LOCAL_REFERENCE", site("task call", called, "test_local_references"), "driver"),
    }
    assert {row["size_bytes"] for row in rows()} != {0} and all(row["local"] == 1 for row in rows())
    del a, b
    until("nothing is held", lambda: not rows())


def test_objects_pinned_in_memory() -> None:
    a = plasmon.get(plasmon.put(np.zeros(100)))
    [row] = rows()
    assert row["reference_type"] == "PINNED_IN_MEMORY" and row["process_type"] == "driver" and row["pinned"] == 1 and row["local"] == 0
    assert row["created_site"].startswith("(put object) test_objects_pinned_in_memory ")
    del a
    until("nothing is held", lambda: not rows())


def test_pending_tasks_in_driver_and_worker(tmp_path: Path) -> None:
    a, at = plasmon.put(None), line()
    b = stay.remote(a, str(tmp_path / "flag"), str(tmp_path / "begun"))
    until("it runs", (tmp_path / "begun").exists)
    assert seen(a) == {
        ("USED_BY_PENDING_TASK", site("put object", at, "test_pending_tasks_in_driver_and_worker"), "driver"),
        ("PINNED_IN_MEMORY", site("deserialize task arg", STAY, "stay"), "worker"),
    }
    [result] = rows(object_id=b.hex())
    assert result["reference_type"] == "LOCAL_REFERENCE" and result["status"] == "RUNNING" and result["size_bytes"] is None
    (tmp_path / "flag").touch()
    plasmon.get(b)
    until("only the driver holds it", lambda: {row[0] for row in seen(a)} == {"LOCAL_REFERENCE"})


def test_references_that_were_deserialised(tmp_path: Path) -> None:
    a, at = plasmon.put(None), line()
    b = stay.remote([a], str(tmp_path / "flag"), str(tmp_path / "begun"))
    until("it runs", (tmp_path / "begun").exists)
    name = "test_references_that_were_deserialised"
    assert seen(a) == {
        ("USED_BY_PENDING_TASK", site("put object", at, name), "driver"),
        ("LOCAL_REFERENCE", site("deserialize task arg", STAY, "stay"), "worker"),
    }
    (tmp_path / "flag").touch()
    plasmon.get(b)


def test_references_captured_in_objects() -> None:
    a, at = plasmon.put(None), line()
    b, outer = plasmon.put([a]), line()
    del a
    name = "test_references_captured_in_objects"
    until(
        "the inner one is captured",
        lambda: seen()
        == {
            ("CAPTURED_IN_OBJECT", site("put object", at, name), "driver"),
            ("LOCAL_REFERENCE", site("put object", outer, name), "driver"),
        },
    )
    del b
    until("nothing is held", lambda: not rows())


@plasmon.remote
class Holder:
    def __init__(self) -> None:
        self.held: Any = None

    def hold(self, value: Any) -> None:
        self.held = value

    def pid(self) -> int:
        return os.getpid()


def test_actor_handles_and_what_actors_hold() -> None:
    holder, at = Holder.remote(), line()
    plasmon.get(holder.pid.remote())
    assert seen() == {("ACTOR_HANDLE", site("actor call", at, "test_actor_handles_and_what_actors_hold"), "driver")}
    a = plasmon.put(np.ones(10))
    plasmon.get(holder.hold.remote([a]))
    hold = Holder._class.hold.__code__.co_firstlineno
    assert ("LOCAL_REFERENCE", site("deserialize actor task arg", hold, "Holder.hold"), "worker") in seen(a)
    # A view that the actor keeps.
    plasmon.get(holder.hold.remote(a))
    assert ("PINNED_IN_MEMORY", site("deserialize actor task arg", hold, "Holder.hold"), "worker") in seen(a)
    del a
    assert until("the actor alone holds it", lambda: [row for row in rows() if row["process_type"] == "worker" and row["pinned"]])
    plasmon.get(holder.hold.remote(None))
    until("nothing but the actor is left", lambda: {row[0] for row in seen()} == {"ACTOR_HANDLE"})


class Node:
    """A part of a cycle."""

    def __init__(self, value: Any) -> None:
        self.value, self.me = value, self


def in_list() -> Any:
    return [plasmon.put(1)]


def in_dict() -> Any:
    return {"a": (plasmon.put(1),)}


def in_closure() -> Any:
    reference = plasmon.put(1)
    return lambda: reference


def in_default() -> Any:
    def function(reference: Any = plasmon.put(1)) -> Any:
        return reference

    return function


def in_state() -> Any:
    return Node(plasmon.put(1))


def in_exception() -> Any:
    try:
        kept = plasmon.put(1)
        raise ValueError(kept)
    except ValueError as error:
        return error


def in_generator() -> Any:
    def generate() -> Any:
        reference = plasmon.put(1)
        yield 1
        yield reference

    generator = generate()
    next(generator)
    return generator


def in_weak_dict() -> Any:
    reference = plasmon.put(1)
    weak = weakref.WeakValueDictionary({1: reference})
    return reference, weak


@pytest.mark.parametrize("make", [in_list, in_dict, in_closure, in_default, in_state, in_exception, in_generator, in_weak_dict])
def test_a_reference_lives_as_long_as_whatever_holds_it(make: Callable[[], Any]) -> None:
    held = make()
    gc.collect()
    assert [row["reference_type"] for row in rows()] == ["LOCAL_REFERENCE"]
    del held
    gc.collect()
    until("nothing is held", lambda: not rows())


def a_slice(array: Any) -> Any:
    return array[10:20]


def a_transposed(array: Any) -> Any:
    return array.reshape(10, 10).T


def a_memoryview(array: Any) -> Any:
    return memoryview(array)[3:4]


def a_dtype(array: Any) -> Any:
    return array.view("u1")


def a_thread(array: Any) -> Any:
    event = threading.Event()
    thread = threading.Thread(target=lambda kept: event.wait(), args=(array,))
    thread.start()

    class Ends:
        def __del__(self) -> None:
            event.set()
            thread.join()

    return Ends()


@pytest.mark.parametrize("derive", [a_slice, a_transposed, a_memoryview, a_dtype, a_thread])
def test_a_pin_lives_as_long_as_the_last_view(derive: Callable[[Any], Any]) -> None:
    derived = derive(plasmon.get(plasmon.put(np.arange(100.0))))
    gc.collect()
    assert [row["reference_type"] for row in rows()] == ["PINNED_IN_MEMORY"]
    del derived
    gc.collect()
    until("nothing is held", lambda: not rows())


def test_references_in_results_live_with_the_results() -> None:
    @plasmon.remote
    def make() -> Any:
        return [plasmon.put(np.ones(1000)), plasmon.put("b")]

    outer = make.remote()
    inner = plasmon.get(outer)
    del outer
    gc.collect()
    assert plasmon.get(inner[1]) == "b" and plasmon.get(inner[0]).sum() == 1000
    assert plasmon.get(plasmon.get(plasmon.remote(lambda: plasmon.put(5)).remote())) == 5
    del inner
    until("nothing is held", lambda: not rows())


def test_references_captured_in_exported_functions_live_with_them() -> None:
    captured = plasmon.put(7)

    @plasmon.remote
    def use() -> int:
        return plasmon.get(captured)

    assert plasmon.get(use.remote()) == 7
    hexadecimal = captured.hex()
    del captured
    gc.collect()
    assert plasmon.get(use.remote()) == 7
    assert rows(object_id=hexadecimal)


def test_two_hundred_levels_of_nesting() -> None:
    reference = plasmon.put("bottom")
    for _ in range(200):
        reference = plasmon.put([reference])
    gc.collect()
    value = plasmon.get(reference)
    for _ in range(199):
        value = plasmon.get(value[0])
    assert plasmon.get(value[0]) == "bottom"
    del value, reference
    until("nothing is held", lambda: not rows())


def test_ten_thousand_references_in_one_object() -> None:
    references = [plasmon.put(number) for number in range(10_000)]
    outer = plasmon.put(references)
    del references
    got = plasmon.get(outer)
    assert len(set(got)) == 10_000 and plasmon.get(got[-1]) == 9_999 and plasmon.get(got[:3]) == [0, 1, 2]
    del got, outer
    until("nothing is held", lambda: not rows())


def test_the_collector_does_not_follow_references_and_finds_cycles_with_them() -> None:
    @plasmon.remote
    def nothing() -> None:
        return None

    @plasmon.remote(num_returns=2)
    def both() -> tuple[int, int]:
        return 1, 2

    value = plasmon.put(0)
    listed = plasmon.put([value])
    inside = plasmon.put({"reference": value})
    references = [value, listed, inside, nothing.remote(), *both.remote(), *plasmon.get(listed), plasmon.get(inside)["reference"]]
    assert len(references) == 8 and not any(gc.is_tracked(reference) for reference in references)
    # One that is held by a cycle goes with it.
    holder: list[Any] = [plasmon.put(np.ones(1000))]
    gone = weakref.ref(holder[0])
    holder.append(holder)
    del holder
    gc.collect()
    assert gone() is None


def test_a_function_that_refers_to_its_own_remote_one_is_collected() -> None:
    def cycle() -> weakref.ref[Any]:
        @plasmon.remote
        def again(left: int) -> Any:
            return again.remote(left - 1) if left else 0

        plasmon.get(again.remote(1))
        return weakref.ref(again)

    def actors() -> weakref.ref[Any]:
        @plasmon.remote
        class Again:
            def name(self) -> str:
                return repr(Again)

        actor = Again.remote()
        plasmon.get(actor.name.remote())
        return weakref.ref(Again)

    gone = cycle(), actors()
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_workers_keep_only_so_much_of_functions_that_nobody_has_any_more() -> None:
    for number in range(8):
        array = np.full(5 << 20, number, dtype=np.float64)

        @plasmon.remote
        def first() -> float:
            return float(array[0])

        assert plasmon.get(first.remote()) == number
        del first
        gc.collect()
    until("those before are gone", lambda: len([row for row in rows() if row["size_bytes"] > 40 << 20]) <= 2)


def test_lists_of_references_are_what_they_were() -> None:
    one, other = plasmon.put(1), plasmon.put(2)
    for value in ([one], [one, other, plasmon.put(3)], [one, one, other], [], [[one], [other]], (one, other), [one, 2]):
        got = plasmon.get(plasmon.put(value))
        assert got == value and type(got) is type(value)
    same = plasmon.get(plasmon.put([one, one]))
    assert same[0] is same[1]
    kept = plasmon.put([plasmon.put(4), plasmon.put(5)])
    assert [row["reference_type"] for row in rows(local=0)] == ["CAPTURED_IN_OBJECT"] * 2
    inner = plasmon.get(kept)
    assert plasmon.get(inner) == [4, 5] and len(rows(reference_type="LOCAL_REFERENCE", object_id=inner[0].hex())) == 1
    del kept
    assert plasmon.get(inner) == [4, 5]


def test_what_a_killed_worker_held_is_free() -> None:
    holder = Holder.remote()
    a = plasmon.put(np.ones(1000))
    plasmon.get(holder.hold.remote([a, plasmon.get(a)]))
    end_process(plasmon.get(holder.pid.remote()))
    del a
    until("nothing but the handle is left", lambda: {row[0] for row in seen()} <= {"ACTOR_HANDLE"})
    with pytest.raises(plasmon.exceptions.ActorDiedError):
        plasmon.get(holder.pid.remote())


DRIVER = """
import sys, numpy as np, plasmon
plasmon.init(sys.argv[1])
kept = [plasmon.put(np.ones(1000)) for _ in range(100)]
views = plasmon.get(kept)
nested = plasmon.put(kept)
task = plasmon.remote(lambda: __import__("time").sleep(1000)).remote()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "ended"])
def test_what_a_driver_held_is_free_when_it_is_gone(agent: dict[str, Any], kill: bool) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), agent["session"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdin and driver.stdout
    assert line_of(driver) == "ready\n"
    assert len(rows()) >= 101
    if kill:
        driver.kill()
    driver.stdin.close()
    assert (driver.wait() == 0) is not kill
    driver.stdout.close()
    until("nothing is held", lambda: not rows())


def test_call_sites_are_the_programs_own_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helpers.py").write_text("import plasmon\ndef keep(value):\n    return plasmon.put(value)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import helpers  # type: ignore[import-not-found]

    one = helpers.keep(1)
    assert rows(object_id=one.hex())[0]["call_site"] == f"(put object) keep {tmp_path}/helpers.py:3"
    plasmon.set_call_sites(hidden=["helpers"])
    try:
        two, at = helpers.keep(1), line()
        assert seen(two) == {("LOCAL_REFERENCE", site("put object", at, "test_call_sites_are_the_programs_own_lines"), "driver")}
    finally:
        plasmon.set_call_sites(hidden=[])
    with pytest.raises(ValueError, match="neither a module nor a path"):
        plasmon.set_call_sites(hidden=["no_such_module_anywhere"])


def test_garbage_is_collected_while_a_call_site_is_looked_for() -> None:
    put: list[Any] = []
    failed: list[BaseException] = []
    reference = plasmon.put(0)
    plasmon.get(reference)

    def collecting(phase: str, info: dict[str, int]) -> None:
        try:
            put.append(plasmon.put(len(put)))
        except BaseException as error:
            failed.append(error)

    threshold = gc.get_threshold()
    gc.callbacks.append(collecting)
    gc.set_threshold(1)
    try:
        for number in range(20):
            # Each from a place that was never seen before, through a function of the package's own.
            exec(compile("plasmon.cancel(reference)", f"place-{number}.py", "exec"), {"plasmon": plasmon, "reference": reference})
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collecting)
    assert not failed and put and plasmon.get(put) == list(range(len(put)))


def test_the_report_is_text_and_rows() -> None:
    kept = plasmon.put(np.zeros(1000))
    text = plasmon.memory_summary(units="KB", group_by="stack_trace")
    assert "test_the_report_is_text_and_rows test_references.py:" in text and "LOCAL_REFERENCE" in text and kept.hex() in text
    assert kept.hex() not in plasmon.memory_summary(stats_only=True)
    with pytest.raises(ValueError, match="furlongs"):
        plasmon.memory_summary(units="furlongs")
    assert [row["object_id"] for row in plasmon.state.list_objects()] == [kept.hex()]
    summary = plasmon.state.report()
    assert summary["store"]["unattributed_bytes"] == 0 and summary["totals"]["references"] == 1


def deeper(levels: int) -> Any:
    return deeper(levels - 1) if levels else plasmon.put("deep")


def test_a_site_is_the_whole_stack_the_programs_own_frame_first() -> None:
    kept, at = deeper(2), line()
    [row] = rows(object_id=kept.hex())
    put, call = (deeper.__code__.co_firstlineno + 1,) * 2
    expected = [f"(put object) deeper {__file__}:{put}", f"deeper {__file__}:{call}", f"deeper {__file__}:{call}"]
    expected.append(f"test_a_site_is_the_whole_stack_the_programs_own_frame_first {__file__}:{at}")
    assert row["call_stack"][:4] == row["created_stack"][:4] == expected and row["call_site"] == expected[0]
    # Nothing of this package is among them, and nothing is left out further out.
    assert not [frame for frame in row["call_stack"] if f"{os.sep}plasmon{os.sep}_" in frame] and any("pytest" in frame for frame in row["call_stack"])
    # The same line, called from elsewhere, is another site.
    other = deeper(1)
    [beside] = rows(object_id=other.hex())
    assert beside["call_site"] == row["call_site"] and len(beside["call_stack"]) == len(row["call_stack"]) - 1
    # As deep as it may be: the outermost frames are left out.
    deepest = deeper(200)
    assert len(rows(object_id=deepest.hex())[0]["call_stack"]) == 64


def test_a_files_name_need_not_be_text() -> None:
    space: dict[str, Any] = {"plasmon": plasmon}
    exec(compile("def keep():\n    return plasmon.put(1)\n@plasmon.remote\ndef task():\n    return keep()", "odd\udcff.py", "exec"), space)
    kept, at = space["keep"](), line()
    [row] = rows(object_id=kept.hex())
    assert row["call_stack"][0].startswith("(put object) keep odd\N{REPLACEMENT CHARACTER}") and row["call_stack"][0].endswith(".py:2")
    assert row["call_stack"][1] == f"test_a_files_name_need_not_be_text {__file__}:{at}"
    assert plasmon.get(plasmon.get(space["task"].remote())) == 1


def test_a_workers_stack_is_the_tasks_own() -> None:
    @plasmon.remote
    def puts() -> Any:
        return [deeper(1)]

    [kept] = plasmon.get(puts.remote())
    # The worker may not have said yet that it lets go of it.
    [row] = rows(object_id=kept.hex(), reference_type="LOCAL_REFERENCE", process_type="driver")
    assert [frame.split()[-2].rpartition(".")[2] for frame in row["created_stack"]] == ["deeper", "deeper", "puts"]


def test_modules_and_files_are_left_out_and_sites_are_switched_off_and_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library.py").write_text("import plasmon\ndef keep(value):\n    return plasmon.put(value)\n")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "__init__.py").write_text("from library import keep\ndef passes(value):\n    return keep(value)\n")
    # Workers find what their driver finds when it connects.
    plasmon.shutdown()
    monkeypatch.syspath_prepend(str(tmp_path))
    plasmon.init(num_cpus=1, object_store_memory=64 << 20)
    import library  # type: ignore[import-not-found]
    import others  # type: ignore[import-not-found]

    def place(kept: Any) -> str:
        return str(rows(object_id=kept.hex())[0]["call_site"].split()[-1])

    @plasmon.remote
    def puts() -> Any:
        return [library.keep("there")]

    try:
        assert place(library.keep(1)) == f"{tmp_path}/library.py:3"
        plasmon.set_call_sites(hidden=["library"])
        kept, at = library.keep(1), line()
        assert place(kept) == f"{__file__}:{at}"
        assert place(others.passes(1)) == f"{tmp_path}/others/__init__.py:3"
        # Workers leave out what their driver does.
        [there] = plasmon.get(puts.remote())
        assert rows(object_id=there.hex())[0]["created_site"].split()[-1].rpartition(":")[0] == __file__
        plasmon.set_call_sites(hidden=["library", "others"])
        kept, at = others.passes(1), line()
        assert place(kept) == f"{__file__}:{at}"
        plasmon.set_call_sites(hidden=[f"{tmp_path}/others/"])
        assert place(others.passes(1)) == f"{tmp_path}/library.py:3"
        plasmon.set_call_sites(hidden=[])
        assert place(others.passes(1)) == f"{tmp_path}/library.py:3"
        plasmon.set_call_sites(enabled=False)
        unknown = others.passes(1)
        assert ".py" not in rows(object_id=unknown.hex())[0]["call_site"]
        plasmon.set_call_sites(enabled=True)
        kept, at = plasmon.put(3), line()
        assert place(kept) == f"{__file__}:{at}"
        for wrong, kind in (("no_such_module_at_all", ValueError), ("no.such", ValueError)):
            with pytest.raises(kind, match="neither a module nor a path\nhint: a path has"):
                plasmon.set_call_sites(hidden=[wrong])
        with pytest.raises(TypeError, match="list of names"):
            plasmon.set_call_sites(hidden="library")
    finally:
        plasmon.set_call_sites(hidden=[], enabled=True)
