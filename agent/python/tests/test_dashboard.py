"""The dashboard shows of the examples' programs what Ray's page says of them, and of workers what they print."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, Iterator

import plasmon
import pytest
from conftest import line_of, patience, until
from test_examples import EXAMPLES, SHOWS

#: The command `plasmon`, as `make test-python` builds it.
DASHBOARD = Path(__file__).parents[3] / "target" / "debug" / "plasmon"


#: The size of terminals with a dashboard in them.
COLUMNS, ROWS = 160, 40


def terminal(columns: int) -> tuple[int, int]:
    """A terminal of so many columns: whoever looks at it, and whoever is in it."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    return ours, theirs


def view(name: str) -> str:
    """A view as the dashboard draws it, where there is room for whole names."""
    ours, theirs = terminal(240)
    with subprocess.Popen([DASHBOARD, "--view", name], stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        with patience(process), contextlib.suppress(OSError):
            # It fails when what was in it has ended.
            while read := os.read(ours, 1 << 16):
                shown += read
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


@contextlib.contextmanager
def come_to_an_end(name: str) -> Iterator[None]:
    """While it lasts, an example's program has come to its end, or to where it cancels something, and keeps what it has."""
    # What it has stays as long as its module.
    program = f"""
import plasmon, runpy, sys
def stay(*_):
    print("done", flush=True)
    sys.stdin.read()
plasmon.cancel = stay
kept = runpy.run_path({str(EXAMPLES / f"{name}.py")!r})
stay()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        while (line := line_of(process)) != "done\n":
            assert line, "the program has not run to its end"
        yield
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0


@pytest.mark.parametrize("name", SHOWS)
def test_the_dashboard_shows_what_the_page_tells_of(name: str) -> None:
    with come_to_an_end(name):
        shown = view("references")
    for holder, place, kind in SHOWS[name]:
        fits = [row for row in shown.splitlines() if kind in row and holder in row and place.split()[-1] in row]
        assert len(fits) == 1, f"{holder} {place} {kind} in:\n{shown}"


#: Of the examples that are not about rows: in each view, what stands in one of its lines.
TOLD: dict[str, dict[str, list[list[str]]]] = {
    "leak": {
        "sites": [["15.3M", " 20 ", "put object", "remember leak.py:10"]],
        # Without how it grew in the last minute: that may be over.
        "overview": [["remember leak.py:10 (put object)", "15.3M", " 20 "]],
    },
    "memory_aware": {
        "tasks": [
            ["SomeActor", "alive", "400 MiB memory"],
            ["finished", "some_function", "600 MiB memory", "memory_aware.py:23"],
            ["infeasible", "some_function", "2 GiB memory", "asks for 2 GiB memory, the node has 1 GiB memory", "memory_aware.py:25"],
        ],
        "overview": [["400M of 1.00G memory"], ["1 task waits"], ["infeasible", "it waits until it is cancelled"]],
    },
    "out_of_memory": {
        "tasks": [["failed", "allocate", "out of memory: worker", "out_of_memory.py:28"]],
        "events": [["out of memory", "more than the threshold of", "killed worker", "allocate"], ["process died", "(killed: out of memory)"]],
    },
}


@pytest.mark.parametrize("name", TOLD)
def test_the_dashboard_tells_of_what_the_program_shows(name: str) -> None:
    def missing(of: str) -> list[list[str]]:
        lines = view(of).splitlines()
        return [texts for texts in TOLD[name][of] if not any(all(text in line for text in texts) for line in lines)]

    with come_to_an_end(name):
        for of in TOLD[name]:
            until(f"the view of {of} has all of {TOLD[name][of]}", lambda: not missing(of))
        if name == "leak":
            assert "forget leak.py" not in view("sites"), "what forgets its objects holds none"


#: What a terminal is sent: a control sequence with its parameters, another escape, or a character.
SENT = re.compile(r"\x1b\[([0-9;?]*)([a-zA-Z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[^\[\]]|(.)", re.DOTALL)


def screen(written: bytes) -> list[str]:
    """The rows of a terminal to which this was written, as far as the dashboard makes use of it: moves, texts, and clearing."""
    rows = [[" "] * COLUMNS for _ in range(ROWS)]
    row = column = 0
    for parameters, command, char in SENT.findall(written.decode(errors="replace")):
        if command in "Hf" and command:
            places = [int(number or 1) - 1 for number in [*parameters.split(";"), ""][:2]]
            row, column = places
        elif command == "J":
            rows = [[" "] * COLUMNS for _ in range(ROWS)]
        elif command == "K":
            rows[row][column:] = [" "] * (COLUMNS - column)
        elif char and row < ROWS and column < COLUMNS:
            rows[row][column] = char
            column += 1
    return ["".join(row) for row in rows]


class Terminal:
    """The dashboard in a terminal of its own."""

    def __init__(self) -> None:
        self._ours, theirs = terminal(COLUMNS)
        environment = {**os.environ, "TERM": "xterm-256color"}
        self._process = subprocess.Popen([DASHBOARD], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._written = b""
        self.press_for("", "1 Overview")

    def press_for(self, keys: str, *patterns: str) -> str:
        """Presses keys, and waits until all these are on the screen; the screen then."""
        os.write(self._ours, keys.encode())
        return until(f"{patterns} are on the screen", lambda: self._shows(patterns))

    def _shows(self, patterns: tuple[str, ...]) -> str:
        self._read()
        assert self._process.poll() is None, self._written
        shown = "\n".join(screen(self._written))
        return shown if all(re.search(pattern, shown) for pattern in patterns) else ""

    def _read(self) -> None:
        # There is nothing more now, or what was in it has ended.
        with contextlib.suppress(OSError):
            while read := os.read(self._ours, 1 << 16):
                self._written += read

    def end(self) -> int:
        os.write(self._ours, b"q")

        def ended() -> bool:
            self._read()
            return self._process.poll() is not None

        try:
            until("the dashboard has ended", ended)
        finally:
            self._process.kill()
            os.close(self._ours)
        return self._process.wait()


def test_the_page_of_a_worker_tells_what_it_printed_last(agent: Any) -> None:
    @plasmon.remote
    def says() -> int:
        for number in range(50):
            print(f"page-{number}-is-done")
        print("\x1b[31mthat-was-red", file=sys.stderr)
        return os.getpid()

    pid = plasmon.get(says.remote())
    terminal = Terminal()
    terminal.press_for("6", r"pid +type +state", str(pid))
    terminal.press_for(f"/pid:{pid}\r", "Processes +1 (of [0-9]+ )?process", str(pid))
    shown = terminal.press_for("\r", "Process ", "Printed", "page-31-is-done", "page-49-is-done", "that-was-red")
    assert "page-29-is-done" not in shown and b"\x1b[31mthat" not in terminal._written
    assert terminal.end() == 0
