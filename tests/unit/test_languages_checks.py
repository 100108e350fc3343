from __future__ import annotations

from nomic_scaffold.checks.languages import check_languages
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Unavailable
from nomic_scaffold.models.report import CheckResult, LanguageRow, Place, Status
from tests.support import synthetic
from tests.support.synthetic import Model, changed, without

PLACE = Place(file="scaffold.toml", line=10)


def judge(
    evidence: EmbeddingsEvidence | Unavailable, *languages: str
) -> tuple[tuple[CheckResult, ...], dict[str, LanguageRow]]:
    results, rows = check_languages(
        synthetic.spec(languages=languages or ("en",)), evidence, texts=synthetic.TEXTS, place=PLACE
    )
    assert all(result.place == PLACE for result in results)
    return results, {row.code: row for row in rows}


def shares(**shares: float) -> EmbeddingsEvidence:
    return synthetic.embeddings().model_copy(update={"unknown_share": shares})


def test_named_languages_that_the_model_reads_pass() -> None:
    results, rows = judge(synthetic.embeddings(), "en", "zh")
    assert [r.code for r in results] == ["LNG001", *["LNG002", "LNG003", "LNG004"] * 2]
    assert {r.status for r in results} == {Status.PASS}
    assert rows["zh"].readable
    assert rows["zh"].understood


def test_every_language_has_a_row_and_only_named_ones_are_judged() -> None:
    results, rows = judge(shares(en=0.0, zh=0.68), "en")
    assert {r.status for r in results} == {Status.PASS}
    assert (rows["en"].asked, rows["zh"].asked) == (True, False)
    assert (rows["en"].readable, rows["zh"].readable) == (True, False)


def test_a_language_that_the_model_cannot_read_fails_with_the_reason_and_what_to_pin() -> None:
    results, _ = judge(shares(en=0.0, zh=0.68), "zh")
    (failed,) = [r for r in results if r.status is Status.FAIL]
    assert failed.code == "LNG002"
    assert "can't read Chinese: 68%" in failed.detail
    assert "nomic-embed-text-v2-moe (768 dimensions, 512 tokens" in failed.hint
    assert "this project's code runs nomic-embed-text-v1.5 only" in failed.hint


def test_a_language_that_is_read_and_not_understood_fails() -> None:
    results, rows = judge(changed(synthetic.embeddings(), "pairs:zh", lambda rows: rows[1:] + rows[:1]), "zh")
    assert [r.code for r in results if r.status is Status.FAIL] == ["LNG003"]
    assert not rows["zh"].understood
    results, rows = judge(changed(synthetic.embeddings(), "passages:zh", lambda rows: rows[1:] + rows[:1]), "zh")
    assert [r.code for r in results if r.status is Status.FAIL] == ["LNG004"]
    assert rows["zh"].recall == 0


def test_random_weights_fail_every_language() -> None:
    evidence = synthetic.embeddings(Model(normalise=lambda text: text.replace(" ", "")))
    results, _ = judge(evidence, "en", "zh")
    assert {r.code for r in results if r.status is Status.FAIL} == {"LNG003", "LNG004"}


def test_a_model_that_gives_one_vector_for_all_fails() -> None:
    same = changed(synthetic.embeddings(), "*", lambda rows: [[0.125] * len(row) for row in rows])
    results, _ = judge(same, "en")
    assert [r.code for r in results if r.status is Status.FAIL] == ["LNG003", "LNG004"]


def test_a_language_without_sentences_is_unknown() -> None:
    results, _ = judge(synthetic.embeddings(), "en", "sw")
    assert results[0].status is Status.UNKNOWN
    assert "sw" in results[0].detail


def test_what_was_not_measured_is_unknown() -> None:
    results, rows = judge(without(synthetic.embeddings(), "pairs:en"), "en")
    assert [r.code for r in results if r.status is Status.UNKNOWN] == ["LNG003"]
    assert rows["en"].margin is None
    assert rows["en"].understood is None
    uncounted = synthetic.embeddings().model_copy(update={"unknown_share": Unavailable(unavailable="no tokenizer")})
    results, rows = judge(uncounted, "en")
    assert [r.code for r in results if r.status is Status.UNKNOWN] == ["LNG002"]
    assert rows["en"].readable is None


def test_no_evidence_is_one_unknown() -> None:
    results, rows = judge(Unavailable(unavailable="no environment"), "en")
    assert [(r.status, r.detail) for r in results] == [(Status.UNKNOWN, "no environment")]
    assert not rows
