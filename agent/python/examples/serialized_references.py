"""References inside an argument: the task gets the reference itself, and holds it in a row of its own."""

import time

import plasmon


@plasmon.remote
def f(arg):
    while True:
        pass


plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = plasmon.put(None)
b = f.remote([a])
while not any(row["process_type"] == "worker" for row in plasmon.state.list_objects()):
    time.sleep(0.05)
# In the driver, a is USED_BY_PENDING_TASK; in the worker it is a LOCAL_REFERENCE, "(deserialize task arg)".
print(plasmon.memory_summary())
