"""Name the likeliest cause from the pattern of deviations: which texts are off, by how much, and what would undo it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from nomic_scaffold.checks import vectors
from nomic_scaffold.models.probe import GoldenText
from nomic_scaffold.models.report import Cause
from nomic_scaffold.models.spec import Tolerance

CAUSES: dict[str, Cause] = {}
"""Cause id -> its words, in the order in which they are looked for; docs/reference/checks.md lists them."""


def _declare(name: str, sentence: str, hint: str) -> Cause:
    CAUSES[name] = Cause(id=name, sentence=sentence, hint=hint)
    return CAUSES[name]


NOT_FINITE = _declare(
    "not-finite",
    "some values are NaN or infinite: an overflow in float16, a division by zero in pooling, or a broken kernel.",
    "embed in float32 on the CPU and see whether it goes away",
)
VOCABULARY = _declare(
    "vocabulary-not-loaded",
    "the tokenizer has no vocabulary and turns every word into [UNK] (transformers 5 does that without a word when it "
    "is given vocab_file): vectors depend on the number of words only.",
    "build the tokenizer with the tokenizers library, as src/*/tokenizer.py does",
)
ALIKE = _declare(
    "all-alike",
    "different texts give one and the same vector: pooling looks at padding, or the texts never reach the model.",
    "embed two different texts alone and compare them",
)
NOT_NORMALISED = _declare(
    "not-normalised",
    "directions are right and lengths are not 1: the last L2 normalisation is missing.",
    "divide each vector by its length",
)
SHUFFLED = _declare(
    "shuffled-rows",
    "the vectors are right and belong to other texts: rows come back in another order than the texts.",
    "put rows back in the order of the texts after sorting them by length",
)
NO_LAYER_NORM = _declare(
    "missing-layer-norm",
    "the LayerNorm between pooling and normalising is missing (what plain sentence-transformers gives).",
    "apply LayerNorm without weights to the mean, before truncating and normalising",
)
NO_PREFIX = _declare(
    "missing-prefix",
    "a text gives the same vector whatever its task: the task prefix is not put before it.",
    'put the prefix, e.g. "search_document: ", before each text',
)
ONE_PREFIX = _declare(
    "one-prefix-for-all",
    "every task gets the prefix of one of them.",
    "put each task's own prefix before its texts",
)
SWAPPED_PREFIX = _declare(
    "swapped-prefixes",
    "texts have the vectors of another task: the task prefixes are swapped.",
    "put each task's own prefix before its texts",
)
CUT = _declare(
    "cut-off",
    "only long texts are off: they are cut off before their end.",
    "raise the tokenizer's and the runtime's limit to the pin's max-tokens",
)
CASED = _declare(
    "cased-tokenizer",
    "only texts with upper-case letters or accents are off: the tokenizer does not lower-case.",
    "normalise as bert-base-uncased does: lower-case, accents stripped",
)
DRIFT = _declare(
    "unnormalised-text",
    "only Korean, Hindi, decomposed accents and combining marks are off: the runtime's own tokenizer was given text "
    "that the official normaliser has not seen (llama.cpp's family of tokenizers does not do it).",
    "pass texts through the official normaliser first, as the generated embed() does",
)
PRECISION = _declare(
    "other-precision",
    "all texts are off by a little: part of the computation runs in float16, bfloat16 or TF32.",
    "embed in float32, with TF32 and autocast off",
)
QUANTISED = _declare(
    "quantised-file",
    "all texts are off by about what quantised weights cost: the model file, or what the runtime makes of it, is a "
    "quantised one.",
    "nomic-scaffold weights pull",
)
COMPUTATION = _declare(
    "other-computation",
    "the vectors are kin to the golden ones, from the pinned weights, and all are off: a step of the computation is "
    "another one (pooling, rotary positions, attention mask).",
    "hold the project's code against the generated one: nomic-scaffold new in a fresh folder",
)
WEIGHTS = _declare(
    "other-weights",
    "the vectors have nothing in common with the golden ones: other weights, a shuffled vocabulary, or another model.",
    "nomic-scaffold weights verify",
)
UNNAMED = _declare(
    "no-known-pattern",
    "the pattern is none that this tool knows.",
    "nomic-scaffold verify --save-evidence evidence.json, and report it with that file",
)

SMALL = Tolerance(cosine_distance=3e-4, component=4e-3)
"""What coarser arithmetic costs: up to 1.5e-4 and 3e-3 (bfloat16); 8-bit weights cost 6e-4 to 1e-3 and 6e-3."""
RELATED = 0.3
"""Median 1 - cosine below which vectors are kin: 4-bit weights 0.15, another pooling 0.08, other weights above 0.6."""
QUANTISED_LITTLE = 0.01
"""Median 1 - cosine that 8-bit weights stay far below, and that no wrong step of the computation is known to reach."""
COLLAPSED = 0.05
"""Median 1 - cosine between texts; 0.003 when every word is [UNK], 0.5 for right vectors."""
SAME = 1e-6
"""1 - cosine of vectors that are one and the same."""


@dataclass(frozen=True)
class Pattern:
    """What the rules look at; vectors are finite."""

    texts: tuple[GoldenText, ...]
    observed: dict[str, list[float]]
    golden: dict[str, list[float]]
    tokens: dict[str, int]
    bars: Tolerance
    unknown_share: dict[str, float]
    weights_pinned: bool | None

    @cached_property
    def distance(self) -> dict[str, float]:
        """Text id -> 1 - cosine to its golden vector."""
        return {t.id: vectors.cosine_distance(self.observed[t.id], self.golden[t.id]) for t in self.texts}

    @cached_property
    def off(self) -> tuple[GoldenText, ...]:
        """The texts outside the bars."""
        return tuple(t for t in self.texts if not self.near(self.observed[t.id], self.golden[t.id]))

    def near(self, a: list[float], b: list[float]) -> bool:
        """Whether two vectors are the same within the bars."""
        return (
            vectors.largest_difference(a, b) <= self.bars.component
            and vectors.cosine_distance(a, b) <= self.bars.cosine_distance
        )


def likeliest(pattern: Pattern) -> Cause:
    """Give the first cause whose pattern is there; those that can be undone by arithmetic come first."""
    return next((cause for rule in _RULES if (cause := rule(pattern)) is not None), UNNAMED)


def _vocabulary(p: Pattern) -> Cause | None:
    """Each word one [UNK]: vectors go by the number of words only, and all are near each other."""
    shares = p.unknown_share.values()
    if shares and min(shares) > 0.9:
        return VOCABULARY
    near = _spread(p)[len(p.texts) // 2] < COLLAPSED
    return VOCABULARY if near and _spread(p)[-1] > SAME and not (shares and min(shares) < 0.5) else None


def _alike(p: Pattern) -> Cause | None:
    return ALIKE if len(p.texts) > 2 and _spread(p)[len(p.texts) // 2] < COLLAPSED else None


def _spread(p: Pattern) -> list[float]:
    """Sorted distances of all texts from the first."""
    first = p.observed[p.texts[0].id]
    return sorted(vectors.cosine_distance(first, p.observed[text.id]) for text in p.texts)


def _not_normalised(p: Pattern) -> Cause | None:
    undone = all(p.near(vectors.unit(p.observed[t.id]), p.golden[t.id]) for t in p.off)
    return NOT_NORMALISED if undone else None


def _no_layer_norm(p: Pattern) -> Cause | None:
    undone = all(p.near(vectors.centred(p.observed[t.id]), p.golden[t.id]) for t in p.off)
    return NO_LAYER_NORM if undone else None


def _shuffled(p: Pattern) -> Cause | None:
    found = [t for t in p.off if _owner(p, t) is not None]
    return SHUFFLED if len(found) > len(p.off) / 2 else None


def _owner(p: Pattern, text: GoldenText) -> GoldenText | None:
    """Find the other text of the same task whose golden vector this is."""
    for other in p.texts:
        if other.task == text.task and other.text != text.text and p.near(p.observed[text.id], p.golden[other.id]):
            return other
    return None


def _prefix(p: Pattern) -> Cause | None:
    by_text: dict[str, list[GoldenText]] = {}
    for text in p.texts:
        by_text.setdefault(text.text, []).append(text)
    several = [group for group in by_text.values() if len({t.task for t in group}) > 1]
    if not several:
        return None
    alike = all(p.near(p.observed[group[0].id], p.observed[t.id]) for group in several for t in group)
    from_others = [
        any(p.near(p.observed[t.id], p.golden[other.id]) for other in group if other.task != t.task)
        for group in several
        for t in group
        if t in p.off
    ]
    if alike:
        return ONE_PREFIX if any(from_others) else NO_PREFIX
    return SWAPPED_PREFIX if from_others and sum(from_others) > len(from_others) / 2 else None


def _cased(p: Pattern) -> Cause | None:
    """Off: only what lower-casing and stripping accents change, and among it what only lower-casing changes."""
    changed = [t for t in p.off if t.text.lower() != t.text or _marks(t.text)]
    plainly = [t for t in p.off if t.text.lower() != t.text and not _marks(t.text)]
    return CASED if len(changed) == len(p.off) and plainly else None


def _drift(p: Pattern) -> Cause | None:
    return DRIFT if all(_marks(t.text) for t in p.off) else None


def _marks(text: str) -> bool:
    """Whether the official normaliser changes more than case: it decomposes, then strips combining marks."""
    decomposed = unicodedata.normalize("NFD", text)
    return decomposed != text or any(unicodedata.category(c) == "Mn" for c in text)


def _cut(p: Pattern) -> Cause | None:
    lengths = {t.id: p.tokens.get(t.id, 0) for t in p.texts}
    shortest_off = min(lengths[t.id] for t in p.off)
    longest_right = max((lengths[t.id] for t in p.texts if t not in p.off), default=0)
    return CUT if shortest_off > 64 and shortest_off > longest_right > 0 else None


def _small(p: Pattern) -> Cause | None:
    if len(p.off) < 0.8 * len(p.texts):
        return None
    distances = sorted(p.distance.values())
    median = distances[len(distances) // 2]
    component = max(vectors.largest_difference(p.observed[t.id], p.golden[t.id]) for t in p.texts)
    if distances[-1] <= SMALL.cosine_distance and component <= SMALL.component and p.weights_pinned is not False:
        return PRECISION
    if median >= RELATED:
        return WEIGHTS
    return QUANTISED if median < QUANTISED_LITTLE or p.weights_pinned is not True else COMPUTATION


_RULES: tuple[Callable[[Pattern], Cause | None], ...] = (
    _vocabulary,
    _alike,
    _not_normalised,
    _shuffled,
    _no_layer_norm,
    _prefix,
    _cut,
    _cased,
    _drift,
    _small,
)
