"""The build context: a tar file with exactly the files that an image needs, the same bytes for the same files."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

PROJECT_PARTS = (
    "Dockerfile",
    ".dockerignore",
    "environment.yml",
    "scaffold.toml",
    "conda-lock.yml",
    "locks",
    "pyproject.toml",
    "README.md",
    "src",
    "tests",
)


def write_context(root: Path, destination: Path, *, extra: Mapping[str, Path]) -> None:
    """Write the context of the project at `root`; `extra` maps names inside it to folders or files.

    Members are sorted, owned by nobody in particular, and bear no times, so that the engine's cache holds.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    members: dict[str, Path] = {}
    for part in PROJECT_PARTS:
        _collect(root / part, part, members)
    for name, path in extra.items():
        _collect(path, name, members)
    with tarfile.open(destination, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            path = members[name]
            member = tarfile.TarInfo(name)
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)


def _collect(path: Path, name: str, members: dict[str, Path]) -> None:
    if path.is_dir():
        for entry in sorted(path.rglob("*")):
            relative = entry.relative_to(path)
            hidden = any(part == "__pycache__" or part.endswith(".part") for part in relative.parts)
            if entry.is_file() and not hidden:
                members[f"{name}/{relative.as_posix()}"] = entry
    elif path.is_file():
        members[name] = path
