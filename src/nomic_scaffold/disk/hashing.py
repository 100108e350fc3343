"""sha256 of files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20


def sha256_file(path: Path) -> str:
    """Hash a whole file; lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_watched(path: Path, advance: Callable[[int], None]) -> str:
    """Hash a whole file as fast as `sha256_file`, telling `advance` of each block's bytes."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(_Watched(file, advance), "sha256").hexdigest()


class _Watched:
    """What `hashlib.file_digest` needs of a file, and a look at each block."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._advance(count)
        return count


def sha256_text(text: str) -> str:
    """Hash a text in UTF-8; lower-case hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
