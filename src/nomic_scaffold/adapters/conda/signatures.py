"""What the installer saw last: size, times and sha256 of every file, so that a second look need not read them all.

A file whose size, times and inode are as they were is taken for unchanged; any other is read. The record lies in the
prefix, so it speaks for accidents, not against somebody who forges it: `verify --deep` does not use it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.disk.atomic import write_bytes

NAME = "conda-meta/nomic-scaffold.files"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Signature:
    """One file as it was."""

    owner: str | None
    """Name of the package; `pip:NAME` for what pip's part brought."""
    content: str | None
    """sha256; for a link what it says, with `->` before it; None for a folder."""
    size: int
    mode: int
    times: tuple[int, int]
    """Modification (ns) and inode. Not the status change: a hard link made elsewhere would alter it."""

    def still(self, found: os.stat_result) -> bool:
        """Whether nothing has touched the file since."""
        return self.times == times(found) and self.size == found.st_size


def times(found: os.stat_result) -> tuple[int, int]:
    """Give what changes when a file is written or replaced."""
    return found.st_mtime_ns, found.st_ino


def signature(found: os.stat_result, *, owner: str | None, content: str | None) -> Signature:
    """Note a file."""
    return Signature(owner, content, found.st_size, stat.S_IMODE(found.st_mode), times(found))


def write(prefix: Path, signatures: Mapping[str, Signature], *, lock_digest: str) -> None:
    """Write down all files of a finished prefix."""
    owners = sorted({s.owner for s in signatures.values() if s.owner is not None})
    number: dict[str | None, int] = {owner: place for place, owner in enumerate(owners)} | {None: -1}
    files = [[path, number[s.owner], s.content, s.size, s.mode, *s.times] for path, s in signatures.items()]
    body = {"version": _VERSION, "lock": lock_digest, "owners": owners, "files": files}
    write_bytes(prefix / NAME, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def read(prefix: Path) -> tuple[dict[str, Signature], str] | None:
    """Read what `write` wrote: (signatures by path, digest of the lock); None when there is nothing to rely on."""
    try:
        body = json.loads((prefix / NAME).read_bytes())
        if body["version"] != _VERSION:
            return None
        owners = [*body["owners"], None]  # -1 is the last
        found = {
            path: Signature(owners[owner], content, size, mode, (modified, inode))
            for path, owner, content, size, mode, modified, inode in body["files"]
        }
        return found, str(body["lock"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def forget(prefix: Path) -> None:
    """Remove the record: from now on the prefix is unfinished."""
    (prefix / NAME).unlink(missing_ok=True)
