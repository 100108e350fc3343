"""Read what wheels left in an environment: their dist-info folders and RECORD files."""

from __future__ import annotations

import base64
import binascii
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

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
        below = site.relative_to(prefix).as_posix()
        with (self.folder / "RECORD").open(encoding="utf-8", newline="") as file:
            return tuple(
                Recorded(path=_relative(row[0], site, below, prefix), sha256=_sha256(row), size=_size(row))
                for row in csv.reader(file)
                if row
            )


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


def _relative(path: str, site: Path, below: str, prefix: Path) -> str:
    """Make a path of a RECORD, which is relative to site-packages or absolute, relative to the prefix."""
    if ".." not in path and "\\" not in path and ":" not in path and not path.startswith("/"):
        return f"{below}/{path}"
    place = os.path.normpath(os.path.join(site, path))  # noqa: PTH118
    return os.path.relpath(place, prefix).replace(os.sep, "/")


def _sha256(row: list[str]) -> str | None:
    algorithm, _, digest = (row[1] if len(row) > 1 else "").partition("=")
    if algorithm != "sha256":
        return None
    try:
        return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()
    except binascii.Error as error:
        raise ValueError(f"RECORD gives {row[0]} the hash {digest!r}") from error


def _size(row: list[str]) -> int | None:
    return int(row[2]) if len(row) > 2 and row[2] else None
