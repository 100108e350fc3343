"""Read a generated project's own files."""

from __future__ import annotations

from pathlib import Path

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import environment_yml, scaffold_toml
from nomic_scaffold.models.spec import ProjectSpec

STATE = ".nomic-scaffold"
"""Folder of a project for what git ignores: environments, the model file, evidence."""


def read_spec(root: Path) -> ProjectSpec:
    """Read and resolve environment.yml and scaffold.toml of the project at `root`.

    Raises InputError that names the file and the line.
    """
    toml = scaffold_toml.parse(_text(root / scaffold_toml.NAME))
    environment = environment_yml.parse(_text(root / environment_yml.NAME))
    return scaffold_toml.resolve(toml, environment)


def environment_path(root: Path, variant: str) -> Path:
    """Give the folder of the project's environment `variant`: `cpu`, `cuda` or `pypi`."""
    return root / STATE / "envs" / variant


def weights_path(root: Path, spec: ProjectSpec) -> Path:
    """Give the place where the project's code looks for its model file."""
    return root / STATE / "weights" / spec.model.file


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("is missing", path=path, hint="restore it from git: git checkout -- " + path.name) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8") from error
