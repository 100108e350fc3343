"""What a wheel holds, and what an installer must have made of it in an environment."""

from __future__ import annotations

from dataclasses import dataclass

from nomic_scaffold.models.package import EntryPoint


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file of a wheel."""

    name: str
    """As in the wheel, e.g. `pkg/__init__.py` or `pkg-1.0.data/scripts/run`."""
    sha256: str
    size: int
    executable: bool
    script: bytes | None = None
    """The content of a script whose first line names no Python yet: installers write one in."""


@dataclass(frozen=True, kw_only=True)
class WheelContents:
    """Everything that a wheel holds, without the contents."""

    stem: str
    """What its own folders start with: `pkg-1.0` of `pkg-1.0.dist-info` and `pkg-1.0.data`."""
    members: tuple[WheelMember, ...]
    """All files but the RECORD."""
    programs: tuple[EntryPoint, ...]
    """Programs that an installer generates."""


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file that must be in the environment."""

    path: str
    """Relative to the prefix."""
    allowed: frozenset[str]
    """sha256 of what it may hold: installers differ in the programs that they generate. Empty where nobody can tell."""
    size: int | None
    """None where the prefix is written into it."""
    executable: bool
