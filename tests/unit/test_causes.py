from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Callable

import pytest

from nomic_scaffold.checks.causes import CAUSES
from nomic_scaffold.checks.embeddings import check_embeddings
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.vectors import centred, decode, encode, unit
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Unavailable
from nomic_scaffold.models.report import Status
from tests.support import synthetic
from tests.support.synthetic import Model, changed

Rows = list[list[float]]
OTHER = {"search_query": "search_document", "search_document": "search_query"}


def cause_of(evidence: EmbeddingsEvidence, *, weights_pinned: bool | None = True) -> str | None:
    judged = check_embeddings(
        synthetic.SPEC,
        evidence,
        texts=synthetic.TEXTS,
        known=KnownVectors(shipped=synthetic.golden(), own=None),
        weights_pinned=weights_pinned,
    )
    (told,) = [result for result in judged.results if result.code == "EMB018"]
    assert (judged.cause is None) is (told.status is not Status.FAIL)
    if judged.cause is not None:
        assert judged.cause.sentence in told.detail
        assert judged.cause.hint == told.hint
    return judged.cause.id if judged.cause else None


def noisy(scale: float) -> Callable[[Rows], Rows]:
    source = random.Random(1)
    return lambda rows: [unit([x + source.gauss(0, scale) for x in row]) for row in rows]


def unknown_words(text: str) -> str:
    return "[UNK]" if len(text.split()) < 4 else "[UNK] [UNK]"


def not_decomposed(text: str) -> str:
    return text.lower() if unicodedata.is_normalized("NFC", text) and "오" not in text else "other " + text.lower()


MODELS: dict[str, Model] = {
    "vocabulary-not-loaded": Model(normalise=unknown_words, prefix=lambda task: ""),
    "all-alike": Model(normalise=lambda text: "", prefix=lambda task: ""),
    "not-normalised": Model(finish=lambda v: [2.5 * x for x in centred(v)]),
    "missing-layer-norm": Model(finish=unit),
    "missing-prefix": Model(prefix=lambda task: ""),
    "one-prefix-for-all": Model(prefix=lambda task: "search_document: "),
    "swapped-prefixes": Model(prefix=lambda task: OTHER.get(task, task) + ": "),
    "cased-tokenizer": Model(normalise=lambda text: text),
    "unnormalised-text": Model(normalise=not_decomposed),
    "cut-off": Model(limit=512),
    "other-weights": Model(seed="other"),
    "other-computation": Model(finish=lambda v: centred([*v[:-6], *(-x for x in v[-6:])])),
}


@pytest.mark.parametrize(("cause", "model"), MODELS.items(), ids=MODELS)
def test_a_model_with_one_step_wrong_is_named(cause: str, model: Model) -> None:
    uncounted = {"unknown_share": Unavailable(unavailable="no tokenizer to ask")}
    assert cause_of(synthetic.embeddings(model).model_copy(update=uncounted)) == cause


@pytest.mark.parametrize(
    ("cause", "change"),
    [
        ("not-finite", lambda rows: [*rows[:-1], [math.nan] * len(rows[0])]),
        ("shuffled-rows", lambda rows: rows[1:] + rows[:1]),
        ("other-precision", noisy(1e-4)),
        ("quantised-file", noisy(5e-3)),
        ("other-weights", lambda rows: [[-x for x in row] for row in rows]),
    ],
)
def test_rows_that_are_changed_are_named(cause: str, change: Callable[[Rows], Rows]) -> None:
    assert cause_of(changed(synthetic.embeddings(), "golden:*", change)) == cause


def test_a_small_deviation_with_another_file_is_a_quantised_file() -> None:
    evidence = changed(synthetic.embeddings(), "golden:*", noisy(1e-4))
    assert cause_of(evidence, weights_pinned=False) == "quantised-file"


def test_kin_vectors_from_another_file_are_a_quantised_file() -> None:
    evidence = synthetic.embeddings(MODELS["other-computation"])
    assert cause_of(evidence, weights_pinned=False) == cause_of(evidence, weights_pinned=None) == "quantised-file"


def test_all_texts_unknown_names_the_vocabulary_whatever_the_vectors() -> None:
    evidence = synthetic.embeddings(Model(seed="other"))
    assert cause_of(evidence.model_copy(update={"unknown_share": {"en": 1.0, "zh": 0.99}})) == "vocabulary-not-loaded"


def test_one_odd_text_is_no_known_pattern() -> None:
    evidence = changed(synthetic.embeddings(), "golden:search_document", lambda rows: [rows[0][::-1], *rows[1:]])
    assert cause_of(evidence) == "no-known-pattern"


def test_right_vectors_have_no_cause() -> None:
    assert cause_of(synthetic.embeddings()) is None


def test_every_cause_is_made_to_happen_here() -> None:
    made = {*MODELS, "not-finite", "shuffled-rows", "other-precision", "quantised-file", "no-known-pattern"}
    assert made == set(CAUSES)


def test_vectors_survive_the_way_through_base64() -> None:
    row = [0.1, -2.5, 1e-30]
    assert decode(encode(row)) == pytest.approx(row, rel=1e-7)
