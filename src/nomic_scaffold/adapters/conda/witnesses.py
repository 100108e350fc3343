"""Find the archives that an environment was made from, wherever its installer keeps them, and hear what they say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters.conda.archive import Archives, file_name
from nomic_scaffold.adapters.conda.cache import folder_in
from nomic_scaffold.adapters.conda.records import Record
from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.errors import InputError
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.package import PackageManifest


@dataclass(frozen=True, kw_only=True)
class Witness:
    """An archive whose bytes are the lock's, and its manifest."""

    package: LockedPackage
    archive: Path
    manifest: PackageManifest


def find_witnesses(
    packages: Iterable[tuple[LockedPackage, Record]],
    archives: Archives,
    *,
    fetch: Callable[[Sequence[LockedPackage]], None] | None = None,
) -> tuple[list[Witness], dict[str, str]]:
    """Give a witness for each package that has one, and for the others (by name) why not.

    Every byte of each archive is hashed; what it says of its files is read from it, not from notes made earlier.
    `fetch` may bring archives that are nowhere here.
    """
    pairs = list(packages)
    witnesses, lacking = _find(pairs, archives)
    if lacking and fetch is not None:
        absent = [pair for pair in pairs if pair[0].name in lacking]
        fetch([package for package, _ in absent])
        more, lacking = _find(absent, archives)
        witnesses += more
    return witnesses, lacking


def _find(pairs: Sequence[tuple[LockedPackage, Record]], archives: Archives) -> tuple[list[Witness], dict[str, str]]:
    places = [(p, place) for p, record in pairs for place in _candidates(p, record, archives) if place.is_file()]
    right: dict[str, Path] = {}
    wrong: dict[str, Path] = {}
    for (package, place), found in zip(places, sha256_files([str(place) for _, place in places]), strict=True):
        if not isinstance(found, OSError) and found[0] == package.sha256:
            right.setdefault(package.name, place)
        else:
            wrong.setdefault(package.name, place)
    witnesses, lacking = [], {}
    for package, _ in pairs:
        try:
            if package.name in right:
                manifest = archives.witnessed(package, right[package.name])
                witnesses.append(Witness(package=package, archive=right[package.name], manifest=manifest))
            elif package.name in wrong:
                lacking[package.name] = f"{wrong[package.name].name} in the cache is not the locked archive any more"
            else:
                lacking[package.name] = f"{file_name(package)} is not in any package cache here"
        except InputError as error:
            lacking[package.name] = error.message
    return witnesses, lacking


def _candidates(package: LockedPackage, record: Record, archives: Archives) -> Iterator[Path]:
    """Name the places of the archive: ours, what the record says, the caches of conda and mamba."""
    yield archives.place(package)
    if record.archive is not None:
        yield record.archive
    if record.unpacked is not None:
        yield record.unpacked.parent / file_name(package)
    for folder in os.environ.get("CONDA_PKGS_DIRS", "").replace(",", os.pathsep).split(os.pathsep):
        if folder:
            yield Path(folder) / file_name(package)


def unpacked_folders(witnesses: Iterable[Witness], records: Mapping[str, Record], cache: Path) -> dict[str, Path]:
    """Say where packages may lie unpacked: originals are quicker to read there than out of the archive."""
    folders = {}
    for witness in witnesses:
        recorded = records[witness.package.name].unpacked if witness.package.name in records else None
        for folder in (folder_in(cache, witness.package), recorded):
            if folder is not None and folder.is_dir():
                folders[witness.package.name] = folder
                break
    return folders
