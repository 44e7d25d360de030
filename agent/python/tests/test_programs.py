"""Random programs: whatever is put, nested, passed, dropped and got, values are right, and in the end nothing is held."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import plasmon
import pytest
from conftest import rows, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("agent")

LEAVES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=50),
    st.binary(max_size=3000),
    st.floats(allow_nan=False),
    st.integers(0, 2000).map(lambda length: np.arange(length, dtype="f4")),
)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "nest", "task", "get", "drop", "view"]), st.integers(0, 1 << 16), LEAVES), max_size=40)


@plasmon.remote
def same(value: Any, others: list[Any]) -> Any:
    return [value, others]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and bool((one == other).all())
    return type(one) is type(other) and one == other


def check(reference: Any, wanted: Any) -> None:
    """The object is what the model says, down to what its references refer to."""
    got = plasmon.get(reference)
    if isinstance(wanted, list):
        assert len(got) == len(wanted)
        for inner, (kind, value) in zip(got, wanted):
            if kind == "ref":
                check(inner, value)
            else:
                assert equal(inner, value)
    else:
        assert equal(got, wanted)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_random_programs(steps: list[tuple[str, int, Any]]) -> None:
    held: list[tuple[Any, Any]] = []
    views: list[tuple[Any, Any]] = []
    for what, number, leaf in steps:
        picked = held[number % len(held)] if held else None
        if what == "put" or picked is None:
            held.append((plasmon.put(leaf), leaf))
        elif what == "nest":
            held.append((plasmon.put([picked[0], leaf]), [("ref", picked[1]), ("value", leaf)]))
        elif what == "task":
            outer = same.remote(leaf, [picked[0]])
            value, others = plasmon.get(outer)
            assert equal(value, leaf) and others == [picked[0]]
            held.append((others[0], picked[1]))
        elif what == "get":
            check(*picked)
        elif what == "drop":
            del held[number % len(held)]
        elif isinstance(picked[1], np.ndarray):
            views.append((plasmon.get(picked[0])[::2], picked[1][::2]))
    for reference, wanted in held:
        check(reference, wanted)
    del held[:], steps
    picked = reference = wanted = outer = others = value = None
    gc.collect()
    # Views outlive every reference.
    assert all(equal(view, wanted) for view, wanted in views)
    del views[:]
    gc.collect()
    until("nothing is held", lambda: not rows())
