"""Workers and drivers are killed in the middle of whatever they do: the others go on, and nothing of them stays."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import plasmon
import pytest
from conftest import end_process, line_of, until

#: Does everything at once, for ever, and tells each round. What it asks of workers may die with them.
PROGRAM = """
import random, sys
import numpy as np
import plasmon

plasmon.init(sys.argv[1], log_to_driver=False)
draw = random.Random(int(sys.argv[2]))

@plasmon.remote(max_retries=-1)
def total(array, inside=None):
    return (array.sum(), plasmon.put(array), inside)

@plasmon.remote(max_retries=-1)
def count(end):
    for number in range(end):
        yield np.full(1000, number)

@plasmon.remote(max_retries=-1)
def nested(levels):
    return plasmon.get(nested.options(num_cpus=0).remote(levels - 1)) if levels else plasmon.put(np.ones(50_000))

@plasmon.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Keeper:
    def __init__(self):
        self.kept = []

    def keep(self, values):
        self.kept = [*self.kept[-5:], *values]
        return [plasmon.put(len(self.kept)), self.kept]

keeper = Keeper.remote()
held, views = [], []
print("begun", flush=True)
round = 0
while True:
    array = np.full(draw.randrange(1, 300_000), float(round))
    held = held[-20:] + [plasmon.put(array), plasmon.put([held[-1]] if held else None)]
    asked = [total.remote(held[-2], [held[-1]]), keeper.keep.remote([held[-2]]), nested.remote(2)]
    for step in range(draw.randrange(3)):
        asked.append(draw.choice([lambda: total.remote(array), lambda: keeper.keep.remote([array, held[-1]])])())
    values = count.remote(draw.randrange(30))
    held += [value for value, _ in zip(values, range(5))]
    plasmon.wait(asked, num_returns=1)
    got = plasmon.get(asked[0])
    assert got[0] == array.sum(), (got[0], array.sum())
    views = views[-2:] + [plasmon.get(got[1])]
    assert (views[-1] == round).all()
    plasmon.get(asked[1:])
    round += 1
    print(round, flush=True)
"""


def workers(agent: int) -> list[int]:
    """The processes that an agent has started."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1]) == agent:
                found.append(int(entry))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("seed", range(6))
def test_killed_in_the_middle_of_anything(sessions: Path, tmp_path: Path, seed: int) -> None:
    # So small that it spills, and several times what is looked at at once, which cannot be spilled.
    here = plasmon.init(num_cpus=2, object_store_memory=64 << 20, temp_dir=sessions)
    draw = random.Random(seed)
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = [sys.executable, str(tmp_path / "program.py"), here["session"], str(seed)]
    errors = tmp_path / "errors"
    with errors.open("w") as stderr, subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=stderr, text=True) as driver:
        try:
            assert line_of(driver) == "begun\n", errors.read_text()
            for _ in range(2):
                assert line_of(driver), errors.read_text()
                # Anywhere within a round.
                time.sleep(draw.random() * 0.05)
                alive = workers(here["agent_pid"])
                if alive:
                    # It may have ended by itself since it was listed.
                    with contextlib.suppress(ProcessLookupError):
                        end_process(draw.choice(alive))
                # It goes on.
                for _ in range(2):
                    assert line_of(driver), errors.read_text()
            time.sleep(draw.random() * 0.05)
        finally:
            driver.send_signal(signal.SIGKILL)
    until("its workers are gone", lambda: not workers(here["agent_pid"]))

    def left() -> Any:
        report = plasmon.state.report()
        return report["references"], report["store"]["objects"], report["store"]["unattributed_bytes"]

    until(f"nothing of it stays: {left()}", lambda: left() == ([], 0, 0))
    spilled = [path for path in Path(here["session"]).glob("spill/**/*") if path.is_file()]
    until(f"no file of it stays: {spilled}", lambda: not any(path.exists() for path in spilled))
    assert plasmon.get(plasmon.put(seed)) == seed
