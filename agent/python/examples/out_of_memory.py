"""Out of memory: a worker is ended before the kernel ends something, and the error says what used how much.

Nothing here fills the machine: the agent is told that 300 MB more than what is in use now are too much.
"""

import time

import plasmon


@plasmon.remote(max_retries=0)
def allocate(megabytes):
    kept = []
    for _ in range(megabytes):
        kept.append(b"x" * 2**20)
        time.sleep(0.002)
    time.sleep(20)


with plasmon.init(num_cpus=1, object_store_memory=64 << 20):
    [node] = plasmon.nodes()
used = node["MachineMemory"] - node["MachineMemoryAvailable"]
threshold = (used + 300 * 2**20) / node["MachineMemory"]

# Everything that `plasmon agent` has a flag for.
plasmon.init(num_cpus=1, object_store_memory=64 << 20, agent_options={"oom_threshold": threshold, "oom_retries": 0})
try:
    plasmon.get(allocate.remote(2000))
except plasmon.exceptions.OutOfMemoryError as error:
    print(error)
