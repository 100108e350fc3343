"""Judge whether related sentences are told from unrelated ones: margins, recall, and the matrix for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nomic_scaffold.checks import codes, vectors
from nomic_scaffold.checks.cases import Cases, NotSeenError, Subject
from nomic_scaffold.models.probe import LanguageTexts, ProbeTexts
from nomic_scaffold.models.report import CheckResult, Similarity, Status

MARGIN = 0.05
"""Least margin in English of a model that nobody measured: enough to set a threshold between related and unrelated."""
MEASURED_MARGIN = 0.14
"""Least margin in English of the model that the tool ships vectors of: it has 0.145 (tests/real/test_verify.py)."""


@dataclass(frozen=True, kw_only=True)
class Margin:
    """How well the pairs of a language are told apart."""

    lowest_related: float
    lowest: str
    """Id of the least similar pair."""
    highest_unrelated: float
    highest: tuple[str, str]
    """Ids of the two pairs that the most similar unrelated sentences belong to."""

    @property
    def value(self) -> float:
        """Lowest related pair minus highest unrelated one."""
        return self.lowest_related - self.highest_unrelated


def related(subject: Subject, *, bar: float) -> CheckResult:
    """Compare the lowest English pair with the highest unrelated one."""
    language = english(subject.texts)
    margin = margin_of(language, subject.cases)
    detail = (
        f"{len(language.pairs)} pairs: lowest related {margin.lowest_related:.3f} ({margin.lowest}), highest unrelated "
        f"{margin.highest_unrelated:.3f} ({' / '.join(margin.highest)}); margin {margin.value:.3f}, the bar is {bar}"
    )
    return codes.EMB_RELATED.result(Status.PASS if margin.value >= bar else Status.FAIL, detail)


def retrieval(subject: Subject) -> CheckResult:
    """See that each English question's own passage comes first."""
    language = english(subject.texts)
    missed = missed_of(language, subject.cases)
    total = len(language.passages)
    detail = f"{total - len(missed)} of {total}" + (f"; missed: {', '.join(missed)}" if missed else "")
    return codes.EMB_RETRIEVAL.result(Status.FAIL if missed else Status.PASS, detail)


def english(texts: ProbeTexts) -> LanguageTexts:
    """Find the English texts.

    Raises NotSeenError when there are none.
    """
    for language in texts.languages:
        if language.code == "en":
            return language
    raise NotSeenError("the probe has no English texts")


def matrix_of(language: LanguageTexts, cases: Cases) -> Similarity:
    """Give all cosines between the sentences of a language's pairs; the report draws them."""
    rows = _unit_rows(cases, f"pairs:{language.code}", 2 * len(language.pairs))
    cosine = [[1.0] * len(rows) for _ in rows]
    for i, a in enumerate(rows):
        for j in range(i):
            cosine[i][j] = cosine[j][i] = vectors.dot(a, rows[j])
    labels = tuple(sentence for pair in language.pairs for sentence in (pair.a, pair.b))
    return Similarity(labels=labels, cosine=tuple(map(tuple, cosine)))


def margin_of(language: LanguageTexts, cases: Cases) -> Margin:
    """Measure the margin of a language.

    Raises NotSeenError or RaisedError when its pairs were not embedded.
    """
    if len(language.pairs) < 2:
        raise NotSeenError(f"the probe has no pairs in {language.name}")
    cosine = matrix_of(language, cases).cosine
    names = [pair.id for pair in language.pairs]
    low, lowest = min((cosine[2 * i][2 * i + 1], name) for i, name in enumerate(names))
    high, i, j = max((cosine[i][j], i, j) for i in range(len(cosine)) for j in range(i) if i // 2 != j // 2)
    return Margin(lowest_related=low, lowest=lowest, highest_unrelated=high, highest=(names[j // 2], names[i // 2]))


def missed_of(language: LanguageTexts, cases: Cases) -> tuple[str, ...]:
    """Give the ids of the questions whose own passage is not strictly the most similar.

    Raises NotSeenError or RaisedError when they were not embedded.
    """
    if len(language.passages) < 2:
        raise NotSeenError(f"the probe has no passages in {language.name}")
    count = len(language.passages)
    questions = _unit_rows(cases, f"questions:{language.code}", count)
    passages = _unit_rows(cases, f"passages:{language.code}", count)
    missed = []
    for number, question in enumerate(questions):
        scores = [vectors.dot(question, passage) for passage in passages]
        own = scores.pop(number)
        if own <= max(scores):
            missed.append(language.passages[number].id)
    return tuple(missed)


def _unit_rows(cases: Cases, case: str, count: int) -> Sequence[list[float]]:
    return [vectors.unit(row) for row in cases.rows(case, count)]
