"""Objects pinned in memory: an array that was got is a view of shared memory, which stays as long as the array does."""

import numpy as np
import plasmon

plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = np.zeros(1)
# The reference is gone at once; the view holds the object.
b = plasmon.get(plasmon.put(a))
# One row PINNED_IN_MEMORY.
print(plasmon.memory_summary())
