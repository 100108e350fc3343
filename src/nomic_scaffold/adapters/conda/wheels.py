"""Wheels as witnesses of what pip or uv put into an environment: kept by their sha256, and looked into.

As with conda's packages, the archive is the one thing that the lock pins; what the environment says of itself (the
RECORD that the installer wrote, this tool's own note) can be changed together with the files.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.formats import wheel
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.package import PythonLayout
from nomic_scaffold.models.wheel import WheelContents, WheelFile, WheelMember

Bring = Callable[[Sequence[LockedPackage], Path], None]
"""Puts the wheels of these packages into a folder, each as `<sha256>/<file name>`; says what it can't get."""


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """Where wheels are found."""

    cache: Path
    """A package cache; wheels are kept in a folder of it."""
    folders: tuple[Path, ...] = ()
    """Further folders of wheel files."""
    bring: Bring | None = None
    """Gets what is nowhere here."""

    @property
    def store(self) -> Path:
        """Where wheels are kept, by sha256."""
        return self.cache / "wheels"

    def candidates(self, package: LockedPackage) -> Iterator[Path]:
        """Name the places where the wheel of a package may be."""
        name = wheel.file_name(package.url)
        yield self.store / (package.sha256 or "") / name
        for folder in self.folders:
            yield folder / name


@dataclass(frozen=True, kw_only=True)
class Found:
    """Wheels whose bytes are the lock's, by the package's name, and why there are not more."""

    wheels: Mapping[str, Path]
    lacking: Mapping[str, str]


def find_wheels(packages: Sequence[LockedPackage], places: Wheels) -> Found:
    """Find the locked wheels; every byte of each is hashed."""
    found = _find(packages, places)
    if found.lacking and places.bring is not None:
        absent = [package for package in packages if package.name in found.lacking]
        places.bring(absent, places.store)
        more = _find(absent, places)
        return Found(wheels={**found.wheels, **more.wheels}, lacking=more.lacking)
    return found


def _find(packages: Sequence[LockedPackage], places: Wheels) -> Found:
    there = [(p, place) for p in packages for place in places.candidates(p) if place.is_file()]
    right: dict[str, Path] = {}
    for (package, place), seen in zip(there, sha256_files([str(place) for _, place in there]), strict=True):
        if not isinstance(seen, OSError) and seen[0] == package.sha256:
            right.setdefault(package.name, place)
    lacking = {
        p.name: f"the locked wheel {wheel.file_name(p.url)} is not here" for p in packages if p.name not in right
    }
    return Found(wheels=right, lacking=lacking)


def must_be(
    wheels: Mapping[str, Path], python: PythonLayout | None, *, prefix: str
) -> tuple[dict[str, list[WheelFile]], dict[str, str]]:
    """Say what each wheel must have left in the environment `prefix`, and of which this can't be said, and why."""
    found, unreadable = {}, {}
    for name, path in wheels.items():
        try:
            if python is None:
                raise ValueError("the environment has no Python")
            found[name] = list(wheel.placed(read_wheel(path), python=python, prefix=prefix, project=name))
        except ValueError as error:
            unreadable[name] = str(error)
    return wheel.together(found), unreadable


def read_wheel(path: Path) -> WheelContents:
    """Look into a wheel; raises ValueError for a file that is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            stem = _stem([info.filename for info in infos])
            hashes = _record(archive, stem)
            members = tuple(
                _member(archive, info, stem, hashes) for info in infos if info.filename != f"{stem}.dist-info/RECORD"
            )
            points = f"{stem}.dist-info/entry_points.txt"
            text = archive.read(points).decode("utf-8") if points in archive.NameToInfo else ""
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"the wheel {path.name} can't be read: {error}") from error
    return WheelContents(stem=stem, members=members, programs=wheel.programs(text))


def _stem(names: Sequence[str]) -> str:
    for name in names:
        top, _, rest = name.partition("/")
        if top.endswith(".dist-info") and rest == "RECORD":
            return top.removesuffix(".dist-info")
    raise ValueError("it has no RECORD")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, stem: str, hashes: Mapping[str, str]) -> WheelMember:
    name = info.filename
    sha256 = hashes.get(name)
    script = name.startswith(f"{stem}.data/scripts/")
    content = archive.read(info) if script or sha256 is None else None
    return wheel.member(
        name,
        sha256=sha256 or hashlib.sha256(content or b"").hexdigest(),
        size=info.file_size,
        executable=bool(info.external_attr >> 16 & 0o111),
        stem=stem,
        content=content if script else None,
    )


def _record(archive: zipfile.ZipFile, stem: str) -> dict[str, str]:
    """Read the hashes of a wheel's own RECORD; what it does not tell is hashed from the wheel."""
    hashes = {}
    for row in csv.reader(archive.read(f"{stem}.dist-info/RECORD").decode("utf-8").splitlines()):
        algorithm, _, digest = (row[1] if len(row) > 1 else "").partition("=")
        if algorithm == "sha256":
            try:
                hashes[row[0]] = base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
            except binascii.Error:
                continue
    return hashes
