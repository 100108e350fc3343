"""Work out what packages must have left in a prefix, from what their archives hold and from nothing in the prefix."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters.conda.archive import contents
from nomic_scaffold.formats import conda_package, conda_prefix
from nomic_scaffold.formats.conda_members import leaves, refusal
from nomic_scaffold.models.package import EntryPoint, PackagedFile, PackageManifest, PythonLayout
from nomic_scaffold.models.variant import Platform

CLOBBERED = "__clobbers__"
"""Folder of a prefix where rattler puts a file whose place another package has taken: `<package>/<path>` in it."""
LAUNCHERS = frozenset({"28b001bb9a72ae7a24242bfab248d767a1ac5dec981c672a3944f7a072375e9a"})
"""sha256 of the program that conda installers put beside entry points on Windows."""


_COMPILED = re.compile(r"(?:^|/)__pycache__/(?P<module>[^/.]+)\.[^/]*\.pyc(?:\.\d+)?$")
"""A compiled module where Python keeps those of its own making; it writes to a name with a number first."""
_UNSIGNED = "unsigned:"
"""Stands before the sha256 of a content without its macOS signature."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One file that must be in the prefix."""

    path: str
    owner: str
    source: PackagedFile | None
    """None for what an installer generates."""
    point: EntryPoint | None = None

    @property
    def link(self) -> str | None:
        """What a symbolic link must say."""
        return self.source.link if self.source else None

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return self.source is not None and self.source.folder

    @property
    def made(self) -> bool:
        """Whether its content depends on the prefix."""
        return self.source is None or self.source.placeholder is not None

    @property
    def size(self) -> int | None:
        """Bytes; None where they depend on the prefix."""
        if self.source is None or self.source.file_mode == "text":
            return None
        signed_here = sys.platform == "darwin" and self.source.file_mode == "binary"
        return None if signed_here else self.source.size

    @property
    def mode(self) -> int:
        """Permission bits; the tools agree on who may execute a file, and little else."""
        return self.source.mode & 0o777 if self.source else 0o775


def python_of(
    manifests: Iterable[PackageManifest], platform: Platform, *, recorded: str | None = None
) -> PythonLayout | None:
    """Say where the environment's Python keeps things; None without a python package.

    `recorded` is the version of a python that the environment has and whose archive is not at hand.
    """
    for manifest in manifests:
        if manifest.name == "python":
            return conda_package.python_layout(
                manifest.version, windows=platform is Platform.WIN_64, site_packages=manifest.site_packages
            )
    return conda_package.python_layout(recorded, windows=platform is Platform.WIN_64) if recorded else None


def expected_files(
    manifests: Sequence[PackageManifest], platform: Platform, python: PythonLayout | None
) -> dict[str, list[Expected]]:
    """Give every file that the packages must have left: path -> who may have put it there."""
    found: dict[str, list[Expected]] = {}
    for manifest in manifests:
        for file in manifest.files:
            path = conda_package.placed(file.path, manifest.noarch, python)
            found.setdefault(path, []).append(Expected(path, manifest.name, file))
        if python is None:
            continue
        for point in manifest.entry_points:
            for path in conda_prefix.program_names(point, python=python, platform=platform):
                found.setdefault(path, []).append(Expected(path, manifest.name, None, point))
    for path in [path for path in found if _stale(path, found)]:
        del found[path]
    return found


def refuse_links_outside(manifests: Iterable[PackageManifest], platform: Platform) -> None:
    """Raise InputError when links of several packages lead outside the prefix together, as none of them does alone."""
    manifests = list(manifests)
    python = python_of(manifests, platform)
    links, owners = {}, {}
    for manifest in manifests:
        for file in manifest.files:
            if file.link is not None:
                path = conda_package.placed(file.path, manifest.noarch, python)
                links[path], owners[path] = file.link, manifest.name
    for path, target in links.items():
        if leaves(path, links):
            raise refusal(owners[path], f"its link {path!r} leads to {target!r}, outside the prefix")


def refuse_clashes(manifests: Iterable[PackageManifest], platform: Platform) -> None:
    """Raise InputError when one package has a file or link where another has a folder.

    rattler links packages side by side, so it fails or gets by as it happens.
    """
    manifests = list(manifests)
    python = python_of(manifests, platform)
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for manifest in manifests:
        for file in manifest.files:
            path = conda_package.placed(file.path, manifest.noarch, python)
            (folders if file.folder else files).setdefault(path, manifest.name)
            above = path.rpartition("/")[0]
            while above and above not in folders:
                folders[above] = manifest.name
                above = above.rpartition("/")[0]
    for path in sorted(files.keys() & folders.keys()):
        raise refusal(files[path], f"it has a file {path!r} where {folders[path]} has a folder")


def is_compiled(path: str) -> bool:
    """Say whether this is a place that Python writes compiled modules to."""
    return _COMPILED.search(path) is not None


def _stale(path: str, found: Mapping[str, Sequence[Expected]]) -> bool:
    """Say whether Python will write this packaged file anew: its source holds the prefix, so it is another one here.

    Compiled files name the time and size of their source. Installers keep both, where they put no prefix in.
    """
    match = _COMPILED.search(path)
    if match is None:
        return False
    source = f"{path[: match.start()]}/{match['module']}.py".removeprefix("/")
    return any(one.made for one in found.get(source, ()))


def made_contents(
    wanted: Iterable[Expected],
    *,
    prefix: str,
    platform: Platform,
    python: PythonLayout | None,
    unpacked: Mapping[str, Path],
    archives: Mapping[str, Path],
) -> dict[tuple[str, str], frozenset[tuple[str, int]]]:
    """Compute what files that depend on the prefix may hold: (owner, path) -> allowed (sha256, size).

    The originals come from the unpacked package when its bytes are right, else out of the archive. Files whose
    original is nowhere are left out of the answer.
    """
    found: dict[tuple[str, str], frozenset[tuple[str, int]]] = {}
    from_archive: dict[str, dict[str, Expected]] = {}
    for one in wanted:
        if one.point is not None and python is not None:
            found[one.owner, one.path] = _program(one, prefix, python, platform)
        elif one.source is not None and one.source.placeholder is not None:
            made = _from_folder(one.source, unpacked.get(one.owner), prefix, platform)
            if made is not None:
                found[one.owner, one.path] = made
            else:
                from_archive.setdefault(one.owner, {})[one.source.path] = one
    for owner, files in from_archive.items():
        for path, data in contents(archives[owner], set(files)) if owner in archives else ():
            source = files[path].source
            if source is not None and hashlib.sha256(data).hexdigest() == source.sha256:
                found[owner, files[path].path] = _made(data, source, prefix, platform)
    return found


def _program(one: Expected, prefix: str, python: PythonLayout, platform: Platform) -> frozenset[tuple[str, int]]:
    assert one.point is not None
    if one.path.endswith(".exe") and platform is Platform.WIN_64:
        return frozenset((digest, -1) for digest in LAUNCHERS)
    scripts = conda_prefix.entry_point_scripts(one.point, prefix=prefix, python=python, platform=platform)
    return frozenset((hashlib.sha256(script).hexdigest(), len(script)) for script in scripts)


def _from_folder(
    source: PackagedFile, folder: Path | None, prefix: str, platform: Platform
) -> frozenset[tuple[str, int]] | None:
    if folder is None or not source.size:
        return None
    try:
        with (folder / source.path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # A view of a map must be gone before the map is closed: so no reference to one leaves this block.
            digest = hashlib.sha256(data).hexdigest()
            return _made(data, source, prefix, platform) if digest == source.sha256 else None
    except (OSError, ValueError):
        return None


def _made(data: bytes | mmap.mmap, source: PackagedFile, prefix: str, platform: Platform) -> frozenset[tuple[str, int]]:
    assert source.placeholder is not None
    assert source.file_mode is not None
    results = set()
    for pieces in conda_prefix.replaced(
        data, placeholder=source.placeholder, prefix=prefix, file_mode=source.file_mode, platform=platform
    ):
        hasher, size = hashlib.sha256(), 0
        for piece in pieces:
            hasher.update(piece)
            size += len(piece)
        results.add((hasher.hexdigest(), size))
        if platform is Platform.OSX_ARM64 and source.file_mode == "binary":
            results |= _whatever_the_signature(b"".join(pieces))
        for piece in pieces:
            if isinstance(piece, memoryview):
                piece.release()
    return frozenset(results)


def _whatever_the_signature(data: bytes) -> set[tuple[str, int]]:
    bare = conda_prefix.unsigned(data)
    return set() if bare is None else {(_UNSIGNED + hashlib.sha256(bare).hexdigest(), -1)}


def is_allowed(path: Path, digest: str, allowed: Container[str]) -> bool:
    """Say whether a file with this sha256 holds one of the allowed contents, a signature of this machine apart."""
    if digest in allowed:
        return True
    if sys.platform != "darwin":
        return False
    bare = conda_prefix.unsigned(path.read_bytes())
    return bare is not None and _UNSIGNED + hashlib.sha256(bare).hexdigest() in allowed


def empty_folders(prefix: Path) -> Iterator[Path]:
    """Give the folders of a prefix with nothing in them, inner ones first; removing one may empty the next."""
    for folder, _, files in os.walk(prefix, topdown=False):
        if not files and not os.listdir(folder) and folder != str(prefix):  # noqa: PTH208
            yield Path(folder)


def walk(prefix: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give every file and link of a prefix with its status; not conda-meta."""
    top = str(prefix)
    stack = [""]
    while stack:
        folder = stack.pop()
        with os.scandir(f"{top}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if path not in ("conda-meta", ".git"):
                        stack.append(path)
                else:
                    yield path, entry.stat(follow_symlinks=False)
