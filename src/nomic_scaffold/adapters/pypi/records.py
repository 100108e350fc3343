"""Read what wheels left in an environment: their dist-info folders and RECORD files."""

from __future__ import annotations

import base64
import binascii
import csv
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from nomic_scaffold.adapters.pypi.interpreter import scripts_folder


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One line of a RECORD."""

    path: str
    """Relative to the prefix, with forward slashes."""
    sha256: str | None
    """Lower-case hex; None where the RECORD gives none (the RECORD itself, compiled files)."""
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """An installed package, by its dist-info folder."""

    name: str
    """Normalised, e.g. `typing-extensions`."""
    version: str
    folder: Path

    def files(self, prefix: Path) -> tuple[Recorded, ...]:
        """Read RECORD; raises ValueError when it is not one, OSError when it is not there."""
        site = self.folder.parent
        with (self.folder / "RECORD").open(encoding="utf-8", newline="") as file:
            return tuple(_recorded(row, site, prefix) for row in csv.reader(file) if row)


def installed(site: Path) -> Iterator[Distribution]:
    """Give every installed package of a site-packages folder, in order of name."""
    for folder in sorted(site.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        try:
            headers = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
            name, version = headers["Name"] or name, headers["Version"] or version
        except OSError:
            pass
        yield Distribution(name=canonicalize_name(name), version=version, folder=folder)


def files_of(prefix: Path, site: Path) -> Iterator[str]:
    """Give every file that counts, relative to the prefix: site-packages, programs, pyvenv.cfg; not compiled caches."""
    yield from _walk(site, prefix)
    yield from _walk(scripts_folder(prefix), prefix)
    if (prefix / "pyvenv.cfg").is_file():
        yield "pyvenv.cfg"


def _walk(folder: Path, prefix: Path) -> Iterator[str]:
    top = str(prefix)
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__")
        relative = os.path.relpath(at, top).replace(os.sep, "/")
        # A folder that is a link is not walked into; as an entry it is somebody's.
        yield from (f"{relative}/{f}" for f in folders if os.path.islink(os.path.join(at, f)))  # noqa: PTH114, PTH118
        yield from (f"{relative}/{name}" for name in sorted(names))


def _recorded(row: list[str], site: Path, prefix: Path) -> Recorded:
    path, algorithm_and_digest, size = (*row, "", "", "")[:3]
    algorithm, _, digest = algorithm_and_digest.partition("=")
    sha256 = None
    if algorithm == "sha256":
        try:
            sha256 = base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
        except binascii.Error as error:
            raise ValueError(f"RECORD gives {path} the hash {digest!r}") from error
    absolute = path if PurePosixPath(path).is_absolute() or (sys.platform == "win32" and ":" in path) else None
    place = os.path.normpath(absolute or os.path.join(site, path))  # noqa: PTH118
    relative = os.path.relpath(place, prefix).replace(os.sep, "/")
    return Recorded(path=relative, sha256=sha256, size=int(size) if size else None)
