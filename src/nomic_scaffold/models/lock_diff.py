"""What changed between two sets of locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nomic_scaffold.models.lock import Manager

Kind = Literal["added", "removed", "changed", "rebuilt"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One package that is not the same, in all variants where it changed alike."""

    name: str
    manager: Manager
    kind: Kind
    """`rebuilt`: the same version in another build, or under the same name with other bytes."""
    before: str | None
    """Version."""
    after: str | None
    builds: tuple[tuple[str, str | None, str | None], ...]
    """Variant id, build before, build after."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Ids of the variants."""
        return tuple(variant for variant, _, _ in self.builds)


@dataclass(frozen=True, kw_only=True)
class VariantDiff:
    """One variant's figures."""

    id: str
    before: int | None
    """Packages; None: the variant was not there."""
    after: int | None
    bytes_before: int
    bytes_after: int
    download: int
    """Bytes of the archives that are new."""
    unknown: int
    """Packages whose size nobody wrote down."""


@dataclass(frozen=True, kw_only=True)
class LockDiff:
    """Everything that changed."""

    old: str
    """What was compared, as people named it."""
    new: str
    variants: tuple[VariantDiff, ...]
    changes: tuple[Change, ...]
