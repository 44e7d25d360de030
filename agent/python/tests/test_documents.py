"""What documents show runs, and types are complete."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import plasmon
import pytest
from conftest import PATIENCE

PACKAGE = Path(plasmon.__file__).parent
ROOT = PACKAGE.parent.parent.parent


def block(text: str, begin: str, end: str) -> str:
    _, _, rest = text.partition(begin)
    code, _, _ = rest.partition(end)
    assert code.strip(), begin
    return code


@pytest.mark.parametrize(
    ("file", "begin", "end"),
    [
        (ROOT / "README.md", "<!-- python library -->\n```python\n", "```\n<!-- /python library -->"),
        (PACKAGE.parent / "README.md", "```python\n", "```\n"),
    ],
    ids=["README", "package"],
)
def test_what_documents_show_runs(file: Path, begin: str, end: str, tmp_path: Path) -> None:
    program = tmp_path / "shown.py"
    program.write_text(block(file.read_text(), begin, end))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and "(put object) <module> shown.py:8" in done.stdout, done.stderr


def test_types_are_complete(tmp_path: Path) -> None:
    program = Path(__file__).with_name("typed.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(PACKAGE), str(program)],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Wrong types are found.
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import plasmon\nnumber: int = plasmon.get(plasmon.put('text'))\nplasmon.no_such_name\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(PACKAGE), str(wrong)],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        timeout=PATIENCE,
    )
    assert done.returncode == 1 and "wrong.py:2" in done.stdout and "wrong.py:3" in done.stdout, done.stdout


def test_a_program_with_every_name_runs() -> None:
    program = Path(__file__).with_name("typed.py")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and done.stdout == "all of it\n", done.stdout + done.stderr
    # None was forgotten.
    text = program.read_text()
    told = {name for name in plasmon.__all__ if name not in ("ActorClass", "RemoteFunction")}
    assert not [name for name in told if f"plasmon.{name}" not in text and name not in text]


@pytest.mark.parametrize("name", ["put", "get", "wait", "init", "cancel", "kill", "remote"])
def test_help_is_enough(name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(plasmon, name)))
    assert f"{name}(" in text and "Raises:" in text, text
    for parameter in inspect.signature(getattr(plasmon, name)).parameters:
        assert text.count(parameter) > 1 or parameter in ("value", "args", "options", "others"), (parameter, text)


def test_every_public_name_is_documented() -> None:
    for name in plasmon.__all__:
        public = getattr(plasmon, name)
        assert public.__doc__ and len(public.__doc__) > 20, name
        if isinstance(public, type):
            for member, value in vars(public).items():
                if not member.startswith("_") and callable(value):
                    assert value.__doc__, f"{name}.{member}"
