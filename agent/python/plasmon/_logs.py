"""What workers print, printed by their driver: each line with the worker's process id before it, on stderr."""

from __future__ import annotations

import os
import sys
import threading
from typing import IO, Any

#: How often it is looked whether a worker has printed something, seconds.
_PAUSE = 0.1


def mark(facts: dict[str, Any]) -> None:
    """Says beside the worker's log whose it is; in the worker."""
    name = f"job-{facts['job']}.worker-{facts['process']}.pid-{os.getpid()}"
    try:
        open(os.path.join(facts["session"], "logs", name), "x").close()
    except OSError:
        # Nobody will print what this worker prints; the dashboard shows it all the same.
        pass


class Follower:
    """Follows the logs of this job's workers."""

    def __init__(self, session: str, job: int) -> None:
        self._directory = os.path.join(session, "logs")
        self._prefix = f"job-{job}."
        self._files: dict[str, tuple[IO[bytes], str, bytes]] = {}
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
                try:
                    log = open(os.path.join(self._directory, f"{worker}.log"), "rb")
                except OSError:
                    continue
                self._files[name] = (log, f"(worker {pid.replace('pid-', 'pid=')}) ", b"")
            file, prefix, rest = self._files[name]
            # In this order: what it printed before it went is in the file.
            gone = not os.path.exists(f"/proc/{name.rpartition('pid-')[2]}")
            read = file.read()
            if read:
                *lines, rest = (rest + read).split(b"\n")
                self._files[name] = (file, prefix, rest)
                self._print(prefix, lines)
            if gone:
                self._end(name)

    def _end(self, name: str) -> None:
        file, prefix, rest = self._files.pop(name)
        self._ended.add(name)
        file.close()
        if rest:
            self._print(prefix, [rest])

    def _print(self, prefix: str, lines: list[bytes]) -> None:
        text = "".join(f"{prefix}{line.decode(errors='replace')}\n" for line in lines)
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads it any more.
            pass
