"""Local references: what a program holds by a variable has a row, and the row names the line that made it."""

import plasmon


@plasmon.remote
def f(arg):
    return arg


plasmon.init(num_cpus=1, object_store_memory=64 << 20)
a = plasmon.put(None)
b = f.remote(None)
plasmon.get(b)
# Two rows LOCAL_REFERENCE: "(put object)" for a, "(task call)" for b.
print(plasmon.memory_summary())
