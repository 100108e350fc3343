"""What `lock` is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from nomic_scaffold.errors import UsageError
from nomic_scaffold.models.lock import LockInputs


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be locked, and how."""

    fresh: bool = False
    """Keep nothing of the old locks."""
    upgrade: tuple[str, ...] = ()
    """Packages that move, with no other than must."""
    platforms: tuple[str, ...] = ()
    """Empty: every platform of scaffold.toml."""
    variants: tuple[str, ...] = ()
    """`cpu`, `cuda`, `pypi`; empty: all."""
    exclude_newer: date | None = None
    repodata: Path | None = None
    """Folder of package records that stands in for the channels."""
    offline: bool = False
    pypi: bool = True
    """Lock what comes from a PyPI index too: the pip section and locks/pylock.toml."""
    timeout: float = 300.0
    """Seconds for channels and solves together."""
    patient: bool = True
    """Wait for an index that answers slowly."""

    def select(self, inputs: Sequence[LockInputs]) -> tuple[LockInputs, ...]:
        """Pick the asked-for ones; raises UsageError for what scaffold.toml does not have."""
        variants = {str(item.accelerator) for item in inputs} | {"pypi"}
        platforms = {str(item.platform) for item in inputs}
        for kind, names, known in (("variant", self.variants, variants), ("platform", self.platforms, platforms)):
            for name in names:
                if name not in known:
                    raise UsageError(
                        f"scaffold.toml has no {kind} {name!r}", hint=f"one of: {', '.join(sorted(known))}"
                    )
        selected = tuple(
            item
            for item in inputs
            if (not self.variants or item.accelerator in self.variants)
            and (not self.platforms or item.platform in self.platforms)
        )
        if not selected and not self.pylock:
            asked = " ".join(
                (*(f"--variant {name}" for name in self.variants), *(f"--platform {n}" for n in self.platforms))
            )
            ids = ", ".join(item.id for item in inputs)
            raise UsageError(f"scaffold.toml has nothing for {asked}", hint=f"it has {ids}")
        return selected

    @property
    def pylock(self) -> bool:
        """Whether locks/pylock.toml is among what is asked for."""
        return self.pypi and ("pypi" in self.variants if self.variants else not self.platforms)

    @property
    def everything(self) -> bool:
        """Whether no platform or variant was singled out."""
        return not self.platforms and not self.variants


@dataclass(frozen=True, kw_only=True)
class LockedVariant:
    """What became of one platform of one accelerator."""

    id: str
    outcome: Literal["solved", "kept"]
    packages: int
    size: int
    """Bytes to download, as far as sizes are known."""
    seconds: float
    """Spent in rattler."""
    changed: int
    """Packages that were added, removed or moved."""
    left_out: tuple[str, ...] = ()
    """PyPI packages that an extra asks for and that have no file for this platform."""


@dataclass(frozen=True, kw_only=True)
class LockResult:
    """What `lock` did."""

    variants: tuple[LockedVariant, ...]
    written: tuple[str, ...]
    """Paths of files that changed, relative to the project."""
    missing: tuple[str, ...] = ()
    """What is still to be locked, one sentence each: no index answered."""
