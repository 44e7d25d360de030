"""Actors that end themselves."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from . import _node, _plasmon

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def exit_actor() -> NoReturn:
    """Ends the actor that calls this, from any of its methods, async ones too; it is not made anew.

    What its process has registered with ``atexit`` is run. This call, those that wait and later ones come to ``ActorDiedError``, which
    says that it exited by itself, and where. ``sys.exit()`` does the same; with a code other than 0 it is the worker that failed, and the
    actor is made anew while it has ``max_restarts`` left. In a thread that the actor has started, only that thread ends.

    Raises:
        TypeError: this process is no actor.
        SystemExit: it is what leaves the method; whoever catches it keeps the actor.
    """
    if _node.actor() is None:
        raise TypeError("exit_actor ends the actor that calls it, and this process is none\nhint: plasmon.kill(handle) ends another one")
    raise SystemExit(0)


def leave(error: SystemExit) -> NoReturn:
    """Ends this process, which is an actor, as an exception of its program says."""
    code = error.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    actor = _node.actor()
    if not code and actor is not None:
        # Before the agent has ended it, nothing else is to begin here.
        _plasmon.exit_actor(bytes.fromhex(actor[0]), _place_of(error))
    # Of a code the system keeps eight bits; what is none is not to look like none.
    os._exit(code & 0xFF or 1 if code else 0)


def _place_of(error: SystemExit) -> tuple[str, int, str]:
    """The innermost line of the program's own that raised it, else of this package: its file, line and function."""
    trace, place, own = error.__traceback__, ("", 0, ""), False
    while trace is not None:
        code = trace.tb_frame.f_code
        is_own = not code.co_filename.startswith(_HERE)
        if is_own or not own:
            own |= is_own
            place = code.co_filename, trace.tb_lineno, getattr(code, "co_qualname", code.co_name)
        trace = trace.tb_next
    return place
