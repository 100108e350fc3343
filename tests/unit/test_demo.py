"""What `make demo` ends with."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import synthetic

FILE = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ending_says_what_was_proven_and_where_the_report_is(demo: ModuleType) -> None:
    told = demo.ending(synthetic.passed(), 95.4)
    assert "Done in 95 s. All " in told
    assert "checks passed." in told
    assert "Proven: the model file is the pinned one, embed() gives the known vectors" in " ".join(told.split())
    assert str(FILE.parent.parent / "demo" / "my-project" / "report.html") in told


@pytest.mark.skipif(sys.platform == "win32", reason="another shell")
def test_what_it_says_to_type_can_be_typed(demo: ModuleType) -> None:
    """The command is not on the PATH of the shell that ran make: it is put there first."""
    lines = [line.strip() for line in demo.ending(synthetic.passed(), 1).partition("Now it is yours:")[2].splitlines()]
    typed = [shlex.split(line, comments=True) for line in lines if line]
    assert typed[0] == ["source", str(Path(sys.executable).parent / "activate")]
    assert typed[1] == ["cd", str(demo.PROJECT)]
    assert typed[3] == ["nomic-scaffold", "verify"]
