"""Memory-aware scheduling: tasks and actors that say what heap they need run side by side only as far as it goes."""

import plasmon


@plasmon.remote(memory=500 * 1024 * 1024)
def some_function(x):
    return x


@plasmon.remote(memory=400 * 1024 * 1024)
class SomeActor:
    def answer(self):
        return 42


plasmon.init(num_cpus=2, memory=1024 * 1024 * 1024, object_store_memory=64 << 20)
actor = SomeActor.remote()
assert plasmon.get(actor.answer.remote()) == 42
# What the actor reserves is not free while it lives; a task's share comes back with its end.
print("free for others:", plasmon.available_resources()["memory"] / 2**20, "MiB")
# Another need for one call; two of them do not fit beside the actor, so they run one after the other.
print(plasmon.get([some_function.options(memory=600 * 1024 * 1024).remote(number) for number in range(4)]))
# More than the node has never runs: it waits, and the dashboard and `plasmon explain` say for what.
waits = some_function.options(memory=2 * 1024**3).remote(0)
assert plasmon.wait([waits], timeout=0.2) == ([], [waits])
plasmon.cancel(waits)
