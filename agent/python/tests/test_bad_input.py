"""What cannot be: each an exception of the right type that says what to do."""

from __future__ import annotations

import functools
import inspect
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import plasmon
import pytest
from conftest import PATIENCE, line_of, until
from plasmon import _logs, _plasmon


@plasmon.remote
def work(value: Any = None) -> Any:
    return value


@plasmon.remote
class Actor:
    def __init__(self) -> None:
        pass

    def method(self) -> int:
        return 1

    def take(self, first: Any, second: Any = None, *, third: Any) -> Any:
        return first, second, third


def handed(actor: Any) -> Any:
    """A handle as another process gets it."""
    return plasmon.get(plasmon.put([actor]))[0]


def gets_more(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args, *args[1:])

    return inner


@plasmon.remote
@gets_more
def wrapped(value: Any, further: Any) -> Any:
    return value, further


def sleeps() -> None:
    time.sleep(1000)


OPTIONS = [
    (lambda: work.options(num_cpu=1), TypeError, "did you mean 'num_cpus'"),
    (lambda: work.options(num_cpus="2"), TypeError, "num_cpus is a number, not str '2'"),
    (lambda: work.options(num_cpus=-1), ValueError, "num_cpus is 0 to 1000000, which -1 is not"),
    (lambda: work.options(num_cpus=float("nan")), ValueError, "num_cpus"),
    (lambda: work.options(max_retries=1.5), TypeError, "whole number"),
    (lambda: work.options(num_returns="many"), TypeError, "'dynamic' or 'streaming'"),
    (lambda: work.options(num_returns=-1), ValueError, "0 to 1000"),
    (lambda: work.options(resources={"CPU": 1}), ValueError, "that is the option num_cpus"),
    (lambda: work.options(resources=["db"]), TypeError, "dict of amounts"),
    (lambda: work.options(retry_exceptions=[3]), TypeError, "exception classes"),
    (lambda: work.options(runtime_env={}), TypeError, "workers run in the driver's environment"),
    (lambda: Actor.options(lifetime="forever"), ValueError, "'detached'"),
    (lambda: Actor.options(max_concurrency=0), ValueError, "max_concurrency is 1 to 1000, which 0 is not"),
    (lambda: Actor.options(name=""), TypeError, "not empty"),
    (lambda: plasmon.remote(num_cpus=1)(5), TypeError, "functions and classes"),
    (lambda: plasmon.remote(5), TypeError, "options by name"),
    (lambda: plasmon.method(num_return=2), TypeError, "did you mean 'num_returns'"),
    (lambda: work(), TypeError, r"work\.remote\(\.\.\)"),
    (lambda: Actor(), TypeError, r"Actor\.remote\(\.\.\)"),
    (lambda: types.new_class("Child", (Actor,)), TypeError, r"Actor\.__wrapped__"),
    (lambda: plasmon.init(num_cpu=3), TypeError, "did you mean 'num_cpus'"),
    (lambda: plasmon.init(include_dashboard=False), TypeError, "hint: leave it out: the command"),
    (lambda: plasmon.init(num_cpus="many"), TypeError, "num_cpus is a number"),
    (lambda: plasmon.init(object_store_memory=-5), ValueError, "which -5 is not"),
    (lambda: plasmon.init(namespace="a/b"), ValueError, "a namespace has no '/'"),
    (lambda: plasmon.init("/nowhere/at/all"), ConnectionError, "/nowhere/at/all"),
]


@pytest.mark.parametrize(("call", "kind", "says"), OPTIONS, ids=[case[2] for case in OPTIONS])
def test_options(call: Callable[[], Any], kind: type[BaseException], says: str) -> None:
    with pytest.raises(kind, match=says):
        call()
    assert not plasmon.is_initialized()


CALLS = [
    (lambda: plasmon.get(5), TypeError, "not int"),
    (lambda: plasmon.get([plasmon.put(1), "x"]), TypeError, "not str"),
    (lambda: plasmon.get(work.options(num_returns="streaming").remote([])), TypeError, "iterate over it"),
    (lambda: plasmon.get(Actor.remote()), TypeError, r"handle\.method\.remote"),
    (lambda: plasmon.progress(plasmon.put(1)), TypeError, r"plasmon\.progress\(\[ref\]\)"),
    (lambda: plasmon.get(plasmon.put(1), timeout=-1), ValueError, "timeout"),
    (lambda: plasmon.put(plasmon.put(1)), TypeError, "put it in a list"),
    (lambda: plasmon.wait(plasmon.put(1)), TypeError, r"plasmon\.wait\(\[ref\]\)"),
    (lambda: plasmon.wait([plasmon.put(1)], num_returns=2), ValueError, "1 to 1"),
    (lambda: plasmon.wait([plasmon.put(1)] * 2), ValueError, "once"),
    (lambda: plasmon.wait([1]), TypeError, "wait takes an ObjectRef or a list of them, not int"),
    (lambda: plasmon.wait(1), TypeError, "a list of them, not int"),
    (lambda: plasmon.wait([plasmon.put(1)], num_returns=True), TypeError, "whole number, not bool"),
    (lambda: plasmon.wait([plasmon.put(1)], num_returns=2**70), ValueError, f"1 to 1, the number of references, which {2**70} is not"),
    (lambda: plasmon.wait([plasmon.put(1)], num_returns=-(2**70)), ValueError, f"which {-(2**70)} is not"),
    (lambda: plasmon.wait([plasmon.put(1)], num_returns=10**5000), ValueError, "1 to 1"),
    (lambda: plasmon.cancel(Actor.remote()), TypeError, "plasmon.kill"),
    (lambda: plasmon.kill(plasmon.put(1)), TypeError, "plasmon.cancel"),
    (lambda: plasmon.get_actor("nobody"), ValueError, r"no actor named 'nobody'.*\nhint: make it with \.options\(name=\.\.\)"),
    (lambda: plasmon.memory_summary(group_by="STACK"), ValueError, "group_by is one of NODE_ADDRESS, .*, not 'STACK'"),
    (lambda: plasmon.memory_summary(sort_by=1), ValueError, "sort_by is one of OBJECT_SIZE"),  # type: ignore[arg-type]
    (lambda: plasmon.memory_summary(units="MiB"), ValueError, "units is one of B, KB"),
    (lambda: plasmon.memory_summary(num_entries="5"), TypeError, "whole number, not str '5'"),  # type: ignore[arg-type]
    (lambda: plasmon.memory_summary(num_entries=-1), ValueError, "not negative"),
    (lambda: Actor.remote().method(), TypeError, r"\.method\.remote"),
    (lambda: Actor.remote().no_such, AttributeError, "no method 'no_such'"),
    (lambda: setattr(Actor.remote(), "x", 1), AttributeError, "another process"),
    (lambda: plasmon.put(threading.Lock()), TypeError, "cannot be stored"),
    (lambda: work.remote([threading.Lock()]), TypeError, "cannot be stored"),
    (lambda: work.remote(*[None] * 3), TypeError, r"work\.remote\(\): too many positional arguments\nhint: it takes \(value: "),
    (lambda: work.remote(valu=1), TypeError, "unexpected keyword argument 'valu'"),
    (lambda: plasmon.get(work.remote(1, value=1)), TypeError, "multiple values for argument 'value'"),
    (lambda: Actor.remote().take.remote(), TypeError, "missing a required argument: 'first'"),
    (lambda: Actor.remote().take.remote(1), TypeError, "missing a required (keyword-only )?argument: 'third'"),
    (lambda: Actor.remote().take.options(num_returns=2).remote(1, 2, 3), TypeError, "too many positional arguments"),
    (lambda: plasmon.get(handed(Actor.remote()).take.remote()), TypeError, "missing .* required positional argument"),
    (lambda: Actor.remote(1), TypeError, r"Actor\.remote\(\): too many positional arguments\nhint: it takes \(\)"),
    (lambda: plasmon.get(wrapped.remote(1)), TypeError, "missing 1 required positional argument: 'further'"),
    (lambda: pickle.dumps(plasmon.put(1)), TypeError, "outside of an object"),
    (lambda: Actor.options(get_if_exists=True).remote(), ValueError, "needs a name"),
    (lambda: plasmon.init(), RuntimeError, "ignore_reinit_error"),
    (lambda: Actor.options(max_concurrency=5000).remote(), ValueError, "1 to 1000"),
    (lambda: work.options(num_cpus=0.00001).remote(), ValueError, "num_cpus"),
]


@pytest.mark.parametrize(("call", "kind", "says"), CALLS, ids=[case[2] for case in CALLS])
def test_calls(agent: Any, call: Callable[[], Any], kind: type[BaseException], says: str) -> None:
    with pytest.raises(kind, match=says):
        call()
    # Nothing is broken by it.
    assert plasmon.get(work.remote(3)) == 3


def test_references_of_before_say_so(agent: Any) -> None:
    before, view = plasmon.put(1), plasmon.get(plasmon.put(np.ones(10)))
    plasmon.shutdown()
    assert not plasmon.is_initialized() and view.sum() == 10
    with pytest.raises(plasmon.exceptions.NotConnectedError, match="shutdown.* was called"):
        plasmon.get(before)
    with pytest.raises(plasmon.exceptions.NotConnectedError):
        plasmon.put(1)
    plasmon.init(num_cpus=1, object_store_memory=64 << 20)
    with pytest.raises(plasmon.exceptions.ObjectLostError, match="a connection that has ended"):
        plasmon.get(before)
    assert plasmon.get(plasmon.put(2)) == 2


def test_init_joins_shutdown_ends_and_init_may_be_called_again(agent: Any) -> None:
    assert plasmon.is_initialized()
    assert plasmon.init(ignore_reinit_error=True)["session"] == agent["session"]
    joined = subprocess.run(
        [sys.executable, "-c", "import plasmon; print(plasmon.init()['session'], plasmon.get(plasmon.put(1)))"], capture_output=True, text=True
    )
    assert joined.stdout == f"{agent['session']} 1\n", joined.stderr
    plasmon.shutdown()
    plasmon.shutdown()
    assert not os.path.exists(agent["session"]) and not os.path.exists(f"/proc/{agent['agent_pid']}")
    with plasmon.init(num_cpus=1, object_store_memory=64 << 20):
        assert plasmon.is_initialized()
    assert not plasmon.is_initialized()


def test_the_agents_death_is_an_exception(agent: Any) -> None:
    reference = plasmon.remote(sleeps).remote()
    os.kill(agent["agent_pid"], signal.SIGKILL)
    with pytest.raises(plasmon.exceptions.AgentDiedError, match="started by process"):
        plasmon.get(reference)
    with pytest.raises(ConnectionError):
        until("it is noticed", lambda: plasmon.put(1) is None)


FORK = """
import os, sys, numpy as np, plasmon
plasmon.init(num_cpus=1, object_store_memory=64 << 20)
reference = plasmon.put(np.ones(1000))
pid = os.fork()
if pid == 0:
    said = []
    for use in (lambda: plasmon.get(reference), lambda: plasmon.put(1), lambda: plasmon.wait([reference])):
        try:
            use()
            said.append("nothing")
        except plasmon.exceptions.NotConnectedError as error:
            said.append("forked" if "forked from" in str(error) else str(error))
    plasmon.init()
    said.append(plasmon.get(plasmon.put("own")))
    plasmon.shutdown()
    print(said, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(plasmon.get(reference).sum(), flush=True)
"""


def test_a_forked_child_is_told_and_may_connect_by_itself() -> None:
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stdout == "['forked', 'forked', 'forked', 'own']\n1000.0\n", run.stderr


WAITS = """
import sys, threading, time, plasmon
plasmon.init(num_cpus=1, object_store_memory=64 << 20)
@plasmon.remote
def forever():
    time.sleep(1000)
reference = forever.remote()
# Another thread waits first.
first = threading.Thread(target=lambda: plasmon.wait([reference], timeout=0.01))
first.start()
first.join()
try:
    print("waits", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("wait", ["plasmon.get(reference)", "plasmon.wait([reference])"])
def test_ctrl_c_ends_a_wait(wait: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", WAITS.format(wait=wait)], stdout=subprocess.PIPE, text=True)
    assert program.stdout and line_of(program) == "waits\n"
    program.send_signal(signal.SIGINT)
    assert program.stdout.read() == "interrupted\n"
    assert program.wait(PATIENCE) == 0
    program.stdout.close()


def test_other_threads_run_while_one_waits(agent: Any, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    @plasmon.remote
    def until_flag(path: str) -> str:
        while not os.path.exists(path):
            time.sleep(0.01)
        return "there"

    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(plasmon.get(until_flag.remote(str(flag)))))
    thread.start()
    time.sleep(0.05)
    flag.touch()
    thread.join(PATIENCE)
    assert got == ["there"]


THREADS = """
import threading, plasmon
barrier = threading.Barrier(8)
got = []
def use(number):
    barrier.wait()
    got.append(plasmon.get(plasmon.put(number)))
threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(got), [thread.name for thread in threading.enumerate()].count("plasmon-logs"))
"""


def test_threads_that_come_first_connect_once() -> None:
    run = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stdout == "[0, 1, 2, 3, 4, 5, 6, 7] 1\n", run.stderr


@pytest.mark.parametrize("address", ["auto", "/nowhere"])
def test_options_of_an_agent_and_an_address_are_one_too_many(address: str) -> None:
    with pytest.raises(ValueError, match="num_cpus, spill_dir: options of an agent"):
        plasmon.init(address, num_cpus=1, agent_options={"spill_dir": ["/nowhere"]})


def test_the_variable_names_an_agent_and_a_local_one_is_another(agent: Any, sessions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, pid = agent["session"], agent["agent_pid"]
    children = """
import sys, plasmon
try:
    print(plasmon.init(**eval(sys.argv[1]))["agent_pid"])
except ValueError as error:
    print(error)
"""

    def said(options: str) -> str:
        environment = {**os.environ, "PLASMON_ADDRESS": session}
        run = subprocess.run([sys.executable, "-c", children, options], capture_output=True, text=True, timeout=PATIENCE, env=environment)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    assert said("{}") == str(pid)
    for local in ("{'address': 'local'}", "{'address': 'local', 'num_cpus': 1}"):
        own = said(local)
        assert own.isdigit() and own != str(pid)
    refused = said("{'num_cpus': 1}")
    assert refused.startswith("num_cpus: options of an agent that init() starts, but PLASMON_ADDRESS="), refused


def test_other_threads_run_while_one_asks_for_facts_and_another_connects(tmp_path: Path) -> None:
    go, agent = tmp_path / "go", f"import os, sys, time\nend = time.time() + {PATIENCE}\nwhile not os.path.exists(sys.argv[1]) and time.time() < end: time.sleep(0.01)"
    order: list[str] = []

    def connects() -> None:
        with pytest.raises(plasmon.exceptions.PlasmonError):
            _plasmon.connect(sys.executable, [], ["-c", agent, str(go)], None, None, '{"num-cpus": 1}', True)
        order.append("connected")

    def asks() -> None:
        with pytest.raises(plasmon.exceptions.NotConnectedError):
            _plasmon.facts()
        order.append("asked")

    # Where the interpreter stands still nobody makes the file, and the waiting process ends by itself.
    threads = [threading.Thread(target=connects), threading.Thread(target=asks)]
    for thread in threads:
        thread.start()
        # The next one comes while this one waits.
        time.sleep(0.3)
    order.append("others")
    go.touch()
    for thread in threads:
        thread.join()
    assert order[0] == "others" and sorted(order[1:]) == ["asked", "connected"]


def test_what_workers_print_is_printed_with_their_names(tmp_path: Path) -> None:
    program = """
import plasmon
plasmon.init(num_cpus=1, object_store_memory=64 << 20)
import sys
@plasmon.remote
def say(number):
    print("number", number)
    print("error", number, file=sys.stderr)
plasmon.get([say.remote(number) for number in range(3)])
@plasmon.remote
def last():
    print("no end", end="", flush=True)
plasmon.get(last.remote())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    said = [[text.partition(") ")[2] for text in stream.splitlines()] for stream in (run.stdout, run.stderr)]
    assert said == [["number 0", "number 1", "number 2", "no end"], ["error 0", "error 1", "error 2"]], run
    assert all(text.startswith("(worker pid=") for text in run.stdout.splitlines() + run.stderr.splitlines())


def test_what_workers_print_on_both_streams_comes_in_order() -> None:
    program = """
import os, sys
import plasmon
plasmon.init(num_cpus=1, object_store_memory=64 << 20)
@plasmon.remote
def say():
    for number in range(100):
        print("out", number)
        print("error", number, file=sys.stderr)
    # Past Python, and so past its notes.
    os.write(1, b"bare\\n")
plasmon.get(say.remote())
@plasmon.remote(max_retries=0)
def dies():
    print("the last words", file=sys.stderr)
    os._exit(3)
try:
    plasmon.get(dies.remote())
except plasmon.exceptions.WorkerCrashedError:
    pass
"""
    run = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    said = [text.partition(") ")[2] for text in run.stdout.splitlines()]
    told = [f"{stream} {number}" for number in range(100) for stream in ("out", "error")]
    assert [text for text in said if text != "bare"] == [*told, "the last words"] and "bare" in said, run


def test_logs_of_workers_that_are_gone_are_closed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    (tmp_path / "logs").mkdir()
    for worker, pid, printed in ((1, gone.pid, "one\nno end"), (2, os.getpid(), "two\nmore")):
        (tmp_path / "logs" / f"worker-{worker}.out").write_text(printed)
        (tmp_path / "logs" / f"worker-{worker}.err").write_text("failed")
        (tmp_path / "logs" / f"job-7.worker-{worker}.pid-{pid}").touch()
    follower = _logs.Follower(str(tmp_path), 7)
    try:
        until("the first is closed", lambda: [name.rpartition(".")[2] for name in follower._workers] == [f"pid-{os.getpid()}"])
    finally:
        follower.finish()
    printed = capfd.readouterr()
    both = (f"(worker pid={gone.pid})", f"(worker pid={os.getpid()})")
    assert sorted(printed.out.splitlines()) == sorted([f"{both[0]} one", f"{both[0]} no end", f"{both[1]} two", f"{both[1]} more"])
    assert sorted(printed.err.splitlines()) == sorted(f"{name} failed" for name in both)


def test_an_agent_of_another_version_says_so(agent: Any, sessions: Path) -> None:
    # An agent of today hears a client of tomorrow, whose hello nobody here can read beyond its first number.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(os.path.join(agent["session"], "agent.sock"))
        client.send(b"\x63" + b"who knows what")
        answer = client.recv(4096)
    assert b"local protocol 99" in answer and f"agent {agent['version']}".encode() in answer
    plasmon.shutdown()
    # A client of today finds an agent of tomorrow.
    path = str(sessions / "later.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as later:
        later.bind(path)
        later.listen()

        def answers() -> None:
            with later.accept()[0] as peer:
                peer.recv(4096)
                peer.send(b"\x00\x63" + b"who knows what")

        thread = threading.Thread(target=answers)
        thread.start()
        with pytest.raises(plasmon.exceptions.VersionError, match=r"agent \(local protocol 99\).*\nhint: build both sides from the same release"):
            plasmon.init(path)
        thread.join(PATIENCE)
    assert not plasmon.is_initialized()


def test_things_show_themselves_in_a_notebook(agent: Any) -> None:
    kept, missing = plasmon.put(np.ones(100_000)), work.options(num_cpus=2).remote(plasmon.remote(sleeps).remote())
    store: Any = plasmon.state.store()
    assert repr(store) == "<object store: 781.4 KiB of 128.0 MiB used by 3 objects>" or "used by" in repr(store)
    shown = store._repr_html_()
    assert shown.count("<table>") == shown.count("</table>") == 1 and "of 128.0 MiB" in shown and "referenced" in shown
    for reference, state in ((kept, "its object is there"), (missing, "its object is not there yet")):
        assert reference.hex() in reference._repr_html_() and state in reference._repr_html_()
    summary: Any = plasmon.memory_summary()
    assert isinstance(summary, str) and summary._repr_html_().startswith("<pre") and kept.hex() in summary._repr_html_()
    assert agent["session"] in repr(agent) and agent["session"] in agent._repr_html_()
    odd = "<b>&"
    named = work.options(name=odd).remote()
    plasmon.get(named)
    assert odd not in plasmon.memory_summary(group_by="STACK_TRACE")._repr_html_()
    plasmon.shutdown()
    assert "shutdown" in kept._repr_html_() or "not connected" in kept._repr_html_()


def test_the_command_line(agent: Any) -> None:
    kept = plasmon.put(b"x" * 1000)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-m", "plasmon", *arguments], capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    code, out, _ = run("memory")
    assert code == 0 and kept.hex() in out and "LOCAL_REFERENCE" in out
    assert run("memory", "--group-by", "stack_trace", "--sort-by", "pid", "--reverse", "--units", "kb", "-n", "1", "--no-format")[0] == 0
    code, out, _ = run("memory", "--json", "--filter", "type:pinned")
    assert code == 0 and '"references": []' in out
    for command in (["--help"], ["memory", "--help"], ["agent", "--help"], ["--version"]):
        code, out, err = run(*command)
        assert code == 0 and out and not err, command
    code, out, _ = run("memory", "--fail-on", "growth site:nowhere.py", "--growth-time", "200ms", "--stats-only")
    assert code == 0 and "Aggregate" in out
    assert run("memory", "--address", agent["session"])[0] == 2 and run("memory", "--token-file", "/nowhere")[0] == 2 and run()[0] == 2
    code, _, err = run("memory", "--fail-on", "size>100")
    assert code == 1 and "fail-on: 1 reference to 1 unique object, " in err and "match 'size>100'" in err and f"\n  {kept.hex()} LOCAL_REFERENCE " in err
    assert run("memory", "--fail-on", "size>100k")[0] == 0
    code, _, err = run("memory", "--filter", "sise>1")
    assert code == 2 and "hint:" in err
    assert run("memory", "--units", "furlongs")[0] == 2
    for conflict in (["--json", "--no-format"], ["--json", "--stats-only"], ["--fail-on", "size>1", "--watch"]):
        code, _, err = run("memory", *conflict)
        assert code == 2 and "cannot be used with" in err, conflict
    watch = subprocess.Popen([sys.executable, "-m", "plasmon", "memory", "--watch", "--json"], stdout=subprocess.PIPE, text=True)
    assert watch.stdout
    for _ in range(2):
        [row] = json.loads(line_of(watch))["references"]
        assert row["object_id"] == kept.hex()
    watch.send_signal(signal.SIGINT)
    assert watch.wait(PATIENCE) == -signal.SIGINT
    watch.stdout.close()
    code, out, _ = run("agent", "--print-config", "--num-cpus", "3")
    assert code == 0 and "num-cpus = 3" in out
    assert run("agent", "--no-such-flag")[0] == 2


def test_the_node_tells_its_resources() -> None:
    plasmon.init(num_cpus=3, object_store_memory=64 << 20, resources={"db": 2}, namespace="here")
    total = plasmon.cluster_resources()
    assert total["CPU"] == 3 and total["db"] == 2 and total["object_store_memory"] == 64 << 20
    [node] = plasmon.nodes()
    context = plasmon.get_runtime_context()
    assert node["Alive"] and node["NodeID"] == context.get_node_id() and node["Resources"] == total
    assert node["MachineMemory"] > node["MachineMemoryAvailable"] > 0
    assert context.namespace == "here" and not context.is_worker

    @plasmon.remote(num_cpus=2, resources={"db": 1})
    class Busy:
        def free(self) -> Any:
            return plasmon.available_resources(), plasmon.get_runtime_context().is_worker

    busy = Busy.options(name="busy").remote()
    free, is_worker = plasmon.get(busy.free.remote())
    assert free["CPU"] == 1 and free["db"] == 1 and is_worker
    with pytest.raises(ValueError):
        plasmon.get_actor("busy", namespace="elsewhere")
    assert plasmon.get_actor("busy") == busy


def test_a_generators_values_as_one_object(agent: Any) -> None:
    @plasmon.remote(num_returns="dynamic")
    def three() -> Any:
        yield from range(3)

    assert [plasmon.get(reference) for reference in plasmon.get(three.remote())] == [0, 1, 2]
    assert len(plasmon.get(three.remote())) == 3


def test_progress_is_a_bar_where_there_is_one(agent: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    references = [work.remote(number) for number in range(5)]
    assert plasmon.progress([*references, references[0]], desc="numbers") == [0, 1, 2, 3, 4, 0]
    shown = capfd.readouterr().err.rpartition("\r")[2]
    assert shown.startswith("numbers: 100%") and "6/6" in shown
    assert plasmon.progress(references, disable=True) == [0, 1, 2, 3, 4]
    # Without tqdm, and without a terminal.
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert plasmon.progress(references) == [0, 1, 2, 3, 4]
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("agent")
def test_who_names_a_signature_that_is_not_its_codes_takes_what_the_code_takes() -> None:
    def takes_any(*args: Any) -> Any:
        return args

    takes_any.__signature__ = inspect.signature(sleeps)  # type: ignore[attr-defined]
    assert plasmon.get(plasmon.remote(takes_any).remote(1, 2), timeout=PATIENCE) == (1, 2)


def test_calls_of_an_actor_that_was_found_are_checked_before_they_are_sent(agent: dict[str, Any]) -> None:
    class Odd:
        """Its default value and its annotation mean nothing elsewhere."""

        def __init__(self) -> None:
            self.calls = 0

        def take(self, first: "Missing", second: Any = object(), *, third: Any) -> tuple[Any, Any]:  # type: ignore[name-defined]
            return first, third

        def any(self, *args: Any, **kwargs: Any) -> int:
            return len(args) + len(kwargs)

    odd = plasmon.remote(Odd).options(name="odd").remote()
    found = plasmon.get_actor("odd")
    for actor in (odd, found):
        with pytest.raises(TypeError, match=r"take\.remote\(\): missing a required .*'third'\nhint: it takes \(first.*, second.*= ?<object object.*, \*, third"):
            actor.take.remote(1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'fourth'"):
            actor.take.options(num_returns=2).remote(1, third=3, fourth=4)
        assert plasmon.get(actor.take.remote(1, third=3)) == (1, 3)
        assert plasmon.get(actor.any.remote(1, 2, x=3)) == 3
    # It goes on as it does without: who gets the handle learns of it from the worker.
    with pytest.raises(plasmon.exceptions.TaskError, match="'third'"):
        plasmon.get(handed(found).take.remote(1))


@pytest.mark.parametrize("endless", [float("inf"), 1e300, 10**400, 2**63])
def test_a_limit_that_nobody_lives_to_see_is_none(agent: dict[str, Any], endless: float) -> None:
    ref = plasmon.put(1)
    assert plasmon.get(ref, timeout=endless) == 1
    assert plasmon.wait([ref], timeout=endless) == ([ref], [])

    @plasmon.remote
    def one() -> Iterator[int]:
        yield 1

    assert plasmon.get(one.remote().next_within(endless)) == 1


@pytest.mark.parametrize("wrong", [-1, -(10**400), float("-inf"), float("nan")])
def test_a_limit_that_is_none(agent: dict[str, Any], wrong: float) -> None:
    ref = plasmon.put(1)
    for ask in (lambda: plasmon.get(ref, timeout=wrong), lambda: plasmon.wait([ref], timeout=wrong)):
        with pytest.raises(ValueError, match="timeout is a number of seconds from 0 on"):
            ask()


@pytest.mark.parametrize("large", [10**400, 10**5000, 2**70], ids=["400", "5000", "21"])
def test_numbers_beyond_all_limits(agent: dict[str, Any], large: int) -> None:
    @plasmon.remote
    def task() -> None:
        pass

    class Actor:
        pass

    for name in ("num_cpus", "num_gpus", "memory", "max_retries", "timeout", "num_returns"):
        with pytest.raises(ValueError, match=f"{name} is -?[01] to [0-9]+, which (a number of more than 300 digits|1.18059e\\+21) is not"):
            task.options(**{name: large})
    for name in ("max_restarts", "max_task_retries", "max_concurrency"):
        with pytest.raises(ValueError, match=f"{name} is -?[01] to [0-9]+, which (a number|1.18)"):
            plasmon.remote(**{name: large})(Actor)
    with pytest.raises(ValueError, match="an amount of 'disk' is 0 to 1000000, which (a number|1.18)"):
        task.options(resources={"disk": large})
    plasmon.shutdown()
    for name in ("num_cpus", "num_gpus", "memory", "object_store_memory"):
        with pytest.raises(ValueError, match=f"{name} is 0 to [0-9]+, which (a number|1.18)"):
            plasmon.init(**{name: large})
