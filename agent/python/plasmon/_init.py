"""Connecting, and the end of a connection."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from typing import Any, Mapping, Optional, Union

from . import _html, _plasmon
from ._options import MOST, near_miss, separate, shown
from .exceptions import NotConnectedError

#: What a worker is started with: it finds what the driver finds.
_WORKER = "import sys; sys.path[:] = sys.argv[1:]; from plasmon import _worker; _worker.main()"
#: What an agent is started with: the native half alone.
_AGENT = (
    "import os, sys, importlib.machinery as m, importlib.util as u; "
    "s = u.spec_from_file_location('_plasmon', sys.argv[1], loader=m.ExtensionFileLoader('_plasmon', sys.argv[1])); "
    "n = u.module_from_spec(s); s.loader.exec_module(n); sys.exit(n.run_as(os.environ.pop('PLASMON_BOOT', ''), None))"
)

#: Held while a connection is made or ended. What runs meanwhile in the same thread, such as a signal's handler, is let in.
_lock = threading.RLock()
_state: dict[str, Any] = {"namespace": "", "ended": False, "pid": 0, "logs": None}


class Context(dict[str, Any]):
    """What ``init`` returns: the connection's facts by name (``node``, ``session``, ``agent_pid``, ``capacity``, ...).

    As a context manager it shuts down at the end.
    """

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        shutdown()

    def disconnect(self) -> None:
        """Ends the connection, see ``plasmon.shutdown``."""
        shutdown()

    def __repr__(self) -> str:
        return f"<plasmon: node {self['node']}, agent {self['agent_pid']}, store of {_html.size(self['capacity'])}, session {self['session']}>"

    def _repr_html_(self) -> str:
        facts = (("node", self["node"]), ("agent", self["agent_pid"]), ("store", _html.size(self["capacity"])), ("session", self["session"]))
        return f"<b>plasmon</b>{_html.table(facts)}"

    @property
    def address_info(self) -> dict[str, Any]:
        """The facts, as Ray's users look for them."""
        return dict(self)


def init(
    address: Optional[str] = None,
    *,
    num_cpus: Optional[float] = None,
    num_gpus: Optional[float] = None,
    memory: Optional[int] = None,
    object_store_memory: Optional[int] = None,
    resources: Optional[Mapping[str, float]] = None,
    namespace: Optional[str] = None,
    ignore_reinit_error: bool = False,
    log_to_driver: bool = True,
    temp_dir: Optional[Union[str, os.PathLike[str]]] = None,
    agent_options: Optional[Mapping[str, Any]] = None,
    **others: Any,
) -> Context:
    """Connects this process to an agent, and returns the connection's facts.

    With ``address`` (a session's directory or the socket in it; also the variable ``PLASMON_ADDRESS``) to that agent. With options of an
    agent, to one of its own, which it starts and which ends with it. Else to this user's newest live agent, or to one that it starts.
    ``address="local"`` is one of its own whatever the variable says.

    Args:
        address: which agent; ``"auto"`` is the newest live one, and ``"local"`` one of its own.
        num_cpus: CPUs that an agent of its own offers to tasks.
        num_gpus: GPUs that it offers.
        memory: bytes of heap that it offers to tasks which ask for some.
        object_store_memory: bytes of its object store.
        resources: custom resources that it offers, by name.
        namespace: names of actors are found within their namespace alone.
        ignore_reinit_error: says nothing when this process is connected already.
        log_to_driver: prints what this job's workers print, with their names before each line.
        temp_dir: where sessions are.
        agent_options: any further option of ``plasmon agent``, by the name of its flag: ``{"spill_dir": ["/data"]}``.

    Raises:
        RuntimeError: this process is connected already.
        ValueError: options of an agent of its own, and the address of another.
        ConnectError: there is no such agent, or it could not be started.
        VersionError: the agent is of another version.
    """
    if others:
        name = next(iter(others))
        hint = f"\nhint: {_ABSENT[name]}" if name in _ABSENT else near_miss(name, _OPTIONS)
        raise TypeError(f"init() takes no option {name!r}{hint}")
    options: dict[str, Any] = {}
    for name, value, kinds in (
        ("num-cpus", num_cpus, (int, float)),
        ("num-gpus", num_gpus, (int, float)),
        ("memory", memory, (int, float)),
        ("object-store-memory", object_store_memory, (int, float)),
    ):
        if value is None:
            continue
        option = name.replace("-", "_")
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise TypeError(f"{option} is a number, not {type(value).__name__}")
        if not 0 <= value <= MOST[option]:
            raise ValueError(f"{option} is 0 to {MOST[option]}, which {shown(value)} is not")
        options[name] = int(value) if "memory" in name else value
    if resources:
        options["resources"] = dict(resources)
    for name, value in (agent_options or {}).items():
        options[name.replace("_", "-")] = value
    with _lock:
        if _plasmon.is_connected():
            if ignore_reinit_error or _plasmon.facts()["worker"]:
                return Context(_plasmon.facts())
            raise RuntimeError("this process is connected already\nhint: call plasmon.shutdown() first, or pass ignore_reinit_error=True")
        variable = os.environ.get("PLASMON_ADDRESS") if address is None else None
        if options and variable:
            given = ", ".join(name.replace("-", "_") for name in options)
            raise ValueError(
                f"{given}: options of an agent that init() starts, but PLASMON_ADDRESS={variable!r} is the address of one that runs\n"
                'hint: leave them out, or the variable; address="local" starts an agent of its own'
            )
        if options and address not in (None, "local"):
            given = ", ".join(name.replace("-", "_") for name in options)
            raise ValueError(
                f"{given}: options of an agent that init() starts, but address={address!r} is that of one that runs\n"
                'hint: leave them out, or leave out the address; address="local" starts an agent of its own'
            )
        if address == "local" and not options:
            options["num-cpus"] = os.cpu_count() or 1
        return _connect(address, temp_dir, options, separate(namespace or ""), log_to_driver)


def _connect(
    address: Optional[str],
    temp_dir: Optional[Union[str, os.PathLike[str]]],
    options: Mapping[str, Any],
    namespace: str,
    log_to_driver: bool,
) -> Context:
    """Connects; called with the lock held."""
    # Here: workers need none of it.
    import subprocess

    facts = _plasmon.connect(
        sys.executable,
        [*subprocess._args_from_interpreter_flags(), "-c", _WORKER, *_paths()],  # type: ignore[attr-defined]
        ["-I", "-S", "-c", _AGENT, _plasmon.__file__],
        None if address in (None, "auto", "local") else address,
        None if temp_dir is None else os.fspath(temp_dir),
        json.dumps(options) if options else None,
        address == "local",
    )
    _state.update(namespace=namespace, ended=False, pid=os.getpid())
    # One of a connection that was lost.
    logs, _state["logs"] = _state["logs"], None
    if logs is not None:
        logs.finish()
    if log_to_driver:
        from ._logs import Follower

        _state["logs"] = Follower(facts["session"], facts["job"])
    return Context(facts)


_OPTIONS = (
    "address num_cpus num_gpus memory object_store_memory resources namespace ignore_reinit_error log_to_driver temp_dir agent_options".split()
)


#: Ray's options that have no meaning here, and what to do instead.
_ABSENT = {
    "runtime_env": "workers run in this program's environment: set it up before init()",
    "include_dashboard": "leave it out: the command `plasmon` shows any agent that runs",
    "dashboard_host": 'agent_options={"listen": "127.0.0.1:6480"} is where the agent listens',
    "dashboard_port": 'agent_options={"listen": "127.0.0.1:6480"} is where the agent listens',
    "logging_level": "leave it out: logs are files in the session's directory",
    "logging_format": "leave it out: logs are files in the session's directory",
    "logging_config": "leave it out: logs are files in the session's directory",
    "configure_logging": "leave it out: logs are files in the session's directory",
    "job_config": "leave it out: a driver is a job",
    "local_mode": "leave it out: call the function itself, f.__wrapped__(..)",
    "_temp_dir": "temp_dir is where sessions are",
    "_system_config": "agent_options takes what `plasmon agent` does",
    "object_spilling_directory": 'agent_options={"spill_dir": ["/data"]}',
}


def _paths() -> list[str]:
    """Where this program finds modules, as a worker can tell it too."""
    return [os.path.abspath(path) for path in sys.path]


def connect_on_first_use(why: str) -> None:
    """Connects a process that never was.

    Raises:
        NotConnectedError: its connection was ended, or it was forked from a connected process.
    """
    with _lock:
        if _state["pid"] not in (0, os.getpid()):
            raise NotConnectedError(f"{why}\nhint: call plasmon.init() in the child, or start it with spawn")
        if _state["ended"]:
            raise NotConnectedError("plasmon.shutdown() was called\nhint: call plasmon.init() again; references and views of before are gone")
        # Another thread may have been faster.
        if not _plasmon.is_connected():
            _connect(None, None, {}, "", True)


def is_initialized() -> bool:
    """Whether this process is connected to an agent that lives."""
    return _plasmon.is_connected()


def shutdown() -> None:
    """Ends the connection; does nothing without one.

    An agent that ``init`` started ends with it: when this returns, the agent, its workers, its socket and its session's directory are
    gone. References and views of before cannot be used any more. In a forked child this does nothing to the parent's connection.
    """
    with _lock:
        logs, _state["logs"] = _state["logs"], None
        if logs is not None:
            logs.finish()
        if _plasmon.is_connected() or _state["pid"] == os.getpid():
            _state["ended"] = True
        _plasmon.disconnect()


def namespace() -> str:
    """The namespace of this process's actors' names."""
    return str(_state["namespace"])


def be_worker() -> None:
    """In a worker: its connection is its own, and what is forked from it has none."""
    _state["pid"] = os.getpid()
    # It says why it leaves after whatever else is done then.
    atexit.unregister(_at_exit)


def join_namespace(name: str) -> None:
    """In a worker: the namespace is that of its job."""
    _state["namespace"] = name


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    _state["logs"] = None
    _plasmon.forget_threads()


os.register_at_fork(after_in_child=_forked)


@atexit.register
def _at_exit() -> None:
    if _state["pid"] == os.getpid():
        shutdown()
        if threading.active_count() > 1:
            _plasmon.await_threads()
