"""What every test begins with: nothing connected, and nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import plasmon
import pytest

#: Far longer than anything takes.
PATIENCE = 120.0


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions of this test are its own, and end with it."""
    for name in [name for name in os.environ if name.startswith("PLASMON_")]:
        monkeypatch.delenv(name)
    # The path of a unix socket is short.
    monkeypatch.setenv("PLASMON_TEMP_DIR", str(tmp_path))
    yield
    plasmon.shutdown()


@pytest.fixture
def agent(alone: None, tmp_path: Path) -> dict[str, Any]:
    """An agent of this test's own, of two CPUs."""
    return plasmon.init(num_cpus=2, object_store_memory=128 << 20, temp_dir=tmp_path)


def until(what: str, holds: Callable[[], Any]) -> Any:
    """Waits until something holds, and returns what it returned."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = holds()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} never held")


def rows(**wanted: Any) -> list[dict[str, Any]]:
    """The report's rows that have these values."""
    return [row for row in plasmon.state.list_objects() if all(row[name] == value for name, value in wanted.items())]


def end_process(pid: int) -> None:
    """Kills a process as nothing else does."""
    os.kill(pid, signal.SIGKILL)
