"""References that a pending task uses: its arguments stay until it has ended, whatever becomes of their variables."""

import time

import plasmon


@plasmon.remote
def f(arg):
    while True:
        pass


plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = plasmon.put(None)
b = f.remote(a)
while not any(row["process_type"] == "worker" for row in plasmon.state.list_objects()):
    time.sleep(0.05)
# In the driver, a is USED_BY_PENDING_TASK and b a LOCAL_REFERENCE; in the worker, a is PINNED_IN_MEMORY, "(deserialize task arg)".
print(plasmon.memory_summary())
