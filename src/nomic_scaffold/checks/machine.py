"""Judge whether a machine can run what a variant was locked for, by virtual packages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nomic_scaffold.models.variant import VirtualPackage

_WORDS = {
    "__cuda": "NVIDIA driver's CUDA",
    "__glibc": "glibc",
    "__linux": "Linux kernel",
    "__osx": "macOS",
    "__win": "Windows",
    "__archspec": "processor",
    "__unix": "Unix",
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing that a variant wants of a machine."""

    name: str
    """A virtual package, e.g. `__glibc`."""
    wants: str
    has: str | None
    """None when the machine has nothing of the kind."""
    met: bool
    """Processor families are not compared, and count as met."""

    def __str__(self) -> str:
        what = _WORDS.get(self.name, self.name)
        if self.name == "__archspec":
            return f"{what} {self.wants} (this machine: {self.has or 'unknown'}; not compared)"
        return f"{what} {self.wants} or newer (this machine: {self.has or 'none'}){'' if self.met else ': NOT MET'}"


def needs(wanted: Iterable[VirtualPackage], found: Iterable[VirtualPackage]) -> tuple[Need, ...]:
    """Hold what a variant wants against what a machine has."""
    there = {package.name: package for package in found}
    return tuple(_need(package, there.get(package.name)) for package in wanted)


def _need(wanted: VirtualPackage, found: VirtualPackage | None) -> Need:
    if wanted.name == "__archspec":
        return Need(name=wanted.name, wants=wanted.build, has=found.build if found else None, met=True)
    met = found is not None and _numbers(found.version) >= _numbers(wanted.version)
    return Need(name=wanted.name, wants=wanted.version, has=found.version if found else None, met=met)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
