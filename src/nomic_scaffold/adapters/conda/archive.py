"""The archives of packages: fetch them by hash, look into them before anything is unpacked, keep them as witnesses.

An archive is the one thing that the lock pins. It is kept (as conda keeps them), because what it holds is what an
environment is judged by: lock -> sha256 of the archive -> its list of files -> each file.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import zstandard

from nomic_scaffold.disk.atomic import write_bytes
from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import conda_package
from nomic_scaffold.formats.conda_members import Member, plain, refusal
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.package import PackageManifest

EXTENSIONS = (".conda", ".tar.bz2")


def file_name(package: LockedPackage) -> str:
    """Give the archive's file name."""
    return package.url.rsplit("/", 1)[-1]


def stem(package: LockedPackage) -> str:
    """Give `name-version-build` as in the archive's file name."""
    name = file_name(package)
    return next((name.removesuffix(e) for e in EXTENSIONS if name.endswith(e)), name)


@dataclass(frozen=True, kw_only=True)
class Archives:
    """A folder of archives by their sha256, each with its manifest beside it."""

    root: Path

    def place(self, package: LockedPackage) -> Path:
        """Say where the archive of `package` is, or will be."""
        assert package.sha256 is not None
        return self.root / package.sha256 / file_name(package)

    def manifest(self, package: LockedPackage) -> PackageManifest | None:
        """Read the manifest that was made when the archive was first looked at; None when there is none, or damaged."""
        try:
            return conda_package.loads(self._manifest_place(package).read_bytes())
        except (OSError, ValueError):
            return None

    def witnessed(self, package: LockedPackage, archive: Path | None = None) -> PackageManifest:
        """Give what an archive whose hash is known to be right holds; a note made earlier counts if the archive agrees.

        Raises InputError as `look` does.
        """
        place = archive or self.place(package)
        noted = self.manifest(package)
        if noted is not None and place.suffix == ".conda" and conda_package.agrees(noted, read_info(place)):
            return noted
        return self.look(package, place)

    def look(self, package: LockedPackage, archive: Path | None = None) -> PackageManifest:
        """Look into an archive whose hash is known to be right, and note what it holds.

        Raises InputError when it would write outside the prefix, or can't be read.
        """
        found = read_manifest(archive or self.place(package))
        if (found.name, found.version, found.build) != (package.name, package.version, package.build):
            raise InputError(
                f"the archive {file_name(package)} holds {found.name} {found.version} {found.build}",
                hint="the lock is wrong: nomic-scaffold lock",
            )
        self.note(package, found)
        return found

    def note(self, package: LockedPackage, manifest: PackageManifest) -> None:
        """Keep a manifest, so that the archive need not be read through again. Without room for it, it will be."""
        with suppress(OSError):
            write_bytes(self._manifest_place(package), conda_package.dumps(manifest))

    def _manifest_place(self, package: LockedPackage) -> Path:
        return self.root / (package.sha256 or "") / "manifest"

    def lacking(self, packages: Iterable[LockedPackage]) -> list[LockedPackage]:
        """Hash the archives that are there; give the packages whose archive is missing or is another."""
        wanted = list(packages)
        there = [p for p in wanted if self.place(p).is_file()]
        hashes = sha256_files([str(self.place(p)) for p in there])
        right = {
            p.sha256
            for p, found in zip(there, hashes, strict=True)
            if not isinstance(found, OSError) and found[0] == p.sha256
        }
        return [p for p in wanted if p.sha256 not in right]


def read_manifest(archive: Path) -> PackageManifest:
    """Look into an archive without unpacking it; raises InputError for one that no environment should take in."""
    try:
        info, members = _conda(archive) if archive.name.endswith(".conda") else _tar_bz2(archive)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise InputError(f"the archive {archive.name} can't be read: {error}", hint="nomic-scaffold install") from error
    return conda_package.manifest(info, members, package=archive.name)


def read_info(archive: Path) -> dict[str, bytes]:
    """Read only the `info/` of a `.conda` archive."""
    info: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(archive) as parts, _unpacked(parts, "info-") as tar:
            for entry in tar:
                if entry.isreg():
                    _take_info(tar, entry, info)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise InputError(f"the archive {archive.name} can't be read: {error}", hint="nomic-scaffold install") from error
    return info


def contents(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Read files out of an archive: (path, content) of those in `wanted`."""
    with _payload(archive) as tar:
        for entry in tar:
            name = plain(entry.name)
            if name in wanted and entry.isreg():
                file = tar.extractfile(entry)
                assert file is not None
                yield name, file.read()


def _conda(archive: Path) -> tuple[dict[str, bytes], list[Member]]:
    with zipfile.ZipFile(archive) as parts:
        for name in parts.namelist():
            if "/" in name or "\\" in name:
                raise refusal(archive.name, f"it holds {name!r}")
        info: dict[str, bytes] = {}
        members: list[Member] = []
        for part in ("info-", "pkg-"):
            with _unpacked(parts, part) as tar:
                for entry in tar:
                    members.append(_member(entry))
                    place = plain(entry.name)
                    if place and (place.partition("/")[0] == "info") != (part == "info-"):
                        raise refusal(archive.name, f"its entry {entry.name!r} is in the part {part}*")
                    if part == "info-" and entry.isreg():
                        _take_info(tar, entry, info)
    return info, members


def _tar_bz2(archive: Path) -> tuple[dict[str, bytes], list[Member]]:
    info: dict[str, bytes] = {}
    members: list[Member] = []
    with _payload(archive) as tar:
        for entry in tar:
            member = _member(entry)
            if entry.isreg():
                _take_info(tar, entry, info)
                # Packages from before paths.json give no hashes: the archive itself is the witness of its files.
                if "paths.json" not in info and plain(entry.name).partition("/")[0] != "info":
                    member = replace(member, sha256=_hash(tar, entry))
            members.append(member)
    return info, members


def _hash(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    file = tar.extractfile(entry)
    assert file is not None
    hasher = hashlib.sha256()
    while block := file.read(1 << 20):
        hasher.update(block)
    return hasher.hexdigest()


def _take_info(tar: tarfile.TarFile, entry: tarfile.TarInfo, info: dict[str, bytes]) -> None:
    folder, _, name = plain(entry.name).partition("/")
    if folder == "info" and name in conda_package.INFO:
        file = tar.extractfile(entry)
        assert file is not None
        info[name] = file.read()


@contextmanager
def _payload(archive: Path) -> Iterator[tarfile.TarFile]:
    if archive.name.endswith(".conda"):
        with zipfile.ZipFile(archive) as parts, _unpacked(parts, "pkg-") as tar:
            yield tar
    else:
        with tarfile.open(archive, "r|bz2") as tar:
            yield tar


@contextmanager
def _unpacked(parts: zipfile.ZipFile, start: str) -> Iterator[tarfile.TarFile]:
    names = [name for name in parts.namelist() if name.startswith(start) and name.endswith(".tar.zst")]
    if len(names) != 1:
        raise zipfile.BadZipFile(f"it holds {len(names)} parts of the name {start}*.tar.zst")
    with (
        parts.open(names[0]) as packed,
        zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as plain,
        tarfile.open(fileobj=_Buffered(plain), mode="r|") as tar,
    ):
        yield tar


class _Buffered(io.RawIOBase):
    """Gives tarfile what it asks for in few large reads."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = io.BufferedReader(source, 1 << 20)  # type: ignore[type-var]

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)


def _member(entry: tarfile.TarInfo) -> Member:
    kind = "file" if entry.isreg() else "link" if entry.issym() else "hard" if entry.islnk() else "special"
    kind = "directory" if entry.isdir() else kind
    name = entry.name if kind == "directory" or not entry.name.startswith("./") else entry.name[2:]
    return Member(name, kind, entry.size, entry.mode & 0o7777, entry.linkname)


def archives_in(cache: Path) -> Archives:
    """Give the archives of a package cache."""
    return Archives(root=cache / "archives")


def cache_root(environ: dict[str, str] | None = None) -> Path:
    """Give the package cache: NOMIC_SCAFFOLD_PKGS, or a folder of the user's cache."""
    import platformdirs

    named = (os.environ if environ is None else environ).get("NOMIC_SCAFFOLD_PKGS")
    return Path(named).resolve() if named else platformdirs.user_cache_path("nomic-scaffold") / "pkgs"
