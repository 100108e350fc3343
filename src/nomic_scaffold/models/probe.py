"""What the probe is asked to embed, and the golden vectors it is held against."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nomic_scaffold.models.boundary import Boundary

Task = Literal["search_query", "search_document", "classification", "clustering"]


class GoldenText(Boundary):
    """One text whose vector is known."""

    id: str
    text: str
    task: Task
    why: str = ""
    """What this text would catch."""


class Pair(Boundary):
    """Two sentences that say the same thing in other words."""

    id: str
    a: str
    b: str


class Passage(Boundary):
    """A question and the passage that answers it."""

    id: str
    question: str
    passage: str


class LanguageTexts(Boundary):
    """What is asked in one language to see whether a model reads it."""

    code: str
    """ISO 639-1."""
    name: str
    """English name."""
    sentences: tuple[str, ...]
    """Plain sentences; the share of unknown tokens is measured on these."""
    pairs: tuple[Pair, ...] = ()
    passages: tuple[Passage, ...] = ()


class ProbeTexts(Boundary):
    """All texts of the probe, shipped with the tool."""

    schema_version: Literal[1] = 1
    golden: tuple[GoldenText, ...]
    languages: tuple[LanguageTexts, ...]


class Golden(Boundary):
    """Vectors that are known to be right, and what made them."""

    schema_version: Literal[1] = 1
    model_sha256: str
    dimension: int
    made_by: dict[str, str]
    """Library versions, engine, device, dtype, machine facts."""
    texts: tuple[GoldenText, ...]
    vectors: dict[str, str]
    """Text id -> base64 of `dimension` little-endian float32, L2-normalised."""
    tokens: dict[str, int] = Field(default_factory=dict)
    """Text id -> number of tokens, prefix and special tokens included."""
