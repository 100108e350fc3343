"""What the installer saw last: size, times and sha256 of every file, so that a second look need not read them all.

A file whose size, times and inode are as they were is taken for unchanged; any other is read. The record lies in the
prefix, so it speaks for accidents, not against somebody who forges it: `verify --deep` does not use it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nomic_scaffold.disk.atomic import write_bytes

NAME = "conda-meta/nomic-scaffold.files"
_VERSION = 2


class Signature(NamedTuple):
    """One file as it was. A tuple: a prefix has tens of thousands of them, and is to be looked at in half a second."""

    owner: str | None
    """Name of the package; `pip:NAME` for what pip's part brought."""
    content: str | None
    """sha256; for a link what it says, with `->` before it; None for a folder."""
    size: int
    mode: int
    modified: int
    """Nanoseconds. Not the status change: a hard link made elsewhere would alter that."""
    inode: int

    def still(self, found: os.stat_result) -> bool:
        """Whether nothing has written or replaced the file since."""
        return (self.modified, self.inode, self.size) == (found.st_mtime_ns, found.st_ino, found.st_size)


def signature(found: os.stat_result, *, owner: str | None, content: str | None) -> Signature:
    """Note a file."""
    mode = stat.S_IMODE(found.st_mode)
    return Signature(owner, content, found.st_size, mode, found.st_mtime_ns, found.st_ino)


def write(prefix: Path, signatures: Mapping[str, Signature], *, lock_digest: str) -> None:
    """Write down all files of a finished prefix: a line with the lock's digest, a line with the owners, the files."""
    owners = sorted({s.owner for s in signatures.values() if s.owner is not None})
    number: dict[str | None, int] = {owner: place for place, owner in enumerate(owners)} | {None: -1}
    files = [[path, number[s.owner], *s[1:]] for path, s in signatures.items()]
    body = "\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in (owners, files)).encode()
    head = json.dumps({"version": _VERSION, "lock": lock_digest, "bytes": len(body)}).encode()
    write_bytes(prefix / NAME, head + b"\n" + body)


def read(prefix: Path) -> dict[str, Signature] | None:
    """Read what `write` wrote; None when there is nothing to rely on."""
    if read_digest(prefix) is None:
        return None
    try:
        _, owned, body = (prefix / NAME).read_bytes().split(b"\n")
        owners: list[str | None] = [*json.loads(owned), None]  # -1 is the last
        make = Signature._make
        return {path: make((owners[owner], *rest)) for path, owner, *rest in json.loads(body)}
    except (OSError, ValueError, TypeError, IndexError):
        return None


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
