"""Locks: what a solve fixed, for conda packages and for PyPI files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nomic_scaffold.models.variant import Accelerator, Platform

Manager = Literal["conda", "pip"]


@dataclass(frozen=True, kw_only=True)
class LockedPackage:
    """One package of one platform; a conda package or a PyPI file."""

    name: str
    version: str
    manager: Manager
    platform: Platform
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
class LockFile:
    """One lock file: an accelerator on one or more platforms."""

    accelerator: Accelerator
    platforms: tuple[Platform, ...]
    channels: tuple[str, ...]
    content_hash: dict[Platform, str]
    packages: tuple[LockedPackage, ...]

    def on(self, platform: Platform) -> tuple[LockedPackage, ...]:
        """The packages of one platform, in the order of the file."""
        return tuple(p for p in self.packages if p.platform == platform)


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
