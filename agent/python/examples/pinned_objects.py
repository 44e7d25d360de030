"""Objects pinned in memory: an array that was got is a view of shared memory, which stays as long as the array does."""

import numpy as np
import plasmon

plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = plasmon.put(np.zeros(1))
b = plasmon.get(a)
del a
# One row PINNED_IN_MEMORY: the reference is gone, the view holds the object.
print(plasmon.memory_summary())
