"""How a program ends that does not wait for all its threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import PATIENCE


@pytest.mark.parametrize("turn", range(4))
def test_threads_that_are_left_behind_end_with_the_program(turn: int, tmp_path: Path) -> None:
    program = tmp_path / "threads.py"
    program.write_text(
        textwrap.dedent(
            """
            import threading, time
            import plasmon

            plasmon.init(num_cpus=2, object_store_memory=64 << 20)

            @plasmon.remote
            def never():
                time.sleep(1000)

            begun = threading.Barrier(4)

            def again(call):
                begun.wait()
                try:
                    while True:
                        call()
                except plasmon.exceptions.NotConnectedError:
                    pass

            waited = never.remote()
            for call in (lambda: plasmon.get(waited), lambda: plasmon.put(b"x" * 100_000), lambda: plasmon.get(plasmon.put([1]))):
                threading.Thread(target=again, args=(call,), daemon=True).start()
            begun.wait()
            print("the end", flush=True)
            """
        )
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")
