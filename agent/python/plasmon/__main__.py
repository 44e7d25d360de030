"""``python -m plasmon memory`` and ``python -m plasmon agent``: the same commands, with the same options, as ``plasmon`` has."""

from __future__ import annotations

import signal
import sys

from . import _plasmon

if __name__ == "__main__":
    # As for any program in the shell: it ends where it is, and a reader that has gone is nobody's concern.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_plasmon.run_command(sys.argv[1:]))
