"""What the probe is asked to embed, and the golden vectors it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.spec import Tolerance

Task = Literal["search_query", "search_document", "classification", "clustering"]
TASKS: tuple[Task, ...] = ("search_query", "search_document", "classification", "clustering")
LONG = 1000
"""Characters; longer golden texts are embedded once, for time."""
EVERY = {"nomic": 5}
"""Runtime -> which of a task's other texts it embeds again: every nth. nomic takes texts one by one, slowly."""


class GoldenText(Boundary):
    """One text whose vector is known."""

    id: str
    text: str
    task: Task
    why: str = ""
    """What this text would catch."""


def repeated(texts: Sequence[GoldenText], runtime: str) -> tuple[GoldenText, ...]:
    """Give those of one task's texts that `runtime` embeds in other ways too: alone, in another order, and so on."""
    short = [text for text in texts if len(text.text) <= LONG]
    return tuple(short[:: EVERY.get(runtime, 1)])


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


class RuntimeChoice(Boundary):
    """What `embed` is asked to run on; None leaves it to the project's code."""

    runtime: Literal["torch", "nomic"] | None = None
    device: str | None = None
    """e.g. `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str | None = None
    """e.g. `float32`, `bfloat16`."""
    engine: Literal["fast", "reference", "exact"] | None = None
    """Of the torch runtime."""


ANY_RUNTIME = RuntimeChoice()


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
    tolerance: Tolerance | None = None
    """How far vectors of this device and type may be from any known ones, as measured; None on a CPU."""


# The cases of the probe: id -> what `embed` was called with.
#   golden:<task>      all golden texts of that task, in file order, in one call
#   again:<task>       its repeated texts once more: all but the long ones; with the nomic runtime every fifth
#   shuffled:<task>    its repeated texts in reverse order, rows put back in file order
#   single:<id>        one repeated text alone
#   dimension:256      the repeated search_document texts with dimension=256
#   threads:<task>     its repeated texts with one thread (torch runtime only)
#   reference:<task>   its repeated texts through the reference engine (torch runtime only)
#   pairs:<code>       the pairs of a language, task clustering; row 2i is pair i's a, row 2i+1 its b
#   questions:<code>   task search_query
#   passages:<code>    task search_document, same order as the questions
#   none               no text at all: shape (0, dimension)
#   unreadable         a Chinese sentence: a vector, and a warning in `warnings` where the model can't read it
#   refuse:<what>      must raise: empty, blank, not-text, one-string, unknown-task, dimension, too-long (over 8,192
#                      tokens), unreadable (unknown="error"), and for the nomic runtime special-token
# Languages: English always, and those that the project names; unknown_share for all languages of the probe.
