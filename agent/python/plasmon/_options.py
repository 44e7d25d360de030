"""Options of remote functions and actors: which there are, of which types, within which limits."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional

#: What an option must be: a name for people, its types, its least value.
_NUMBERS: dict[str, tuple[type, ...]] = {
    "num_cpus": (int, float),
    "num_gpus": (int, float),
    "memory": (int, float),
    "timeout": (int, float),
    "max_retries": (int,),
    "max_restarts": (int,),
    "max_task_retries": (int,),
    "max_concurrency": (int,),
}
#: The most that each can be: what the agent counts, bytes, seconds.
MOST = {
    "num_cpus": 1_000_000,
    "num_gpus": 1_000_000,
    "memory": 1 << 62,
    "object_store_memory": 1 << 62,
    "timeout": 10**12,
    "max_retries": (1 << 32) - 2,
    "max_restarts": (1 << 32) - 2,
    "max_task_retries": (1 << 32) - 2,
    "max_concurrency": 1000,
}
#: The most of a custom resource.
_MOST_OF_ANY = 1_000_000
#: Those for which -1 means as often as it takes.
_ENDLESS = ("max_retries", "max_restarts", "max_task_retries")

TASK_OPTIONS = ("num_cpus", "num_gpus", "memory", "resources", "num_returns", "max_retries", "retry_exceptions", "name", "timeout")
ACTOR_OPTIONS = (
    "num_cpus",
    "num_gpus",
    "memory",
    "resources",
    "name",
    "namespace",
    "lifetime",
    "get_if_exists",
    "max_concurrency",
    "max_restarts",
    "max_task_retries",
)
METHOD_OPTIONS = ("num_returns", "name", "max_task_retries", "retry_exceptions")
#: Ray's options that have no meaning on one node, or that this package does not have; and what to do instead.
_ABSENT = {
    "runtime_env": "workers run in the driver's environment: set it up before init()",
    "scheduling_strategy": "there is one node",
    "placement_group": "there is one node",
    "object_store_memory": "it is an option of init()",
    "accelerator_type": "name a custom resource in resources= and offer it in init()",
    "max_calls": "give a leaking function memory= and let it be retried",
    "concurrency_groups": "use max_concurrency=",
    "concurrency_group": "use max_concurrency= of the actor",
    "max_pending_calls": "leave it out: wait(refs) before more are called",
    "allow_out_of_order_execution": "leave it out: max_concurrency= runs calls side by side",
    "enable_task_events": "leave it out: what runs is always shown",
    "label_selector": "there is one node",
    "fallback_strategy": "there is one node",
}


#: What a task reserves that says nothing of it.
ONE_CPU = {"CPU": 1.0}


def near_miss(name: str, known: Iterable[str]) -> str:
    """What an unknown name may have been meant as, for an error message."""
    # Here: who makes no mistake need not carry it.
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"\nhint: did you mean {close[0]!r}?" if close else f"\nhint: there are {', '.join(known)}"


def checked(options: Mapping[str, Any], known: tuple[str, ...], what: str) -> dict[str, Any]:
    """The options that were given, without those that are ``None``.

    Raises:
        TypeError: there is no such option, or its value is of the wrong type.
        ValueError: its value is out of range.
    """
    result: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            if name in _ABSENT:
                raise TypeError(f"{what} has no option {name!r}\nhint: {_ABSENT[name]}")
            raise TypeError(f"{what} has no option {name!r}{near_miss(name, known)}")
        if value is None:
            continue
        if name in _NUMBERS:
            _number(name, value)
        elif name == "resources":
            value = _resources(value)
        elif name == "num_returns":
            value = _num_returns(value)
        elif name in ("name", "namespace"):
            if not isinstance(value, str) or not value:
                raise TypeError(f"{name} is a text that is not empty, not {value!r}")
            if name == "namespace":
                separate(value)
        elif name == "lifetime":
            if value not in ("detached", "non_detached"):
                raise ValueError(f"lifetime is 'detached' or 'non_detached', not {value!r}")
        elif name == "retry_exceptions":
            if not isinstance(value, (bool, list, tuple)):
                raise TypeError(f"retry_exceptions is True, False or a list of exceptions, not {type(value).__name__}")
            for kind in value if isinstance(value, (list, tuple)) else ():
                if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                    raise TypeError(f"retry_exceptions lists exception classes, not {kind!r}")
        elif name == "get_if_exists" and not isinstance(value, bool):
            raise TypeError(f"get_if_exists is True or False, not {value!r}")
        result[name] = value
    return result


def separate(namespace: str) -> str:
    """A namespace that can be told from the names in it.

    Raises:
        ValueError: it has what stands between the two.
    """
    if "/" in namespace:
        raise ValueError(f"a namespace has no '/', which {namespace!r} has\nhint: names of actors may have one")
    return namespace


def _number(name: str, value: Any) -> None:
    kinds = _NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if kinds == (int,) else "a number"
        raise TypeError(f"{name} is {kind}, not {type(value).__name__} {value!r}")
    least = -1 if name in _ENDLESS else 1 if name == "max_concurrency" else 0
    most = MOST[name]
    if not least <= value <= most:  # type: ignore[operator]
        endless = "\nhint: -1 is as often as it takes" if name in _ENDLESS else ""
        raise ValueError(f"{name} is {least} to {most}, which {shown(value)} is not{endless}")


def shown(number: Any) -> str:
    """A number in a message, however large it is."""
    try:
        return str(number) if abs(number) < 1e20 else f"{float(number):g}"
    except OverflowError:
        return "a number of more than 300 digits"


def _resources(value: Any) -> list[tuple[str, float]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"resources is a dict of amounts by name, not {type(value).__name__}")
    for name, amount in dict[Any, Any](value).items():
        if name in ("CPU", "GPU", "memory"):
            option = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}[name]
            raise ValueError(f"resources names {name!r}\nhint: that is the option {option}")
        if not isinstance(name, str) or isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise TypeError(f"resources is a dict of numbers by name, which {name!r}: {amount!r} is not")
        if not 0 <= amount <= _MOST_OF_ANY:
            raise ValueError(f"an amount of {name!r} is 0 to {_MOST_OF_ANY}, which {shown(amount)} is not")
    return [(name, float(amount)) for name, amount in value.items()]


def _num_returns(value: Any) -> Any:
    if value in ("dynamic", "streaming"):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"num_returns is a whole number, 'dynamic' or 'streaming', not {value!r}")
    if not 0 <= value <= 1000:
        raise ValueError(f"num_returns is 0 to 1000, which {shown(value)} is not")
    return value


def retried(options: Mapping[str, Any]) -> tuple[str, Optional[tuple[type[BaseException], ...]]]:
    """Whether there are retries after exceptions, as the native half calls it, and after which of them, where not after all."""
    retry = options.get("retry_exceptions", False)
    if isinstance(retry, (list, tuple)):
        return "listed", tuple(retry)
    return "always" if retry else "never", None


def assigned(options: Mapping[str, Any], cpus: float) -> dict[str, float]:
    """What is reserved by name, as whoever runs is told; ``cpus`` where nothing is said of them."""
    amounts = {"CPU": options.get("num_cpus", cpus), "GPU": options.get("num_gpus", 0), "memory": options.get("memory", 0)}
    return {name: float(amount) for name, amount in {**amounts, **dict(options.get("resources", ()))}.items() if amount}


def reserve(options: Mapping[str, Any]) -> tuple[Optional[float], Optional[float], Optional[int], list[tuple[str, float]]]:
    """What is reserved: CPUs, GPUs, bytes of memory, custom resources."""
    memory = options.get("memory")
    return options.get("num_cpus"), options.get("num_gpus"), None if memory is None else int(memory), options.get("resources", [])
