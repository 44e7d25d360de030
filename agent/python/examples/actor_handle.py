"""Actor handles: an actor lives as long as somebody has a handle to it, and each process that has one has a row."""

import plasmon


@plasmon.remote
class Counter:
    def __init__(self):
        self.total = 0

    def add(self, amount):
        self.total += amount
        return self.total


plasmon.init(num_cpus=1, object_store_memory=64 << 20)
counter = Counter.remote()
assert plasmon.get(counter.add.remote(1)) == 1
# One row ACTOR_HANDLE, "(actor call)".
print(plasmon.memory_summary())
