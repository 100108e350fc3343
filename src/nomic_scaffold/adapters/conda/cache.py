"""Unpacked packages, in the layout that rattler links from: every byte is checked before it goes anywhere.

rattler's own validation would believe an unpacked package's own list of files; this one believes the archive's.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters.conda.archive import Archives, stem
from nomic_scaffold.disk.atomic import write_bytes
from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats.conda_package import INFO
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.package import PackagedFile, PackageManifest

_STAGE = ".unpacking-"


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A package, its manifest, and the folder that it is unpacked in."""

    package: LockedPackage
    manifest: PackageManifest
    folder: Path


def unpacked(cache: Path, package: LockedPackage, manifest: PackageManifest) -> Unpacked:
    """Say where a package is unpacked, or will be."""
    return Unpacked(package=package, manifest=manifest, folder=folder_in(cache, package))


def folder_in(cache: Path, package: LockedPackage) -> Path:
    """Say where the unpacked package is: by its sha256, since channels may have packages of one name and build.

    The last part of the path is what rattler looks for in its caches.
    """
    assert package.sha256 is not None
    return cache / "unpacked" / package.sha256 / stem(package)


def damaged(entries: Sequence[Unpacked], *, advance: Callable[[int], None] | None = None) -> list[Unpacked]:
    """Find the unpacked packages that are missing, or differ in any byte from what their archive says."""
    bad: set[int] = set()
    paths: list[str] = []
    expected: list[tuple[int, str | None]] = []
    for number, entry in enumerate(entries):
        root = str(entry.folder)
        told = dict(entry.manifest.info)
        for name in INFO:  # rattler believes these: what they say must be what was looked into
            if name in told:
                paths.append(f"{root}/info/{name}")
                expected.append((number, told[name]))
            elif os.path.lexists(f"{root}/info/{name}"):
                bad.add(number)
        for file in entry.manifest.files:
            path = f"{root}/{file.path}"
            if not _looks_right(path, file):
                bad.add(number)
                break
            if file.sha256 is not None:
                paths.append(path)
                expected.append((number, file.sha256))
    for (number, wanted), found in zip(expected, sha256_files(paths, advance=advance), strict=True):
        if isinstance(found, OSError) or found[0] != wanted:
            bad.add(number)
    return [entry for number, entry in enumerate(entries) if number in bad]


def _looks_right(path: str, file: PackagedFile) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if file.link is not None:
        return stat.S_ISLNK(found.st_mode) and os.readlink(path) == file.link  # noqa: PTH115
    if file.sha256 is None:
        return stat.S_ISDIR(found.st_mode)
    return stat.S_ISREG(found.st_mode) and found.st_size == file.size


def unpack(entry: Unpacked, archives: Archives) -> None:
    """Unpack an archive anew; an older folder of that name gives way at the end, in one step."""
    from filelock import FileLock
    from rattler.package_streaming import extract

    archive = archives.place(entry.package)
    cache = entry.folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{entry.folder}.nomic-scaffold.lock"):
        for left in leftovers(entry):
            shutil.rmtree(left, ignore_errors=True)
        if not damaged([entry]):
            return  # another process was first
        stage = Path(tempfile.mkdtemp(dir=cache, prefix=_STAGE))
        try:
            try:
                extract(archive, stage / "new")
            except Exception as error:  # rattler raises some 35 classes with no common base
                raise UnavailableError(
                    f"can't unpack {archive.name} into {cache}: {error}", hint="make room, then: nomic-scaffold install"
                ) from error
            if entry.folder.exists():
                entry.folder.rename(stage / "old")
            _tell_rattler(entry)
            (stage / "new").rename(entry.folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def leftovers(entry: Unpacked) -> list[Path]:
    """Give what a run at work, or a killed one, has beside the unpacked package; `unpack` removes the latter."""
    return list(entry.folder.parent.glob(f"{_STAGE}*"))


def _tell_rattler(entry: Unpacked) -> None:
    """Write what rattler keeps beside each folder: a revision, and the archive's sha256 (its cache_lock.rs)."""
    assert entry.package.sha256 is not None
    beside = entry.folder.with_name(f"{entry.folder.name}.lock")
    write_bytes(beside, (1).to_bytes(8, "big") + bytes.fromhex(entry.package.sha256))
