"""The generated project's code under its own pytest, in the environment of the nomic client, with the official file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSIDE = Path(__file__).resolve().parents[1] / "inside"
pytestmark = pytest.mark.weights


@pytest.mark.parametrize("file", ["test_gguf.py", "test_tokenizer.py", "test_embed.py", "test_nomic.py"])
def test_inside_the_environment(file: str, nomic_environment: Path, generated_project: Path) -> None:
    _passes(nomic_environment, generated_project, INSIDE, "-c", "pytest.ini", file)


def test_the_projects_own_smoke_test(nomic_environment: Path, generated_project: Path) -> None:
    _passes(nomic_environment, generated_project, generated_project)


def _passes(python: Path, project: Path, folder: Path, *arguments: str) -> None:
    command = [str(python), "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
