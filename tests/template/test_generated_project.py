"""A generated project's own checks pass: its ruff, and its tests are found by plain pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.conftest import Render


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check", "--diff"]], ids=lambda value: value[0])
def test_its_own_ruff_passes(default_project: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=default_project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_tests_are_found_by_plain_pytest(render: Render, nomic_environment: Path) -> None:
    done = subprocess.run(
        [str(nomic_environment), "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=render(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/test_embedding.py::" in done.stdout
