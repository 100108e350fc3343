"""What a container image is made of, and what was seen of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Builder = Literal["classic", "buildkit"]
WeightsIn = Literal["bake", "mount"]


@dataclass(frozen=True, kw_only=True)
class ImageLayer:
    """One layer of an image, as the engine tells it."""

    made_by: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in the engine."""

    id: str
    """`sha256:` and 64 hex digits."""
    tag: str
    size: int
    """Bytes, all layers."""
    layers: tuple[ImageLayer, ...]
    diff_ids: tuple[str, ...]
    """Digest of each layer's content, base first."""
    labels: dict[str, str]
    user: str
    """Who runs in it, as the Dockerfile says; empty for root."""
