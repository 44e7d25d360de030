"""Actors: instances that live in a worker of their own, and are called there."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Optional

from . import _init, _plasmon
from ._generators import yields
from ._leaving import exit_actor
from ._options import ACTOR_OPTIONS, METHOD_OPTIONS, assigned, checked, near_miss, reserve, retried, separate
from ._signature import signature_of, takes_of, told
from ._sites import hidden_files
from .exceptions import ActorNameTakenError, NoActorError

#: Calls that an actor with async methods runs side by side, as Ray has it.
_ASYNC_CONCURRENCY = 1000

#: What an actor can be asked about its methods: their options, by their names.
_Methods = dict[str, dict[str, Any]]
#: What a method takes, by its name.
_Signatures = Callable[[str], Optional[inspect.Signature]]


def method(*, num_returns: Any = None, **others: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Says of an actor's method how it is called: ``@plasmon.method(num_returns=2)``.

    Args:
        num_returns: how many objects its result becomes; 1.
        max_task_retries: how often its calls are tried again; as its actor says.
        retry_exceptions: whether that is done after an exception, too; a list of classes for those alone. Such a call goes before those
            that the actor was not sent yet.
        name: what its calls are called in the report and the dashboard.
    """
    options = checked({"num_returns": num_returns, **others}, METHOD_OPTIONS, "a method")

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__plasmon_method__ = options  # type: ignore[attr-defined]
        return function

    return mark


#: The method that every actor has: it tells what the others are.
METHODS = "__plasmon_methods__"


#: Methods that every actor has, as Ray has them: to wait for it, to end it when what was called before is done, and to call a function with
#: its instance.
BUILT_IN: dict[str, Callable[..., Any]] = {
    "__ray_ready__": lambda _actor: True,
    "__ray_terminate__": lambda _actor: exit_actor(),
    "__ray_call__": lambda actor, function, *args, **kwargs: function(actor, *args, **kwargs),
}


def methods_of(cls: type) -> _Methods:
    """The methods of a class that can be called from elsewhere, and the options of each."""
    return {
        name: {"num_returns": "streaming" if yields(value) else 1, **getattr(value, "__plasmon_method__", {})}
        for name, value in inspect.getmembers(cls, callable)
        if not (name.startswith("__") and name not in ("__call__", "__getitem__", "__len__"))
    }


def told_methods(cls: type) -> tuple[_Methods, dict[str, inspect.Signature]]:
    """What an actor tells of its methods: their options, and what they take as far as they say."""
    methods = methods_of(cls)
    signatures = {name: _signature_in(cls, name) for name in methods}
    return methods, {name: told(signature) for name, signature in signatures.items() if signature is not None}


def is_async(cls: type) -> bool:
    """Whether a class has async methods: then all its methods run in the event loop of its worker."""
    return any(inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value) for _, value in inspect.getmembers(cls))


class ActorClass:
    """A class whose instances live in workers.

    ``A.remote(..)`` makes an instance and returns an ``ActorHandle``; ``A.options(..)`` changes how it lives.
    """

    def __init__(self, cls: type, options: dict[str, Any], export: Optional[_plasmon.Exported], methods: _Methods) -> None:
        self.__name__, self.__qualname__, self.__doc__, self.__module__ = cls.__name__, cls.__qualname__, cls.__doc__, cls.__module__
        #: The class itself.
        self.__wrapped__ = cls
        self._class, self._options, self._methods = cls, options, methods
        self._export = export or _plasmon.Exported(functools.partial(_exported, cls))
        self._is_async = is_async(cls)
        #: A metaclass may have its own ways to make an instance.
        self._takes = takes_of(_signature_in(cls, "__init__"), cls.__name__) if type(cls).__call__ is type.__call__ else None

    @classmethod
    def _of(cls, actor: type, options: dict[str, Any]) -> ActorClass:
        return cls(actor, checked(options, ACTOR_OPTIONS, "an actor"), None, methods_of(actor))

    def options(self, **options: Any) -> ActorClass:
        """The same class with other options, for the actors that are made through what is returned.

        Args:
            num_cpus: CPUs that it reserves while it lives; without, one must be free to place it and none is reserved.
            num_gpus: GPUs that it reserves; 0.
            memory: bytes of heap that it reserves, for admission only; 0.
            resources: custom resources that it reserves, by name.
            name: a name by which ``get_actor`` finds it.
            namespace: the namespace of the name; that of ``init``.
            lifetime: ``"detached"`` lets it live on without handles and without its driver, until ``kill``.
            get_if_exists: returns a handle to the live actor of that name, if there is one.
            max_concurrency: calls that it runs side by side; 1, and 1000 for a class with async methods.
            max_restarts: how often it is made anew after its worker died; 0, and -1 for as often as it takes.
            max_task_retries: how often its calls are tried again after its worker died; 0.

        Raises:
            TypeError: there is no such option, or a value is of the wrong type.
            ValueError: a value is out of range.
        """
        return ActorClass(self._class, {**self._options, **checked(options, ACTOR_OPTIONS, "an actor")}, self._export, self._methods)

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Makes an instance in a worker of its own, and returns a handle to it at once.

        Raises:
            ActorNameTakenError: a live actor has the name.
        """
        options = self._options
        name = _full_name(options["name"], options.get("namespace")) if "name" in options else ""
        if options.get("get_if_exists"):
            if not name:
                raise ValueError("get_if_exists needs a name\nhint: .options(name=.., get_if_exists=True)")
            try:
                return get_actor(options["name"], options.get("namespace"))
            except NoActorError:
                pass
        creation = _plasmon.Creation(
            f"{self._class.__module__}.{self._class.__qualname__}.__init__",
            self._export,
            *reserve(options),
            name,
            options.get("lifetime") == "detached",
            options.get("max_concurrency", _ASYNC_CONCURRENCY if self._is_async else 1),
            options.get("max_restarts", 0),
            options.get("max_task_retries", 0),
            assigned(options, 0),
            self._takes,
        )
        try:
            reference = creation.create(args, kwargs)
        except ActorNameTakenError:
            if options.get("get_if_exists"):
                return get_actor(options["name"], options.get("namespace"))
            raise
        return ActorHandle(reference, self._class.__module__, self._class.__qualname__, self._methods, functools.partial(_signature_in, self._class))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"the actor class {self.__qualname__} cannot be called like a local one\n"
            f"hint: {self.__name__}.remote(..) makes an instance in a worker"
        )

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise TypeError(
            f"no class inherits from the actor class {self.__qualname__}\n"
            f"hint: inherit from the class that it is made of, {self.__name__}.__wrapped__, and make the new one remote"
        )

    def __repr__(self) -> str:
        return f"<actor class {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> Any:
        return _rebuilt_class, (self._class, self._options)


def _rebuilt_class(cls: type, options: dict[str, Any]) -> ActorClass:
    actor = ActorClass._of(cls, {})
    actor._options = options
    return actor


def _exported(cls: type) -> Any:
    return cls, _init.namespace(), hidden_files()


def _unknown(_method: str) -> None:
    """Of a handle that says of no method what it takes: its worker does."""


class ActorHandle:
    """A handle to an actor. Its methods are called with ``handle.method.remote(..)``, which returns references to their results.

    The actor lives as long as any handle to it, in any process, object and pending call; then it does what was called before, and ends.
    """

    _reference: _plasmon.ObjectRef[Any]
    _module: str
    _qualname: str
    _methods: Optional[_Methods]
    #: What a method takes, by its name; ``None`` where that is not known, as it is not told with each handle that is passed on.
    _signature: _Signatures

    def __init__(
        self,
        reference: _plasmon.ObjectRef[Any],
        module: str,
        qualname: str,
        methods: Optional[_Methods],
        signature: _Signatures = _unknown,
    ) -> None:
        self.__dict__.update(_reference=reference, _module=module, _qualname=qualname, _methods=methods, _signature=signature)

    def __getattr__(self, name: str) -> ActorMethod:
        methods: Optional[_Methods] = self.__dict__["_methods"]
        if methods is None:
            if name.startswith("__") and name not in BUILT_IN:
                raise AttributeError(name)
            # Found by its name alone: it knows what it can do.
            ask = _plasmon.Method(self._reference, f"{self._module}.{self._qualname}.{METHODS}", METHODS, 1, 1, None, "never", None)
            methods, signatures = _plasmon.get(ask.submit())
            self.__dict__.update(_methods=methods, _signature=signatures.get)
        if name not in methods and name not in BUILT_IN:
            raise AttributeError(f"the actor {self._qualname} has no method {name!r}{near_miss(name, methods)}")
        made = ActorMethod(self, name, methods.get(name, {"num_returns": 1}))
        # What is called once is called again.
        self.__dict__[name] = made
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name!r} cannot be set from here: the actor is in another process\nhint: give it a method that sets it")

    @property
    def _actor_id(self) -> str:
        return str(self._reference.hex())

    def __repr__(self) -> str:
        return f"ActorHandle({self._qualname}, {self._reference.hex()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._reference == other._reference

    def __hash__(self) -> int:
        return hash(self._reference)

    def __reduce__(self) -> Any:
        return ActorHandle, (self._reference, self._module, self._qualname, self._methods)


class ActorMethod:
    """A method of an actor, ready to be called: ``.remote(..)``."""

    def __init__(self, handle: ActorHandle, name: str, options: dict[str, Any]) -> None:
        self._name, self._options = name, options
        self._qualname, self._signature = handle._qualname, handle._signature
        full = options.get("name", f"{handle._module}.{handle._qualname}.{name}")
        self._reference = handle._reference
        self._module, self._methods = handle._module, handle._methods
        num_returns = options["num_returns"]
        results = num_returns if isinstance(num_returns, int) else None if num_returns == "streaming" else 1
        retry, listed = retried(options)
        returns = num_returns if listed is None else (num_returns, listed)
        most = options.get("max_task_retries")
        takes = takes_of(handle._signature(name), name)
        self.remote = _plasmon.Method(handle._reference, full, name, results, returns, most, retry, takes).submit

    #: Calls the method; returns an ``ObjectRef`` to its result, a list of them where ``num_returns`` says so, ``None`` where it is 0, or an
    #: ``ObjectRefGenerator`` where it is ``"streaming"``.
    remote: Callable[..., Any]

    def options(self, **options: Any) -> ActorMethod:
        """The same method with other options, for the calls that are made through what is returned: see ``method``."""
        given = checked(options, METHOD_OPTIONS, "a method")
        handle = ActorHandle(self._reference, self._module, self._qualname, self._methods, self._signature)
        return ActorMethod(handle, self._name, {**self._options, **given})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"the actor's method {self._name} cannot be called like a local one\nhint: .{self._name}.remote(..)")

    def __repr__(self) -> str:
        return f"<method {self._name} of actor {self._qualname}>"


def _signature_in(cls: type, name: str) -> Optional[inspect.Signature]:
    """What a method takes, as far as its class says."""
    found = inspect.getattr_static(cls, name, None)
    return signature_of(found, bound=True) if inspect.isfunction(found) else None


def _full_name(name: str, namespace: Optional[str]) -> str:
    namespace = _init.namespace() if namespace is None else separate(namespace)
    # The first stroke ends the namespace, and be it empty.
    return f"{namespace}/{name}" if namespace or "/" in name else name


def get_actor(name: str, namespace: Optional[str] = None) -> ActorHandle:
    """A handle to the live actor of that name, whichever program on the node made it.

    Raises:
        NoActorError: there is none; a ``ValueError``.
    """
    if not isinstance(name, str):
        raise TypeError(f"an actor's name is a text, not {type(name).__name__}")
    reference, constructor = _plasmon.find_actor(_full_name(name, namespace))
    module, _, qualname = constructor.removesuffix(".__init__").rpartition(".")
    # Which methods it has is known to the actor.
    return ActorHandle(reference, module, qualname, None)


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """Ends an actor at once, whatever it is doing. Its calls fail with ``ActorDiedError``.

    Args:
        actor: a handle to it.
        no_restart: for good; otherwise only its worker ends, and it is made anew while it has restarts left.

    Raises:
        TypeError: ``actor`` is no handle.
    """
    if not isinstance(actor, ActorHandle):
        raise TypeError(f"kill takes an ActorHandle, not {type(actor).__name__}\nhint: plasmon.cancel(ref) stops a task")
    _plasmon.kill(actor._reference, no_restart)
