"""Whether a call fits what is called, as far as that can be told before it is sent."""

from __future__ import annotations

import functools
import inspect
import reprlib
from typing import Any, Callable, Optional

#: How many arguments at least; how many by position at most; which names, where not all; and what raises for a call that does not fit.
Takes = tuple[int, int, Optional[frozenset[str]], Callable[..., Any]]

#: As many as anybody gives.
_ANY = 1 << 30
#: A default value's text, in characters.
_LONGEST = 100
#: Of long values it makes no more text than that.
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = _LONGEST


class _Told:
    """A default value, as it is shown."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def signature_of(function: Callable[..., Any], *, bound: bool = False) -> Optional[inspect.Signature]:
    """What a function says that it takes; a method without its instance, where ``bound`` says so. ``None`` where it does not say.

    What wraps another function takes what its own code says; what names a signature that is not its code's is asked by nobody.
    """
    if hasattr(function, "__signature__"):
        return None
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    if bound and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        signature = signature.replace(parameters=parameters[1:])
    return signature


def told(signature: inspect.Signature) -> inspect.Signature:
    """The same for whoever is elsewhere: it pickles, whatever its annotations and default values are."""
    empty = inspect.Parameter.empty
    parameters = [
        each.replace(annotation=empty, default=empty if each.default is empty else _told_default(each.default))
        for each in signature.parameters.values()
    ]
    return inspect.Signature(parameters)


def _told_default(value: object) -> _Told:
    try:
        return _Told(_SHORT.repr(value)[:_LONGEST])
    except Exception:
        # Its text is the program's own code.
        return _Told("...")


def takes_of(signature: Optional[inspect.Signature], name: str) -> Optional[Takes]:
    """How a call of what has that signature is checked; ``name`` is its name for people."""
    if signature is None:
        return None
    parameters = list(signature.parameters.values())
    kinds = inspect.Parameter
    various = {parameter.kind for parameter in parameters}
    ordered = [each for each in parameters if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    named = [each for each in parameters if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    plain = [each for each in parameters if each.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    least = sum(each.default is kinds.empty for each in plain)
    most = _ANY if kinds.VAR_POSITIONAL in various else len(ordered)
    names = None if kinds.VAR_KEYWORD in various else frozenset(each.name for each in named)
    return least, most, names, functools.partial(_refuse, name, signature)


def _refuse(name: str, signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> None:
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        bare = signature.replace(return_annotation=inspect.Signature.empty)
        raise TypeError(f"{name}.remote(): {error}\nhint: it takes {bare}") from None
