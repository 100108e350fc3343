"""Locks: what a solve fixed, for conda packages and for PyPI files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nomic_scaffold.models.variant import Accelerator, Platform, VirtualPackage

Manager = Literal["conda", "pip"]


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One requirement as people wrote it, and where it stands."""

    text: str
    """A match spec (conda) or a PEP 508 requirement (pip)."""
    manager: Manager
    file: str
    line: int | None


@dataclass(frozen=True, kw_only=True)
class LockInputs:
    """Everything that decides what the lock of one platform of one accelerator holds."""

    platform: Platform
    accelerator: Accelerator
    channels: tuple[str, ...]
    """In order of priority, as written."""
    requirements: tuple[Requirement, ...]
    """conda's part, of environment.yml and of the variant."""
    pip: tuple[Requirement, ...]
    """The pip section of environment.yml, as far as it is for this platform."""
    virtual_packages: tuple[VirtualPackage, ...]

    @property
    def id(self) -> str:
        """Name the variant as files and reports do: `linux-64-cuda`."""
        return f"{self.platform}-{self.accelerator}"


@dataclass(frozen=True, kw_only=True)
class LockedPackage:
    """One package of one platform; a conda package or a PyPI file."""

    name: str
    version: str
    manager: Manager
    platform: str
    """A `Platform`; in another tool's lock it may be one that this tool does not lock for."""
    url: str
    sha256: str | None
    md5: str | None
    depends: tuple[str, ...] = ()
    """Match specs (conda) or requirements (pip), e.g. `python >=3.13,<3.14.0a0`."""
    size: int | None = None
    """Bytes of the archive, where the lock or the channel says."""
    build: str | None = None
    """Build string; None for PyPI files."""


@dataclass(frozen=True, kw_only=True)
class LockPaths:
    """Where the files of one accelerator lie in a project, with forward slashes."""

    accelerator: Accelerator

    @property
    def lock(self) -> str:
        """The lock of all platforms; conda-lock and micromamba want a name that ends so."""
        return "conda-lock.yml" if self.accelerator is Accelerator.CPU else f"locks/{self.accelerator}.conda-lock.yml"

    @property
    def environment(self) -> str:
        """What scaffold.toml adds to environment.yml, in a form that conda-lock reads."""
        return f"locks/{self.accelerator}.environment.yml"

    @property
    def virtual_packages(self) -> str:
        """The virtual packages, in a form that conda-lock reads."""
        return f"locks/{self.accelerator}.virtual-packages.yml"

    def explicit(self, platform: Platform, *, sha256: bool) -> str:
        """The `@EXPLICIT` file of one platform, with md5 or with sha256."""
        return f"locks/explicit/{platform}-{self.accelerator}{'.sha256' if sha256 else ''}.txt"


SIZES_PATH = "locks/sizes.json"
"""Bytes of every locked archive, which conda-lock's format has no place for."""


PypiPart = Literal["locked", "missing", "none"]


@dataclass(frozen=True, kw_only=True)
class LockRecord:
    """What a lock file's head says of one platform."""

    platform: Platform
    digest: str
    """sha256 of `inputs`."""
    inputs: tuple[str, ...]
    """The lines of formats/lock_inputs.py."""
    packages: str
    """sha256 of the text of the platform's packages: an edit or a merge of the list does not pass for a solve."""
    solver: str
    """e.g. `py-rattler/0.28.0`."""
    pypi: PypiPart
    """Whether the pip section is in the lock; `none` when there is none."""
    pypi_solver: str = ""
    """What locked the pip section, e.g. `uv/0.13.0`; empty when nothing did, or an older version of this tool."""
    left_out: tuple[str, ...] = ()
    """PyPI packages of an extra that have no file for this platform."""
    exclude_newer: str | None = None
    """The date after which packages were not looked at, if one was given."""
    complete_hash: str | None = None
    """conda-lock's content hash with the pip section, where that waits to be locked; the lock has the one without."""
    merged: bool = False
    """Two locks were joined by the merge driver, and nobody has solved since."""


@dataclass(frozen=True, kw_only=True)
class LockFile:
    """One lock file: an accelerator on one or more platforms."""

    accelerator: Accelerator
    platforms: tuple[Platform, ...]
    channels: tuple[str, ...]
    content_hash: dict[Platform, str]
    packages: tuple[LockedPackage, ...]
    other_platforms: tuple[str, ...] = ()
    """Platforms of another tool's lock that this tool does not lock for."""
    other_packages: tuple[LockedPackage, ...] = ()
    """Theirs; they are judged like the others, and nothing else is done with them."""
    outside: tuple[tuple[int, str], ...] = field(default=(), compare=False)
    """Lines outside of the list of packages, with their numbers from 1: head, metadata, comments."""

    def on(self, platform: str) -> tuple[LockedPackage, ...]:
        """The packages of one platform, in the order of the file."""
        return tuple(p for p in self.every_package if p.platform == platform)

    @property
    def every_package(self) -> tuple[LockedPackage, ...]:
        """The packages of every platform that the file has, known or not."""
        return (*self.packages, *self.other_packages)

    @property
    def every_platform(self) -> tuple[str, ...]:
        """Every platform that the file names, known or not."""
        return (*self.platforms, *self.other_platforms)


@dataclass(frozen=True, kw_only=True)
class UnreadableLock:
    """A lock that could not be read, and why."""

    problem: str
    line: int | None


@dataclass(frozen=True, kw_only=True)
class LockSet:
    """Locks to be judged together, with their paths; a project's, or any file alone."""

    locks: dict[str, LockFile | UnreadableLock]
    explicit: dict[str, tuple[tuple[str, str], ...] | None]
    """Path -> URL and hash of each conda package; None: the file is missing or not of this kind."""


@dataclass(frozen=True, kw_only=True)
class PypiFile:
    """One file that a PyPI package may be installed from."""

    filename: str
    sha256: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class PypiPackage:
    """One package of `locks/pylock.toml` with every file that any platform may take."""

    name: str
    version: str
    marker: str | None
    """PEP 508 marker, or None when it is always installed."""
    files: tuple[PypiFile, ...]


@dataclass(frozen=True, kw_only=True)
class PypiLock:
    """`locks/pylock.toml` (PEP 751), read."""

    requires_python: str
    inputs_digest: str | None
    """sha256 over the requirements it was made from, from its header; None when another tool made it."""
    packages: tuple[PypiPackage, ...]
    exclude_newer: str | None = None
    """The last day whose files were looked at, if one was given."""
