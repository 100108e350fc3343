"""What the installer saw last: size, times and sha256 of every file, so that a second look need not read them all.

A file whose size, times and inode are as they were is taken for unchanged; any other is read. The record lies in the
prefix, so it speaks for accidents, not against somebody who forges it: `verify --deep` does not use it.

A prefix has tens of thousands of files and is to be looked at in half a second: so they are kept in columns of plain
numbers, and no object is made for a file that is as it was. A line of JSON says which lock it was, a second one what is
told once; then come the paths, and the columns one after the other.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nomic_scaffold.disk.atomic import write_bytes
from nomic_scaffold.models.evidence import InstalledPackage

NAME = "conda-meta/nomic-scaffold.files"
_VERSION = 3
_COLUMNS = (("sizes", "q"), ("modes", "I"), ("modified", "q"), ("inodes", "Q"), ("owners", "H"))
_HASH = 32


class Signature(NamedTuple):
    """One file as it was."""

    owner: str
    """Name of the package; `pip:NAME` for what pip's part brought."""
    content: str | None
    """sha256; for a link what it says, with `->` before it; None for a folder."""
    size: int
    mode: int
    """Kind and permission bits."""
    modified: int
    """Nanoseconds. Not the status change: a hard link made elsewhere would alter that."""
    inode: int


@dataclass(frozen=True, kw_only=True)
class NotedRecord:
    """A record of conda-meta, and what it said."""

    size: int
    modified: int
    inode: int
    package: InstalledPackage

    def still(self, found: os.stat_result) -> bool:
        """Whether nothing has written or replaced the record since."""
        return (self.size, self.modified, self.inode) == (found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True, kw_only=True)
class Note:
    """All files of a finished prefix, in columns."""

    paths: Sequence[str]
    sizes: Sequence[int]
    modes: Sequence[int]
    modified: Sequence[int]
    inodes: Sequence[int]
    records: Mapping[str, NotedRecord]
    """By the name of the file in conda-meta."""
    pip: tuple[InstalledPackage, ...]
    """What pip's part holds."""
    owners: Sequence[int]
    names: Sequence[str]
    hashes: bytes
    told: Mapping[int, str | None]
    """What files have instead of a sha256, by their place."""

    def owner(self, place: int) -> str:
        """Give the package of a file."""
        return self.names[self.owners[place]]

    def content(self, place: int) -> str | None:
        """Give what a file held, as in a Signature."""
        if place in self.told:
            return self.told[place]
        return self.hashes[place * _HASH : (place + 1) * _HASH].hex()


def signature(found: os.stat_result, *, owner: str, content: str | None) -> Signature:
    """Note a file."""
    return Signature(owner, content, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ino)


def write(
    prefix: Path,
    signatures: Mapping[str, Signature],
    *,
    lock_digest: str,
    records: Iterable[tuple[Path, InstalledPackage]],
    pip: Iterable[InstalledPackage],
) -> None:
    """Write down all files of a finished prefix, the records of its packages, and what pip's part holds."""
    files = list(signatures.values())
    names = sorted({s.owner for s in files})
    number = {owner: place for place, owner in enumerate(names)}
    is_hash = [s.content is not None and not s.content.startswith("->") for s in files]
    paths = "\0".join(signatures).encode("utf-8", "surrogateescape")
    once = {
        "names": names,
        "paths": len(paths),
        "count": len(files),
        "told": [[place, s.content] for place, s in enumerate(files) if not is_hash[place]],
        "records": [_noted(path, package) for path, package in records],
        "pip": [package.model_dump(exclude_none=True) for package in pip],
    }
    columns = {
        "sizes": [s.size for s in files],
        "modes": [s.mode for s in files],
        "modified": [s.modified for s in files],
        "inodes": [s.inode for s in files],
        "owners": [number[s.owner] for s in files],
    }
    body = [
        json.dumps(once, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape"),
        b"\n",
        paths,
    ]
    body += [array(code, columns[name]).tobytes() for name, code in _COLUMNS]
    body += [bytes.fromhex(s.content or "") if there else bytes(_HASH) for s, there in zip(files, is_hash, strict=True)]
    data = b"".join(body)
    head = json.dumps({"version": _VERSION, "lock": lock_digest, "bytes": len(data)}).encode()
    write_bytes(prefix / NAME, head + b"\n" + data)


def _noted(path: Path, package: InstalledPackage) -> list[object]:
    seen = path.stat()
    return [path.name, seen.st_size, seen.st_mtime_ns, seen.st_ino, package.model_dump(exclude_none=True)]


def read(prefix: Path) -> Note | None:
    """Read what `write` wrote; None when there is nothing to rely on."""
    if read_digest(prefix) is None:
        return None
    try:
        _, once, data = (prefix / NAME).read_bytes().split(b"\n", 2)
        told = json.loads(once.decode("utf-8", "surrogateescape"))
        view, count = memoryview(data), told["count"]
        position = told["paths"]
        paths = bytes(view[:position]).decode("utf-8", "surrogateescape").split("\0") if count else []
        columns = {}
        for name, code in _COLUMNS:
            column = array(code)
            size = column.itemsize * count
            column.frombytes(view[position : position + size])
            columns[name], position = column, position + size
        hashes = bytes(view[position:])
        if len(hashes) != count * _HASH or len(paths) != count:
            return None
        return Note(
            paths=paths,
            names=told["names"],
            hashes=hashes,
            told=dict(told["told"]),
            records={
                name: NotedRecord(size=size, modified=modified, inode=inode, package=InstalledPackage(**package))
                for name, size, modified, inode, package in told["records"]
            },
            pip=tuple(InstalledPackage(**package) for package in told["pip"]),
            **columns,
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def signatures(note: Note) -> dict[str, Signature]:
    """Give the files of a note one by one."""
    return {
        path: Signature(
            note.owner(place),
            note.content(place),
            note.sizes[place],
            note.modes[place],
            note.modified[place],
            note.inodes[place],
        )
        for place, path in enumerate(note.paths)
    }


def read_digest(prefix: Path) -> str | None:
    """Read the digest of the lock that the prefix was finished for; None when there is no whole note."""
    try:
        with (prefix / NAME).open("rb") as file:
            line = file.readline()
            head = json.loads(line)
            whole = len(line) + head["bytes"] == os.fstat(file.fileno()).st_size
        return str(head["lock"]) if whole and head["version"] == _VERSION else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(prefix: Path) -> None:
    """Remove the record: from now on the prefix is unfinished."""
    (prefix / NAME).unlink(missing_ok=True)
