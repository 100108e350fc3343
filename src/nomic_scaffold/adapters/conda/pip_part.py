"""What pip or uv has put into a conda prefix: its packages and their RECORD files."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name


@dataclass(frozen=True, kw_only=True)
class PipPackage:
    """One package that has a dist-info folder of its own, and no conda package behind it."""

    name: str
    version: str
    record: str
    """Its RECORD, relative to the prefix."""
    record_sha256: str | None
    """None when the RECORD can't be read."""
    files: dict[str, tuple[str | None, int | None]]
    """Path relative to the prefix -> (sha256, size), where the RECORD gives them."""


def pip_packages(prefix: Path, site: str, *, owned: Collection[str]) -> Iterator[PipPackage]:
    """Find the packages in site-packages (relative to the prefix) that none of the files in `owned` explains."""
    for folder in sorted((prefix / site).glob("*.dist-info")):
        at = f"{site}/{folder.name}"
        if f"{at}/METADATA" in owned or not any((folder / file).exists() for file in ("METADATA", "RECORD")):
            continue  # conda's, or what an interrupted removal left
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        try:
            headers = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
            name, version = headers["Name"] or name, headers["Version"] or version
        except OSError:
            pass
        digest, files = _record(folder / "RECORD", prefix, site)
        yield PipPackage(
            name=canonicalize_name(name), version=version, record=f"{at}/RECORD", record_sha256=digest, files=files
        )


def _record(path: Path, prefix: Path, site: str) -> tuple[str | None, dict[str, tuple[str | None, int | None]]]:
    files: dict[str, tuple[str | None, int | None]] = {}
    try:
        data = path.read_bytes()
        for row in csv.reader(data.decode("utf-8").splitlines()):
            if len(row) != 3:
                continue
            place = os.path.normpath(prefix / site / row[0])
            relative = os.path.relpath(place, prefix).replace(os.sep, "/")
            algorithm, _, digest = row[1].partition("=")
            sha256 = (
                base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex() if algorithm == "sha256" else None
            )
            files[relative] = (sha256, int(row[2]) if row[2] else None)
    except (OSError, ValueError):
        return None, {}
    return hashlib.sha256(data).hexdigest(), files
