"""The node and this process's place on it."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
from typing import Any, Iterator, Optional

from . import _init, _plasmon


def _facts() -> dict[str, Any]:
    _plasmon.facts()
    return _plasmon.Report().node()


def _amounts(text: str, capacity: float) -> dict[str, float]:
    told = json.loads(text)
    amounts = {"CPU": told.get("cpus", 0), "GPU": told.get("gpus", 0), "memory": told.get("memory_bytes", 0), **told.get("custom", {})}
    amounts["object_store_memory"] = capacity
    return {name: float(amount) for name, amount in amounts.items() if float(amount) or name == "CPU"}


def nodes() -> list[dict[str, Any]]:
    """The nodes: one, with its id, addresses, the agent's process, its resources, and the machine's memory in bytes."""
    facts = _facts()
    return [
        {
            "NodeID": facts["node"],
            "Alive": True,
            "NodeManagerAddress": facts["node_ip"],
            "Listen": facts["listen"],
            "AgentPid": facts["pid"],
            "Version": facts["version"],
            "MachineMemory": facts["machine"][0],
            "MachineMemoryAvailable": facts["machine"][1],
            "Resources": _amounts(facts["resources"], facts["capacity"]),
        }
    ]


def cluster_resources() -> dict[str, float]:
    """What the node offers: ``CPU``, ``GPU``, ``memory`` (bytes), ``object_store_memory`` (bytes), custom resources; those that it has."""
    facts = _facts()
    return _amounts(facts["resources"], facts["capacity"])


def available_resources() -> dict[str, float]:
    """What of it is free at this moment. A resource that is used up is not named."""
    facts = _facts()
    total = _amounts(facts["resources"], facts["capacity"])
    used = _amounts(facts["reserved"], facts["used"])
    free = {name: amount - used.get(name, 0.0) for name, amount in total.items()}
    return {name: amount for name, amount in free.items() if amount > 0}


#: The actor that this worker is: its id and its full name.
_actor: Optional[tuple[str, str]] = None
#: The task that a coroutine works for, which the thread that runs it cannot tell.
_task: contextvars.ContextVar[Optional[tuple[str, str]]] = contextvars.ContextVar("plasmon_task", default=None)


#: What this worker's task or actor reserves.
_assigned: dict[str, float] = {}


def become_actor(actor: str, name: str, assigned: dict[str, float]) -> None:
    """This worker is that actor from now on."""
    global _actor
    _actor = actor, name
    assign(assigned)


def actor() -> Optional[tuple[str, str]]:
    """The actor that this process is: its id and its full name."""
    return _actor


def assign(assigned: dict[str, float]) -> None:
    """What runs in this worker from now on reserves that."""
    global _assigned
    _assigned = assigned


@contextlib.contextmanager
def in_this_task() -> Iterator[None]:
    """What is begun meanwhile works for this thread's task, whichever thread runs it."""
    token = _task.set(_plasmon.current_task())
    try:
        yield
    finally:
        _task.reset(token)


class RuntimeContext:
    """Where this code runs: in which task of which actor, job, worker and node."""

    def __init__(self) -> None:
        self._facts = _plasmon.facts()
        self._task = _task.get() or _plasmon.current_task()

    def get_job_id(self) -> str:
        """The job's number."""
        return str(self._facts["job"])

    def get_node_id(self) -> str:
        """The node's id."""
        return str(self._facts["node"])

    def get_worker_id(self) -> str:
        """This process's number on the node."""
        return str(self._facts["process"])

    def get_task_id(self) -> Optional[str]:
        """The id of the task or call that this runs in, as the dashboard shows it; ``None`` in a driver."""
        return self._task[0] if self._task else None

    def get_task_name(self) -> Optional[str]:
        """The name of that task, as the dashboard shows it: its option ``name``, or the function's own; ``None`` in a driver."""
        return self._task[1] if self._task else None

    def get_task_function_name(self) -> Optional[str]:
        """The same as ``get_task_name``, of which a task has one."""
        return self.get_task_name()

    def get_actor_id(self) -> Optional[str]:
        """The id of the actor that this worker is; ``None`` where it is none."""
        return _actor[0] if _actor else None

    def get_actor_name(self) -> Optional[str]:
        """The name by which ``get_actor`` finds that actor; empty where it has none, ``None`` where this is no actor."""
        if not _actor:
            return None
        # Behind its namespace, which need not be that of its job.
        return _actor[1].partition("/")[2] if "/" in _actor[1] else _actor[1]

    def get_assigned_resources(self) -> dict[str, float]:
        """What the task or the actor that this runs in reserves, by name: ``{"CPU": 1.0}`` for a task that says nothing of it, nothing
        for such an actor. Nothing in a driver. Memory is in bytes."""
        return dict(_assigned)

    def get_pid(self) -> int:
        """This process's id in the operating system."""
        return os.getpid()

    def get(self) -> dict[str, Any]:
        """All of it by name: ``job_id``, ``node_id``, ``worker_id``, ``task_id``, ``actor_id``; those that there are."""
        told = {
            "job_id": self.get_job_id(),
            "node_id": self.get_node_id(),
            "worker_id": self.get_worker_id(),
            "task_id": self.get_task_id(),
            "actor_id": self.get_actor_id(),
        }
        return {name: value for name, value in told.items() if value is not None}

    @property
    def job_id(self) -> str:
        """The job's number."""
        return self.get_job_id()

    @property
    def node_id(self) -> str:
        """The node's id."""
        return self.get_node_id()

    @property
    def task_id(self) -> Optional[str]:
        """The id of the task that this runs in; ``None`` in a driver."""
        return self.get_task_id()

    @property
    def actor_id(self) -> Optional[str]:
        """The id of the actor that this worker is; ``None`` where it is none."""
        return self.get_actor_id()

    @property
    def is_worker(self) -> bool:
        """Whether this is a worker, not a driver."""
        return bool(self._facts["worker"])

    @property
    def namespace(self) -> str:
        """The namespace of actors' names."""
        return _init.namespace()

    @property
    def session(self) -> str:
        """The session's directory, with logs and spilled objects."""
        return str(self._facts["session"])

    def __repr__(self) -> str:
        kind = "worker" if self.is_worker else "driver"
        task = f", task {self._task[1]}" if self._task else ""
        return f"<{kind} {self.get_worker_id()} of job {self.get_job_id()} on node {self.get_node_id()}{task}>"


def get_runtime_context() -> RuntimeContext:
    """Where this code runs: job, node, worker, namespace; the task and the actor, in a worker.

    Raises:
        NotConnectedError: this process is not connected.
    """
    return RuntimeContext()
