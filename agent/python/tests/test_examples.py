"""The programs of the examples run as they stand, and show what they say they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE

EXAMPLES = Path(__file__).parent.parent / "examples"

#: What each prints: of each row wanted, the holder, the begin of its call site, and the reference type.
SHOWS = {
    "local_references": [("driver", "(put object) <module> local_references.py:12", "LOCAL_REFERENCE"), ("driver", "(task call) <module> local_references.py:13", "LOCAL_REFERENCE")],
    "pinned_objects": [("driver", "(put object) <module> pinned_objects.py:7", "PINNED_IN_MEMORY")],
    "pending_task": [
        ("driver", "(put object) <module> pending_task.py:15", "USED_BY_PENDING_TASK"),
        ("driver", "(task call) <module> pending_task.py:16", "LOCAL_REFERENCE"),
        ("worker", "(deserialize task arg) f pending_task.py:8", "PINNED_IN_MEMORY"),
    ],
    "serialized_references": [
        ("driver", "(put object) <module> serialized_references.py:15", "USED_BY_PENDING_TASK"),
        ("driver", "(task call) <module> serialized_references.py:16", "LOCAL_REFERENCE"),
        ("worker", "(deserialize task arg) f serialized_references.py:8", "LOCAL_REFERENCE"),
    ],
    "captured_references": [
        ("driver", "(put object) <module> captured_references.py:8", "CAPTURED_IN_OBJECT"),
        ("driver", "(put object) <module> captured_references.py:9", "LOCAL_REFERENCE"),
    ],
    "actor_handle": [("driver", "(actor call) <module> actor_handle.py:17", "ACTOR_HANDLE")],
}


def run(name: str) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    there = {path.stem for path in EXAMPLES.glob("*.py")}
    assert there == set(SHOWS) | {"leak", "memory_aware", "out_of_memory"}


@pytest.mark.parametrize("name", SHOWS)
def test_the_rows_are_those_that_the_page_tells_of(name: str) -> None:
    told = [[cell.strip() for cell in line.split(" | ")] for line in run(name).splitlines() if line.count(" | ") == 8]
    rows = sorted((cells[2], cells[3], cells[7]) for cells in told[1:])
    assert rows == sorted(SHOWS[name])


def test_a_leak_is_found_by_its_line() -> None:
    groups = re.findall(r"--- Summary for stack trace: (.*) ---", run("leak"))
    assert len(groups) == 1 and "remember" in groups[0] and "leak.py:10" in groups[0]


def test_memory_is_reserved() -> None:
    out = run("memory_aware")
    assert "free for others: 624.0 MiB" in out and "[0, 1, 2, 3]" in out


def test_the_error_says_who_used_the_memory() -> None:
    out = run("out_of_memory")
    assert "out of memory: worker" in out and "allocate" in out and "hint:" in out
