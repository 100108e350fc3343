"""Rendered projects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.adapters import template
from nomic_scaffold.formats.answers import resolve

Render = Callable[..., Path]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the template for some answers, in a folder called my-project, without locks."""

    def rendered(**answers: Any) -> Path:
        folder = tmp_path_factory.mktemp("rendered") / "my-project"
        folder.mkdir()
        template.render(folder, resolve(answers, folder=folder.name))
        return folder

    return rendered


@pytest.fixture(scope="session")
def default_project(render: Render) -> Path:
    return render()


@pytest.fixture(scope="session")
def plain_copier() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the copier command on the template, as somebody without this tool does."""

    def run(destination: Path, **data: str) -> subprocess.CompletedProcess[str]:
        answers = [f"--data={key}={value}" for key, value in data.items()]
        with template.template_root() as source:
            return subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "copier",
                    "copy",
                    "--quiet",
                    "--defaults",
                    *answers,
                    str(source),
                    str(destination),
                ],
                capture_output=True,
                text=True,
                check=False,
            )

    return run


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below `folder`: relative path -> bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
