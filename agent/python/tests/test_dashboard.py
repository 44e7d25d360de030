"""The dashboard shows of the examples' programs what Ray's page says of them, and of workers what they print."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import plasmon
import pytest
from conftest import until
from test_examples import EXAMPLES, SHOWS

#: The command `plasmon`, as `make test-python` builds it.
DASHBOARD = Path(__file__).parents[3] / "target" / "debug" / "plasmon"


def terminal(columns: int) -> tuple[int, int]:
    """A terminal of so many columns: whoever looks at it, and whoever is in it."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return ours, theirs


def view(name: str) -> str:
    """A view as the dashboard draws it, where there is room for whole names."""
    ours, theirs = terminal(240)
    with subprocess.Popen([DASHBOARD, "--view", name], stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while read := os.read(ours, 1 << 16):
                shown += read
        except OSError:
            # What was in it has ended.
            pass
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


@pytest.mark.parametrize("name", SHOWS)
def test_the_dashboard_shows_what_the_page_tells_of(name: str) -> None:
    # What the program has stays as long as its module.
    program = f"import runpy, sys; kept = runpy.run_path({str(EXAMPLES / f'{name}.py')!r}); print('done', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        until("the program has run", lambda: process.stdout.readline() == "done\n")
        shown = view("references")
        process.stdin.close()
    for holder, place, kind in SHOWS[name]:
        fits = [row for row in shown.splitlines() if kind in row and holder in row and place.split()[-1] in row]
        assert len(fits) == 1, f"{holder} {place} {kind} in:\n{shown}"


class Terminal:
    """The dashboard in a terminal of its own: what it has written there, without colours and moves."""

    def __init__(self) -> None:
        self._ours, theirs = terminal(160)
        environment = {**os.environ, "TERM": "xterm-256color"}
        self._process = subprocess.Popen([DASHBOARD], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._written = ""

    def press_for(self, keys: str, *words: str) -> None:
        """Presses keys, and waits until all these are written after that: each without a space in it."""
        self._written = ""
        os.write(self._ours, keys.encode())
        until(f"{words} are on the screen", lambda: self._read(words))

    def _read(self, words: Any) -> bool:
        try:
            while read := os.read(self._ours, 1 << 16):
                self._written += read.decode(errors="replace")
        except OSError:
            pass
        assert self._process.poll() is None, self._written
        seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", self._written)
        return all(word in seen for word in words)

    def end(self) -> int:
        os.write(self._ours, b"q")
        code = self._process.wait()
        os.close(self._ours)
        return code


def test_the_page_of_a_worker_tells_what_it_printed_last(agent: Any) -> None:
    @plasmon.remote
    def says() -> int:
        for number in range(50):
            print(f"page-{number}-is-done")
        print("\x1b[31mthat-was-red", file=sys.stderr)
        return os.getpid()

    pid = plasmon.get(says.remote())
    terminal = Terminal()
    terminal.press_for("6", "Processes", str(pid))
    terminal.press_for(f"/pid:{pid}\r", str(pid))
    terminal.press_for("\r", "Process", "Printed", "page-31-is-done", "page-49-is-done", "that-was-red")
    assert "page-29-is-done" not in terminal._written and "\x1b[31mthat" not in terminal._written
    assert terminal.end() == 0
