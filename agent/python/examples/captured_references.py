"""References captured in objects: an object keeps what it refers to."""

import time

import plasmon

plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = plasmon.put(None)
b = plasmon.put([a])
del a
while not any(row["reference_type"] == "CAPTURED_IN_OBJECT" for row in plasmon.state.list_objects()):
    time.sleep(0.05)
# The inner object is CAPTURED_IN_OBJECT, and goes with b.
print(plasmon.memory_summary())
