"""One side of the comparison: measures what it is asked on standard input, with the package that is named on the command line; behind that
``begin``, for what a node takes that has just begun, or ``all`` for the rest.

Each line in is a measurement's name, each line out its figure as JSON.
"""

import json
import mmap
import os
import sys
import time

import numpy as np

NAME, WHAT = sys.argv[1:]
if NAME == "ray":
    import ray as system
else:
    import plasmon as system

STORE = 1 << 30
BIG = 100 << 20


def process_tree(root):
    """The processes below one, and itself."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    tree = {root}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in tree and pid not in tree}
        tree |= more
        grown = bool(more)
    return tree


def pss(pids):
    """Bytes of memory that these processes have, shared pages divided, without the object store's own."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps") as maps:
                in_store = False
                for line in maps:
                    word = line.split()
                    if "-" in word[0] and not word[0].endswith(":"):
                        in_store = len(word) > 5 and ("memfd:" in line or "/dev/shm/plasma" in line)
                    elif word[0] == "Pss:" and not in_store:
                        total += int(word[1]) * 1024
        except OSError:
            pass
    return total


def start():
    begin = time.perf_counter()
    if NAME == "ray":
        system.init(num_cpus=2, object_store_memory=STORE, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    else:
        system.init(num_cpus=2, object_store_memory=STORE, log_to_driver=False)
    return time.perf_counter() - begin


def answer(measured):
    print(json.dumps(sorted(measured)), flush=True)
    for line in sys.stdin:
        print(json.dumps(measured[line.strip()]()), flush=True)
    system.shutdown()
    sys.exit()


STARTED = start()
big = np.ones(BIG, dtype=np.uint8)


def put_fresh():
    """Seconds that a put takes into memory of the store that nobody has used before."""
    kept = []
    begin = time.perf_counter()
    for _ in range(6):
        kept.append(system.put(big))
    return (time.perf_counter() - begin) / len(kept)


@system.remote
def nothing():
    return None


@system.remote
def pause(seconds):
    time.sleep(seconds)


@system.remote
class Actor:
    def nothing(self):
        return None

    def take(self, value):
        return None


@system.remote
class Caller:
    def __init__(self, actor):
        self.actor = actor

    def call(self, count):
        system.get([self.actor.nothing.remote() for _ in range(count)])


# Two workers; and two actors with a caller each, so that what is measured is not their start.
if WHAT == "begin":
    fresh = put_fresh()
    system.get([pause.remote(1) for _ in range(2)])
    time.sleep(1)
    idle = pss(process_tree(os.getpid()) - {os.getpid()})
    answer({"started": lambda: STARTED, "put 100 MiB, fresh": lambda: fresh, "idle memory, bytes": lambda: idle})
system.get([pause.remote(0.3) for _ in range(2)])
actors = [Actor.remote() for _ in range(2)]
system.get([actor.nothing.remote() for actor in actors])
callers = [Caller.remote(actor) for actor in actors]
system.get([caller.call.remote(10) for caller in callers])
small = system.put(0)
kept = [system.put(big) for _ in range(6)]
del kept
for _ in range(6):
    time.sleep(0.1)
    system.put(big)
# Where the floor is copied to: shared memory that has been used, too.
copy = np.frombuffer(mmap.mmap(-1, BIG, mmap.MAP_SHARED), dtype=np.uint8)
for _ in range(2):
    np.copyto(copy, big)
array = np.ones(1 << 17)
many = system.put([system.put(0) for _ in range(10_000)])


def each(count, call):
    """Seconds that one of so many calls takes."""
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def once(call):
    return each(1, call)


def put_big():
    # As soon as the memory of the one before is free again.
    time.sleep(0.1)
    return once(lambda: system.put(big))


def wait_submitted():
    refs = [nothing.remote() for _ in range(1000)]
    system.get(refs)
    return once(lambda: system.wait(refs, num_returns=1000))


def submit_and_wait():
    def both():
        left = [nothing.remote() for _ in range(1000)]
        while left:
            _, left = system.wait(left)

    return once(both)


def call_site():
    """What a put takes longer with its call site, turn about."""
    took = {True: 0.0, False: 0.0}
    for _ in range(5):
        for enabled in took:
            system.set_call_sites(enabled=enabled)
            took[enabled] += each(500, lambda: system.put(0))
    system.set_call_sites(enabled=True)
    return (took[True] - took[False]) / 5


MEASURED = {
    "put call": lambda: each(500, lambda: system.put(0)),
    "get call": lambda: each(500, lambda: system.get(small)),
    "put array of 1 MiB": lambda: each(50, lambda: system.put(array)),
    "put 100 MiB, warm": put_big,
    "memcpy 100 MiB": lambda: once(lambda: np.copyto(copy, big)),
    "task, sync": lambda: each(100, lambda: system.get(nothing.remote())),
    "task, async": lambda: once(lambda: system.get([nothing.remote() for _ in range(1000)])) / 1000,
    "actor call, sync": lambda: each(100, lambda: system.get(actors[0].nothing.remote())),
    "actor call, async": lambda: once(lambda: system.get([actors[0].nothing.remote() for _ in range(1000)])) / 1000,
    "actor call with an argument, async": lambda: once(lambda: system.get([actors[0].take.remote(small) for _ in range(1000)])) / 1000,
    "actor calls, 2:2": lambda: once(lambda: system.get([caller.call.remote(500) for caller in callers])) / 1000,
    "wait on 1,000 that are there": wait_submitted,
    "submit 1,000 and wait for one after the other": submit_and_wait,
    "get an object of 10,000 references": lambda: once(lambda: system.get(many)),
    "call site of a put": call_site,
}

answer(MEASURED)
