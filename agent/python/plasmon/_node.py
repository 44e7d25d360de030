"""The node and this process's place on it."""

from __future__ import annotations

import json
import os
from typing import Any

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
    """The nodes: one, with its id, addresses, the agent's process its resources, and the machine's memory in bytes."""
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


class RuntimeContext:
    """This process's place: which job and node it belongs to."""

    def __init__(self) -> None:
        self._facts = _plasmon.facts()

    def get_job_id(self) -> str:
        """The job's number."""
        return str(self._facts["job"])

    def get_node_id(self) -> str:
        """The node's id."""
        return str(self._facts["node"])

    def get_worker_id(self) -> str:
        """This process's number on the node."""
        return str(self._facts["process"])

    def get_pid(self) -> int:
        """This process's id in the operating system."""
        return os.getpid()

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
        return f"<{kind} {self.get_worker_id()} of job {self.get_job_id()} on node {self.get_node_id()}>"


def get_runtime_context() -> RuntimeContext:
    """This process's place: job, node, worker, namespace.

    Raises:
        NotConnectedError: this process is not connected.
    """
    return RuntimeContext()
