"""sha256 of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 1 << 20


def sha256_file(path: Path) -> str:
    """Hash a whole file; lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hash a text in UTF-8; lower-case hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
