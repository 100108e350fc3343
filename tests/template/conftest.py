"""Rendered projects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.adapters import template
from nomic_scaffold.formats.answers import resolve

ROOT = Path(__file__).resolve().parents[2]
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
def plain_copier(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the copier command on the template, as somebody without this tool does."""

    def run(destination: Path, **data: str) -> subprocess.CompletedProcess[str]:
        answers = [f"--data={key}={value}" for key, value in data.items()]
        source = tmp_path_factory.mktemp("template")
        copy_template(source)
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


def copy_template(folder: Path) -> None:
    """Copy copier.yml and template/ out of this repository, of which Copier would take the last tag."""
    shutil.copy(ROOT / "copier.yml", folder)
    shutil.copytree(ROOT / "template", folder / "template", ignore=shutil.ignore_patterns("__pycache__"))


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below `folder`: relative path -> bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
