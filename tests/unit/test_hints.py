"""What people are told names nothing that they don't have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold import __version__
from nomic_scaffold.errors import page

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "nomic_scaffold"
IN_LOCKS = "formats/lock_header.py"
"""Its words are part of every lock, and lie beside a project."""


def words(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every text in a module but its docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node


@pytest.mark.parametrize("file", sorted(p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*.py")))
def test_no_word_names_a_page_that_the_wheel_does_not_hold(file: str) -> None:
    if file not in {IN_LOCKS, "errors.py"}:
        told = [node.value for node in words(ast.parse((SOURCE / file).read_text(encoding="utf-8")))]
        assert [text for text in told if "docs/" in text and "https://" not in text] == []


def test_every_page_that_a_hint_names_is_there() -> None:
    named = {
        node.args[0].value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "page"
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }
    assert len(named) >= 3
    assert [name for name in named if not (ROOT / "docs" / name).is_file()] == []
    assert page("how-to/locks.md").endswith(f"/v{__version__}/docs/how-to/locks.md")
