"""The tool's own image, which makes a project's environment: built once from what is installed here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nomic_scaffold import __version__
from nomic_scaffold.adapters import pypi
from nomic_scaffold.adapters.conda.archive import cache_root
from nomic_scaffold.adapters.container import building, context
from nomic_scaffold.adapters.container import engine as docker
from nomic_scaffold.adapters.pypi.download import ARCHITECTURES
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.disk.shipped import PACKAGE, shipped
from nomic_scaffold.errors import InputError, UnavailableError
from nomic_scaffold.formats import dockerfile, requirements
from nomic_scaffold.models.image import Builder
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform

NAME = "nomic-scaffold"
_SHIPPED = ("Dockerfile", "pyproject.toml", "README.md", "LICENSE", "copier.yml", "template", "locks")
"""What stands at the top of the tool's repository, and in the wheel under `_data`."""
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def source() -> dict[str, Path]:
    """Give name -> file of the tool's source, the same from a repository and from an installed wheel."""
    members = context.members_of(PACKAGE, "src/nomic_scaffold")
    for name in _SHIPPED:
        again = f"src/nomic_scaffold/_data/{name}"
        members = {at: path for at, path in members.items() if at != again and not at.startswith(f"{again}/")}
        members |= context.members_of(shipped(name), name)
    return members


def have(
    client: Any,
    work: Path,
    *,
    base: str | None,
    platform: Platform,
    builder: Builder,
    offline: bool,
    progress: Progress,
) -> str:
    """Give the name of the tool's image, after building it where the engine lacks it; no network in the build."""
    members = source()
    named = base or dockerfile.default(members["Dockerfile"].read_text(encoding="utf-8"), "BASE")
    if named is None:
        raise InputError("sets no BASE", path="Dockerfile of the tool")
    tag = f"{NAME}:{__version__}-{_digest(members, named, platform)[:12]}"
    if docker.find(client, tag) is not None:
        return tag
    progress.say(f"building {tag} once: the tool's own image, which makes the environment")
    docker.have(client, named, platform=platform, progress=progress)
    code, out, err = docker.run_sealed(client, named, ["python3", "-c", _VERSION], files={}, mounts={}, timeout=120)
    if code:
        raise UnavailableError(f"{named} has no Python: {err.strip()[-200:]}", hint="--builder-base IMAGE")
    wheels = _wheels(members, python=out.strip(), platform=platform, offline=offline, progress=progress)
    tar = work / "tool.tar"
    context.write_context(tar, {**members, **wheels})
    try:
        order = building.Order(context=tar, tag=tag, arguments={"BASE": named, "PIP_NO_INDEX": "1"}, platform=platform)
        building.build(client, order, builder=builder, log=work / "build.log", progress=progress)
    finally:
        tar.unlink(missing_ok=True)
    docker.also_tag(client, tag, f"{NAME}:{__version__}")  # what a generated Dockerfile names
    return tag


def _wheels(
    members: Mapping[str, Path], *, python: str, platform: Platform, offline: bool, progress: Progress
) -> dict[str, Path]:
    text = members["locks/tool/requirements.txt"].read_text(encoding="utf-8")
    lines = requirements.lines_for(text, python=python, machine=ARCHITECTURES[platform])
    name = hashlib.sha256(json.dumps([lines, python, platform]).encode()).hexdigest()[:16]
    folder = cache_root() / "tool-wheels" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = pypi.wheelhouse(lines, folder, python=python, platform=platform, offline=offline, progress=progress)
    return {f"wheelhouse/{path.name}": path for path in found}


def _digest(members: Mapping[str, Path], base: str, platform: Platform) -> str:
    parts = [base, platform, *(f"{name} {sha256_file(path)}" for name, path in sorted(members.items()))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
