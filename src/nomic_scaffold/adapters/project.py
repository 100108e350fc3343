"""Read a generated project's own files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import environment_yml, pylock, scaffold_toml
from nomic_scaffold.models import witness
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.prefix import Prefix, Provider
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator

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


def read_pylock(root: Path) -> PypiLock:
    """Read locks/pylock.toml; raises InputError that names the file and the line."""
    path = root / "locks" / pylock.NAME
    try:
        return pylock.parse(path.read_text(encoding="utf-8"), path=f"locks/{pylock.NAME}")
    except FileNotFoundError as error:
        raise InputError("is missing", path=f"locks/{pylock.NAME}", hint="make it: nomic-scaffold lock") from error


def find_prefix(root: Path, provider: Provider | None = None) -> Prefix | None:
    """Find the project's environment: the one installed last, of `provider` if given; None when none is finished."""
    found = []
    for path in (root / STATE / "envs").glob(f"[!.]*/{witness.NAME}"):
        prefix = read_prefix(path.parent)
        if prefix is not None and provider in (None, prefix.provider):
            found.append((path.stat().st_mtime_ns, prefix.path.name, prefix))
    return max(found)[2] if found else None


def read_prefix(path: Path) -> Prefix | None:
    """Describe the finished environment at `path`; None when there is none."""
    try:
        seen = json.loads((path / witness.NAME).read_bytes())
        made_by: Provider = seen["provider"]
        accelerator = Accelerator(seen["accelerator"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sys.platform == "win32":
        python = path / "python.exe" if made_by == "conda" else path / "Scripts" / "python.exe"
    else:
        python = path / "bin" / "python"
    return Prefix(path=path, provider=made_by, accelerator=accelerator, python=python)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("is missing", path=path, hint="restore it from git: git checkout -- " + path.name) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8") from error
