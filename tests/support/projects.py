"""Whole generated projects with the official model file in place, and Pythons to run them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nomic_scaffold.adapters import project, template
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.formats.answers import resolve
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator

PACKAGE = "my_project"


def make_generated_project(folder: Path, weights: Path | None = None) -> Path:
    """Render the template with the default answers into `folder`, with golden vectors and, if given, the model file."""
    folder.mkdir(parents=True, exist_ok=True)
    template.render(folder, resolve({}, folder="my-project"))
    (folder / "locks").mkdir(exist_ok=True)
    shutil.copy(shipped("golden", "nomic-embed-text-v1.5.json"), folder / "locks" / "golden.json")
    if weights is not None:
        place = project.weights_path(folder, project.read_spec(folder))
        place.parent.mkdir(parents=True)
        try:
            os.link(weights, place)
        except OSError:
            shutil.copy(weights, place)
    return folder


def pin(project: Path, file: Path) -> None:
    """Write another model file into scaffold.toml."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    path = project / "scaffold.toml"
    text = path.read_text(encoding="utf-8")
    for key, value in {"file": f'"{file.name}"', "sha256": f'"{digest}"', "size": str(file.stat().st_size)}.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert count == 1, key
    path.write_text(text, encoding="utf-8")


def spec_of(root: Path) -> ProjectSpec:
    """Read the project's specification."""
    return project.read_spec(root)


def prefix_of(python: Path) -> Prefix:
    """Point at a virtual environment of the tests by its Python."""
    return Prefix(path=python.parent.parent, provider="pypi", accelerator=Accelerator.CPU, python=python)


def run_in(
    python: Path, root: Path, script: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with the project's package importable."""
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONUTF8": "1", **variables}
    return subprocess.run(
        [str(python), "-B", "-c", script, *arguments],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


@pytest.fixture(scope="session")
def generated_project(tmp_path_factory: pytest.TempPathFactory, official_weights: Path) -> Path:
    """A project with the default answers and the official model file; not to be changed."""
    return make_generated_project(tmp_path_factory.mktemp("generated") / "my-project", official_weights)
