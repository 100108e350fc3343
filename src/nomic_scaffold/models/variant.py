"""A variant: one platform with one accelerator, and the virtual packages that stand for its machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Platform(StrEnum):
    """The conda subdirs that pytorch is built for."""

    LINUX_64 = "linux-64"
    LINUX_AARCH64 = "linux-aarch64"
    OSX_ARM64 = "osx-arm64"
    WIN_64 = "win-64"


class Accelerator(StrEnum):
    """What runs the model."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class VirtualPackage:
    """A fact about a machine, as conda's solvers see it, e.g. `__glibc 2.28 0`."""

    name: str
    version: str
    build: str = "0"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A platform and an accelerator; `requirements` are the match specs that make the variant what it is."""

    platform: Platform
    accelerator: Accelerator
    virtual_packages: tuple[VirtualPackage, ...]
    requirements: tuple[str, ...]

    @property
    def id(self) -> str:
        """Name the variant as files and reports do: `linux-64-cuda`."""
        return f"{self.platform}-{self.accelerator}"
