"""An environment on disk: the only noun that points at one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nomic_scaffold.models.variant import Accelerator

Provider = Literal["conda", "pypi"]


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Where an environment lives, who made it, and its Python."""

    path: Path
    provider: Provider
    accelerator: Accelerator
    python: Path
