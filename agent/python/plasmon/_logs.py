"""What workers print, printed by their driver: each line with the worker's process id before it, on the stream it was printed on."""

from __future__ import annotations

import os
import sys
import threading
from typing import IO, Any

#: How often it is looked whether a worker has printed something, seconds.
_PAUSE = 0.1
#: A worker's files, and the driver's streams of the same meaning.
_STREAMS = {"out": "stdout", "err": "stderr"}


def mark(facts: dict[str, Any]) -> None:
    """Says beside the worker's logs whose they are; in the worker."""
    name = f"job-{facts['job']}.worker-{facts['process']}.pid-{os.getpid()}"
    try:
        open(os.path.join(facts["session"], "logs", name), "x").close()
    except OSError:
        # Nobody will print what this worker prints; the dashboard shows it all the same.
        pass


class _Log:
    """One file of a worker."""

    def __init__(self, path: str, prefix: str, stream: str) -> None:
        self._file: IO[bytes] = open(path, "rb")
        self._prefix, self._stream, self._rest = prefix, stream, b""

    def print_new(self) -> None:
        """Prints the lines that are complete."""
        read = self._file.read()
        if read:
            *lines, self._rest = (self._rest + read).split(b"\n")
            self._print(lines)

    def end(self) -> None:
        """Prints a last line without an end, too."""
        self._file.close()
        if self._rest:
            self._print([self._rest])

    def _print(self, lines: list[bytes]) -> None:
        text = "".join(f"{self._prefix}{line.decode(errors='replace')}\n" for line in lines)
        # Found now: a notebook puts another in its place for each cell.
        stream = getattr(sys, self._stream)
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError, AttributeError):
            # Nobody reads it any more.
            pass


class Follower:
    """Follows the logs of this job's workers."""

    def __init__(self, session: str, job: int) -> None:
        self._directory = os.path.join(session, "logs")
        self._prefix = f"job-{job}."
        self._files: dict[str, list[_Log]] = {}
        #: Logs of workers that are gone: there is nothing more in them.
        self._ended: set[str] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="plasmon-logs", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Prints what is left, also a last line without an end."""
        self._done.set()
        self._thread.join()
        self._look()
        for name in list(self._files):
            self._end(name)

    def _follow(self) -> None:
        while not self._done.wait(_PAUSE):
            self._look()

    def _look(self) -> None:
        try:
            names = [name for name in os.listdir(self._directory) if name.startswith(self._prefix)]
        except OSError:
            return
        for name in names:
            if name in self._ended:
                continue
            if name not in self._files:
                _, worker, pid = name.split(".")
                prefix = f"(worker {pid.replace('pid-', 'pid=')}) "
                try:
                    self._files[name] = [_Log(os.path.join(self._directory, f"{worker}.{file}"), prefix, stream) for file, stream in _STREAMS.items()]
                except OSError:
                    continue
            # In this order: what it printed before it went is in the files.
            gone = not os.path.exists(f"/proc/{name.rpartition('pid-')[2]}")
            for log in self._files[name]:
                log.print_new()
            if gone:
                self._end(name)

    def _end(self, name: str) -> None:
        self._ended.add(name)
        for log in self._files.pop(name):
            log.end()
