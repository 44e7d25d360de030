"""What every test begins with: nothing connected, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import plasmon
import pytest

#: Far longer than anything takes.
PATIENCE = 120.0

# Started in the background, tests inherit that Ctrl-C is ignored, and so would the programs that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def sessions() -> Iterator[Path]:
    """Where this test's sessions are: the path of a unix socket is short, and that of ``tmp_path`` often is not."""
    directory = tempfile.mkdtemp(prefix="p", dir="/tmp")
    yield Path(directory)
    # A driver that was killed leaves an agent that clears up at the same time.
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def alone(sessions: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions of this test are its own, and end with it."""
    for name in [name for name in os.environ if name.startswith("PLASMON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PLASMON_TEMP_DIR", str(sessions))
    yield
    plasmon.shutdown()


@pytest.fixture
def agent(alone: None, sessions: Path) -> dict[str, Any]:
    """An agent of this test's own, of two CPUs."""
    return plasmon.init(num_cpus=2, object_store_memory=128 << 20, temp_dir=sessions)


def until(what: str, holds: Callable[[], Any]) -> Any:
    """Waits until something holds, and returns what it returned."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = holds()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} never held")


@contextlib.contextmanager
def patience(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Within it a process that is waited for is killed when it takes for ever, so that nobody waits for ever."""
    overdue = threading.Timer(PATIENCE, process.kill)
    overdue.start()
    try:
        yield
    finally:
        overdue.cancel()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints; empty when it has ended, or prints none for ever."""
    assert process.stdout is not None
    with patience(process):
        return process.stdout.readline()


def rows(**wanted: Any) -> list[dict[str, Any]]:
    """The report's rows that have these values."""
    return [row for row in plasmon.state.list_objects() if all(row[name] == value for name, value in wanted.items())]


def end_process(pid: int) -> None:
    """Kills a process as nothing else does."""
    os.kill(pid, signal.SIGKILL)
