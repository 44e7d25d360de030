"""How things look in a notebook."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from . import _plasmon


def _escape(text: str) -> str:
    # Here: only notebooks need it.
    import html

    return html.escape(text)


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes for people: ``1.5 MiB``."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values, one beside the other."""
    cells = "".join(f"<tr><th>{_escape(name)}</th><td>{_escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def of_reference(reference: _plasmon.ObjectRef[Any]) -> str:
    """A reference: its id, and whether its object is there."""
    try:
        state = "its object is there" if _plasmon.wait([reference], timeout=0.0)[0] else "its object is not there yet"
    except Exception as error:
        state = str(error).partition("\n")[0]
    return f"<code>ObjectRef</code> <code>{_escape(reference.hex())}</code> {_escape(state)}"


def of_store(store: Mapping[str, Any]) -> str:
    """The object store: how full it is, as a bar, and what its bytes are."""
    capacity = store["capacity_bytes"] or 1
    full = 100 * store["used_bytes"] / capacity
    bar = (
        '<div style="width:20em;height:0.8em;border:1px solid currentColor">'
        f'<div style="width:{full:.2f}%;height:100%;background:currentColor;opacity:0.6"></div></div>'
    )
    rows = [("used", f"{size(store['used_bytes'])} of {size(capacity)}, {full:.1f} %"), ("objects", store["objects"])]
    rows += [(name.removesuffix("_bytes").replace("_", " "), size(count)) for name, count in _lines(store)]
    return f"<b>object store</b>{bar}{table(rows)}"


def _lines(store: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The ledger's lines that are not 0, largest first."""
    named = ("capacity_bytes", "used_bytes")
    lines = [(name, value) for name, value in store.items() if name.endswith("_bytes") and name not in named and isinstance(value, int) and value]
    return sorted(lines, key=lambda line: -line[1])


def of_text(text: str) -> str:
    """A report, aligned as it is in a terminal."""
    return f'<pre style="white-space:pre;overflow-x:auto">{_escape(text)}</pre>'
