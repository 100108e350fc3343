"""The build context: a tar file with exactly the files that an image needs, the same bytes for the same files."""

from __future__ import annotations

import io
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


def project_members(root: Path) -> dict[str, Path]:
    """Give name in the context -> file, of all that a project's image is made of."""
    members: dict[str, Path] = {}
    for part in PROJECT_PARTS:
        members |= members_of(root / part, part)
    return members


def members_of(path: Path, name: str) -> dict[str, Path]:
    """Give name in the context -> file, of a file or a folder that is to stand there as `name`."""
    if path.is_dir():
        members = {}
        for entry in sorted(path.rglob("*")):
            relative = entry.relative_to(path)
            hidden = any(part == "__pycache__" or part.endswith(".part") for part in relative.parts)
            if entry.is_file() and not hidden:
                members[f"{name}/{relative.as_posix()}"] = entry
        return members
    return {name: path} if path.is_file() else {}


def write_context(destination: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a context: name inside it -> file here, or its content.

    Members are sorted, owned by nobody in particular, and bear no times, so that the engine's cache holds.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(destination, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            content = members[name]
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
                continue
            status = content.stat()
            member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
            with content.open("rb") as file:
                tar.addfile(member, file)
