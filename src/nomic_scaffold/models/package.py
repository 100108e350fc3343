"""What a conda package says of itself: its files, and what becomes of them in an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FileMode = Literal["text", "binary"]
Noarch = Literal["python", "generic"]


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One file, link or folder of a package."""

    path: str
    """As in the package; python's noarch packages have `site-packages/` and `python-scripts/` at the top."""
    sha256: str | None
    """Of the content; None for links and folders."""
    size: int
    mode: int
    """Permission bits."""
    link: str | None = None
    """What a symbolic link says; None for files."""
    placeholder: str | None = None
    """The text that stands for the prefix, when the file holds it."""
    file_mode: FileMode | None = None

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return self.sha256 is None and self.link is None


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A program that an installer generates for a noarch package."""

    command: str
    module: str
    function: str


@dataclass(frozen=True, slots=True)
class PackageManifest:
    """Everything that a package's archive holds, without the contents."""

    name: str
    version: str
    build: str
    noarch: Noarch | None
    files: tuple[PackagedFile, ...]
    entry_points: tuple[EntryPoint, ...] = ()
    site_packages: str | None = None
    """Where python keeps site-packages, when the python package says so itself."""
    info: tuple[tuple[str, str], ...] = ()
    """Files of `info/` that installers read -> sha256."""


@dataclass(frozen=True, slots=True)
class PythonLayout:
    """Where an environment's Python keeps things, relative to the prefix."""

    version: str
    """Major and minor, e.g. `3.13`."""
    site_packages: str
    scripts: str
    executable: str
