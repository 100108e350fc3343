"""What a project asks for: environment.yml and scaffold.toml, read and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nomic_scaffold.models.variant import Accelerator, Platform, Variant


@dataclass(frozen=True, kw_only=True)
class ModelPin:
    """The model file, by hash, and the contract of its vectors."""

    repository: str
    revision: str
    """40 hex digits."""
    file: str
    sha256: str
    size: int
    """Bytes."""
    dimension: int
    """Components of a vector, e.g. 768."""
    max_tokens: int


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far vectors may be from the golden ones."""

    cosine_distance: float
    """1 - cosine, computed in float64."""
    component: float
    """Largest absolute difference of one component of L2-normalised vectors."""


@dataclass(frozen=True, kw_only=True)
class ProjectSpec:
    """A whole project, resolved from its two files."""

    name: str
    package: str
    tool_version: str
    channels: tuple[str, ...]
    requirements: tuple[str, ...]
    """Match specs from environment.yml, as written."""
    pip_requirements: tuple[str, ...]
    """The pip section of environment.yml, as written."""
    variants: tuple[Variant, ...]
    model: ModelPin
    languages: tuple[str, ...]
    """ISO 639-1 codes of the languages that the project's texts are in."""
    tolerance: Tolerance
    python: str
    """The minor Python version of the project, e.g. `3.13`."""
    pypi_requirements: tuple[str, ...]
    """What `locks/pylock.toml` resolves, for machines that reach no conda channel."""
    pypi_python: str
    """The lowest Python that `locks/pylock.toml` resolves for, e.g. `3.11`."""
    image_budgets: Mapping[Accelerator, int]
    """Largest size of the image of each variant in bytes, where the project sets one."""

    def variant(self, platform: Platform, accelerator: Accelerator) -> Variant | None:
        """Find a variant by platform and accelerator."""
        return next((v for v in self.variants if v.platform == platform and v.accelerator == accelerator), None)
