"""What workers print, printed by their driver: each line with the worker's process id before it, on the stream it was printed on, and
those of both streams in the order in which they were printed."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
from typing import IO, Any, Optional

#: How often it is looked whether a worker has printed something, seconds.
_PAUSE = 0.1
#: A worker's files, and the driver's streams of the same meaning.
_STREAMS = {"out": "stdout", "err": "stderr"}


#: What is noted each time that a worker has written to one of its streams: which one, and how far it is now.
_NOTE = struct.Struct("<BQ")
#: The descriptor of this worker's notes, once there is a session to have them in.
_notes: Optional[int] = None


def mark(facts: dict[str, Any]) -> None:
    """Says beside the worker's logs whose they are; in the worker."""
    global _notes
    worker = f"worker-{facts['process']}"
    logs = os.path.join(facts["session"], "logs")
    try:
        _notes = os.open(os.path.join(logs, f"{worker}.order"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        open(os.path.join(logs, f"job-{facts['job']}.{worker}.pid-{os.getpid()}"), "x").close()
    except OSError:
        # Nobody will print what this worker prints; the dashboard shows it all the same.
        pass


class _Noted(io.FileIO):
    """A stream of a worker. What is written is noted, so that what was printed on both can be put in order."""

    def write(self, data: Any) -> int:
        written = super().write(data)
        if _notes is not None:
            try:
                # At its end, where whatever is written goes.
                os.write(_notes, _NOTE.pack(self.fileno(), self.tell()))
            except OSError:
                pass
        return written


def note_order() -> None:
    """In a worker: puts streams that note their order in place of its standard ones. They write line by line."""
    for number, name in enumerate(_STREAMS.values(), 1):
        stream = getattr(sys, name)
        if stream is not None:
            stream.flush()
            file = io.BufferedWriter(_Noted(number, "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(file, stream.encoding, stream.errors, line_buffering=True))


class _Log:
    """One file of a worker."""

    def __init__(self, path: str, prefix: str, stream: str) -> None:
        self._file = _opened(path)
        self._prefix, self._stream, self._rest = prefix, stream, b""
        #: How far it was printed, and how far there was something at the last look.
        self._at = self._seen = 0

    def print_to(self, end: int) -> None:
        """Prints lines that are complete before a place in the file."""
        read = self._file.read(end - self._at) if end > self._at else b""
        if read:
            self._at += len(read)
            *lines, self._rest = (self._rest + read).split(b"\n")
            self._print(lines)

    def print_old(self) -> None:
        """Prints what was there at the last look. Had Python written it, it would have been noted by now."""
        self.print_to(self._seen)
        self._seen = os.fstat(self._file.fileno()).st_size

    def end(self) -> None:
        """Prints the rest, a last line without an end too."""
        self.print_to(os.fstat(self._file.fileno()).st_size)
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


def _opened(path: str) -> IO[bytes]:
    """A file of a worker; of one that is gone those are gone that were empty."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return open(os.devnull, "rb")


class _Worker:
    """What one worker prints."""

    def __init__(self, directory: str, name: str) -> None:
        _, worker, pid = name.split(".")
        prefix = f"(worker {pid.replace('pid-', 'pid=')}) "
        path = os.path.join(directory, worker)
        self._pid = pid.removeprefix("pid-")
        self._logs = [_Log(f"{path}.{file}", prefix, stream) for file, stream in _STREAMS.items()]
        self._notes, self._rest = _opened(f"{path}.order"), b""

    def print_new(self) -> bool:
        """Prints what is new, in the order in which it was written; whether the worker is gone."""
        # In this order: what it printed before it went is in the files.
        gone = not os.path.exists(f"/proc/{self._pid}")
        self._print_noted()
        for log in self._logs:
            log.print_old()
        return gone

    def end(self) -> None:
        """Prints all that is left."""
        self._print_noted()
        for log in self._logs:
            log.end()
        self._notes.close()

    def _print_noted(self) -> None:
        notes = self._rest + self._notes.read()
        whole = len(notes) - len(notes) % _NOTE.size
        self._rest = notes[whole:]
        for number, end in _NOTE.iter_unpack(notes[:whole]):
            if 1 <= number <= len(self._logs):
                self._logs[number - 1].print_to(end)


class Follower:
    """Follows the logs of this job's workers."""

    def __init__(self, session: str, job: int) -> None:
        self._directory = os.path.join(session, "logs")
        self._prefix = f"job-{job}."
        self._workers: dict[str, _Worker] = {}
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
        for name in list(self._workers):
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
            if name not in self._workers:
                try:
                    self._workers[name] = _Worker(self._directory, name)
                except OSError:
                    # No more files can be opened: later, perhaps.
                    continue
            if self._workers[name].print_new():
                self._end(name)

    def _end(self, name: str) -> None:
        self._ended.add(name)
        self._workers.pop(name).end()
