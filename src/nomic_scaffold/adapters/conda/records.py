"""Read `conda-meta/`: what an environment says of itself, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nomic_scaffold.adapters.conda.signatures import NotedRecord
from nomic_scaffold.models.evidence import InstalledPackage
from nomic_scaffold.models.lock import LockedPackage

META = "conda-meta"
STATE = "conda-meta/state"
"""Where conda and mamba keep variables that they set in whoever activates the environment."""
_NO_RECORDS = frozenset({"nomic-scaffold-left-out.json", "initial-state.json"})


@dataclass(frozen=True, kw_only=True)
class RecordedFile:
    """A file as the environment's own record has it."""

    path: str
    sha256: str | None
    """Of the content in this prefix, where the record says."""
    link: bool
    size: int | None
    """Of the content in this prefix; None where the record gives the package's."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One package as `conda-meta/*.json` has it."""

    path: Path
    package: InstalledPackage
    archive: Path | None
    """Where the installer says that it keeps the archive."""
    unpacked: Path | None
    """Where the installer says that it unpacked the archive."""
    listed: tuple[Mapping[str, Any], ...] = field(repr=False)
    """The entries of its files, as written."""

    @property
    def files(self) -> Iterator[RecordedFile]:
        """The files that it lists."""
        return map(_file, self.listed)


def read_records(prefix: Path, known: Mapping[str, NotedRecord] | None = None) -> tuple[list[Record], list[Path]]:
    """Read all records of a prefix, sorted by name, and the files among them that can't be read.

    Those that are as they were `known` are not read again, and tell no files.
    """
    records, broken = [], []
    for path in sorted((prefix / META).glob("*.json")):
        if path.name in _NO_RECORDS:
            continue
        try:
            noted = (known or {}).get(path.name)
            if noted is not None and noted.still(path.stat()):
                records.append(Record(path=path, package=noted.package, archive=None, unpacked=None, listed=()))
            else:
                records.append(_record(path, json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            broken.append(path)
    return sorted(records, key=lambda r: r.package.name), broken


def superfluous(records: Iterable[Record], locked: Mapping[str, LockedPackage]) -> list[Record]:
    """Give all records but one of each package that has several: the locked one stays, else the last."""
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record.package.name, []).append(record)
    found = []
    for name, several in by_name.items():
        of_lock = [r for r in several if name in locked and is_locked(r, locked[name])]
        kept = (of_lock or several)[-1]
        found += [record for record in several if record is not kept]
    return found


def is_locked(record: Record, package: LockedPackage) -> bool:
    """Say whether a record is of the locked version and build."""
    seen = record.package
    return seen.version == package.version and (package.build is None or seen.build == package.build)


def _record(path: Path, data: Mapping[str, Any]) -> Record:
    url = data.get("url") or None
    archive, unpacked = data.get("package_tarball_full_path"), data.get("extracted_package_dir")
    paths = (data.get("paths_data") or {}).get("paths")
    if paths is None:
        paths = [{"_path": name} for name in data.get("files", [])]
    return Record(
        path=path,
        package=InstalledPackage(
            name=str(data["name"]),
            version=str(data["version"]),
            manager="conda",
            build=data.get("build") or data.get("build_string"),
            channel=channel_of(url) if url else data.get("channel"),
            url=url,
            sha256=data.get("sha256") or None,
            md5=data.get("md5") or None,
        ),
        archive=Path(archive) if archive else None,
        unpacked=Path(unpacked) if unpacked else None,
        listed=tuple(paths),
    )


def _file(entry: Mapping[str, Any]) -> RecordedFile:
    replaced = bool(entry.get("prefix_placeholder"))
    inside = entry.get("sha256_in_prefix")
    return RecordedFile(
        path=entry["_path"],
        sha256=inside or (None if replaced else entry.get("sha256")),
        link=entry.get("path_type") == "softlink",
        size=None if replaced else entry.get("size_in_bytes"),
    )


def variables(prefix: Path) -> list[str]:
    """Name the variables that activating the environment sets, but for those of its packages' own scripts."""
    try:
        state = json.loads((prefix / STATE).read_bytes())
        return sorted(map(str, state.get("env_vars", {})))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError):
        return ["what can't be read"]


def channel_of(url: str) -> str:
    """Give the channel that an archive's address is in: the address without subdir and file name."""
    return url.rsplit("/", 2)[0]
