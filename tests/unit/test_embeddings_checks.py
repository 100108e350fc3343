from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from nomic_scaffold.checks.embeddings import check_embeddings
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.vectors import unit
from nomic_scaffold.models.evidence import CaseFailure, EmbeddingsEvidence, Matrix, Unavailable
from nomic_scaffold.models.probe import Golden
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.spec import Tolerance
from tests.support import synthetic
from tests.support.synthetic import Model, changed, without

Rows = list[list[float]]


def judge(
    evidence: EmbeddingsEvidence | Unavailable,
    *,
    own: Golden | None = None,
    shipped: Golden | None = None,
    **spec: object,
) -> dict[str, tuple[Status, str]]:
    known = KnownVectors(shipped=shipped or synthetic.golden(), own=own)
    judged = check_embeddings(synthetic.spec(**spec), evidence, texts=synthetic.TEXTS, known=known, weights_pinned=True)
    return {result.code: (result.status, result.detail) for result in judged.results}


def statuses(evidence: EmbeddingsEvidence | Unavailable, status: Status) -> set[str]:
    return {code for code, (found, _) in judge(evidence).items() if found is status}


@pytest.mark.parametrize("runtime", ["torch", "nomic"])
def test_a_good_model_passes_every_check(runtime: str) -> None:
    found = judge(synthetic.embeddings(runtime=runtime), own=synthetic.golden())
    assert {status for status, _ in found.values()} == {Status.PASS}, found
    assert ("EMB010" in found) is (runtime == "torch")
    assert ("EMB015" in found) is (runtime == "torch")


def test_evidence_that_is_not_there_is_one_unknown_with_its_reason() -> None:
    found = judge(Unavailable(unavailable="the probe was killed after 300 s"))
    assert found == {"EMB001": (Status.UNKNOWN, "the probe was killed after 300 s")}


def first_row(change: Callable[[list[float]], list[float]]) -> Callable[[Rows], Rows]:
    return lambda rows: [change(rows[0]), *rows[1:]]


def nudged(by: float) -> Callable[[list[float]], list[float]]:
    return lambda row: [row[0] + by, *row[1:]]


def rotated(row: list[float]) -> list[float]:
    return [-row[1], row[0], *row[2:]]


def each(change: Callable[[list[float]], list[float]]) -> Callable[[Rows], Rows]:
    return lambda rows: [change(row) for row in rows]


def turned(rows: Rows) -> Rows:
    return rows[1:] + rows[:1]


BROKEN: dict[str, tuple[str, Callable[[Rows], Rows], str]] = {
    "one component fewer": ("golden:search_query", each(lambda row: row[:-1]), "EMB002"),
    "NaN": ("golden:clustering", first_row(lambda row: [math.nan, *row[1:]]), "EMB003 EMB018"),
    "infinite": ("pairs:en", first_row(lambda row: [math.inf, *row[1:]]), "EMB003"),
    "not unit": ("pairs:zh", first_row(lambda row: [1.001 * x for x in row]), "EMB004"),
    "a rotated vector": (
        "golden:clustering",
        first_row(rotated),
        "EMB006 EMB007 EMB008 EMB009 EMB010 EMB015 EMB018",
    ),
    "another vector the second time": ("again:clustering", first_row(rotated), "EMB006 EMB010"),
    "neighbours matter": ("single:plain-0", first_row(rotated), "EMB007 EMB010"),
    "rows not put back": ("shuffled:search_document", lambda rows: rows[::-1], "EMB008 EMB010"),
    "threads matter": ("threads:clustering", first_row(rotated), "EMB009 EMB010"),
    "other bits": ("single:plain-1", first_row(nudged(6e-8)), "EMB010"),
    "engines differ": ("reference:clustering", first_row(nudged(5e-7)), "EMB015"),
    "truncated, not normalised": ("dimension:32", each(lambda row: [0.9 * x for x in row]), "EMB004 EMB013"),
    "pairs of others": ("pairs:en", turned, "EMB016"),
    "passages of others": ("passages:en", turned, "EMB017"),
}


@pytest.mark.parametrize(("case", "change", "codes"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_fails_and_nothing_else_does(case: str, change: Callable[[Rows], Rows], codes: str) -> None:
    evidence = changed(synthetic.embeddings(), case, change)
    assert statuses(evidence, Status.FAIL) == set(codes.split())


@pytest.mark.parametrize(
    "lie",
    [{"rows": (synthetic.encode([1.0]),)}, {"shape": (7, synthetic.DIMENSION)}, {"dtype": "float64"}],
    ids=["other bytes", "other shape", "other type"],
)
def test_a_form_that_is_not_the_pinned_one_fails(lie: dict[str, object]) -> None:
    evidence = synthetic.embeddings()
    honest = evidence.cases["single:plain-0"]
    assert isinstance(honest, Matrix)
    cases = evidence.cases | {"single:plain-0": honest.model_copy(update=lie)}
    assert "EMB002" in statuses(evidence.model_copy(update={"cases": cases}), Status.FAIL)


MODELS: dict[str, tuple[Model, set[str]]] = {
    "no task prefix": (Model(prefix=lambda task: ""), {"EMB011", "EMB018"}),
    "cased": (Model(normalise=lambda text: text), {"EMB012", "EMB018"}),
    "random weights": (Model(seed="other"), {"EMB018"}),
}


@pytest.mark.parametrize(("model", "codes"), MODELS.values(), ids=MODELS)
def test_a_wrong_model_fails(model: Model, codes: set[str]) -> None:
    assert statuses(synthetic.embeddings(model), Status.FAIL) == codes


def test_a_model_that_gives_one_vector_for_all_fails() -> None:
    same = unit([1.0] * synthetic.DIMENSION)
    evidence = changed(synthetic.embeddings(), "*", lambda rows: [same[: len(row)] for row in rows])
    assert {"EMB005", "EMB011", "EMB016", "EMB017", "EMB018"} <= statuses(evidence, Status.FAIL)


@pytest.mark.parametrize(
    ("case", "codes"),
    [
        ("again:*", {"EMB006", "EMB010"}),
        ("single:*", {"EMB007", "EMB010"}),
        ("shuffled:*", {"EMB008", "EMB010"}),
        ("threads:clustering", {"EMB009", "EMB010"}),
        ("reference:*", {"EMB015"}),
        ("dimension:*", {"EMB013"}),
        ("refuse:empty", {"EMB014"}),
        ("pairs:en", {"EMB016"}),
        ("questions:en", {"EMB017"}),
        (
            "golden:clustering",
            {f"EMB{n:03}" for n in (1, 5, 6, 7, 8, 9, 10, 11, 12, 15, 18)},
        ),
    ],
)
def test_a_case_that_was_not_run_is_unknown_and_never_a_pass(case: str, codes: set[str]) -> None:
    evidence = without(synthetic.embeddings(), case)
    assert statuses(evidence, Status.UNKNOWN) == codes
    assert not statuses(evidence, Status.FAIL)


def test_a_call_that_raised_fails_with_its_message() -> None:
    evidence = synthetic.embeddings()
    cases = evidence.cases | {"golden:clustering": CaseFailure(error="RuntimeError", message="out of memory")}
    found = judge(evidence.model_copy(update={"cases": cases}))
    assert found["EMB001"] == (Status.FAIL, "embed() raised RuntimeError in golden:clustering: out of memory")
    assert found["EMB018"][0] is Status.FAIL


def test_a_vector_for_an_empty_text_is_a_failure_and_an_accident_is_no_refusal() -> None:
    evidence = synthetic.embeddings()
    vector = evidence.cases["single:plain-0"]
    accepted = evidence.model_copy(update={"cases": evidence.cases | {"refuse:empty": vector}})
    assert judge(accepted)["EMB014"] == (Status.FAIL, "got a vector instead of an error: an empty text")
    accident = CaseFailure(error="IndexError", message="list index out of range")
    odd = evidence.model_copy(update={"cases": evidence.cases | {"refuse:not-text": accident}})
    assert judge(odd)["EMB014"][0] is Status.FAIL


def test_the_nomic_runtime_must_refuse_what_its_tokenizer_gets_wrong() -> None:
    evidence = without(synthetic.embeddings(runtime="nomic"), "refuse:special-token")
    assert judge(evidence)["EMB014"][0] is Status.UNKNOWN


UNREAD = {"en": 0.0, "zh": 0.68}


@pytest.mark.parametrize(
    ("shares", "warned", "refused", "status"),
    [
        (UNREAD, True, True, Status.PASS),
        (UNREAD, False, True, Status.FAIL),
        (UNREAD, True, False, Status.FAIL),
        ({"en": 0.0, "zh": 0.0}, False, False, Status.PASS),
        (Unavailable(unavailable="no tokenizer"), True, True, Status.UNKNOWN),
    ],
    ids=["told", "no warning", "not refused", "readable", "not counted"],
)
def test_text_that_the_model_cannot_read_is_warned_of(
    shares: object, warned: bool, refused: bool, status: Status
) -> None:
    evidence = synthetic.embeddings()
    matrix = evidence.cases["unreadable"]
    assert isinstance(matrix, Matrix)
    changed = {"unreadable": matrix if warned else matrix.model_copy(update={"warnings": ()})}
    changed |= {} if refused else {"refuse:unreadable": matrix}
    found = judge(evidence.model_copy(update={"unknown_share": shares, "cases": evidence.cases | changed}))
    assert found["EMB020"][0] is status


class TestGolden:
    def test_says_how_far_off_and_whether_that_is_normal(self) -> None:
        evidence = changed(synthetic.embeddings(), "golden:clustering", first_row(nudged(1.5e-7)))
        status, detail = judge(evidence)["EMB018"]
        assert status is Status.PASS
        assert "largest difference of one component 1." in detail
        assert "(bar 1e-06)" in detail
        assert "normal for another processor" in detail

    def test_says_bit_identical(self) -> None:
        assert judge(synthetic.embeddings())["EMB018"][1].endswith("bit-identical")

    def test_a_coarser_type_is_held_against_its_own_bar(self) -> None:
        evidence = changed(synthetic.embeddings(), "golden:clustering", first_row(nudged(2e-3)))
        assert judge(evidence)["EMB018"][0] is Status.FAIL
        assert judge(evidence.model_copy(update={"dtype": "bfloat16"}))["EMB018"][0] is Status.PASS

    def test_the_projects_own_vectors_count_too(self) -> None:
        own = synthetic.golden()
        other = Model(seed="other")
        rows = {t.id: synthetic.encode(other.vector(t.text, t.task)) for t in own.texts}
        found = judge(synthetic.embeddings(), own=own.model_copy(update={"vectors": rows}))
        assert found["EMB018"][0] is Status.PASS
        assert found["EMB019"][0] is Status.FAIL

    def test_a_model_that_nobody_has_vectors_of_is_unknown(self) -> None:
        found = judge(synthetic.embeddings(), shipped=synthetic.golden(sha256="0" * 64))
        assert "EMB018" not in found
        assert found["EMB019"][0] is Status.UNKNOWN

    def test_vectors_blessed_for_another_file_fail(self) -> None:
        assert judge(synthetic.embeddings(), own=synthetic.golden(sha256="0" * 64))["EMB019"][0] is Status.FAIL

    def test_texts_that_nobody_recorded_are_not_passed_over(self) -> None:
        own = synthetic.golden()
        fewer = own.model_copy(update={"vectors": {k: v for k, v in own.vectors.items() if k != "korean"}})
        status, detail = judge(synthetic.embeddings(), own=fewer)["EMB019"]
        assert status is Status.UNKNOWN
        assert "15 of the probe's 16" in detail

    def test_damaged_golden_vectors_are_unknown(self) -> None:
        own = synthetic.golden()
        damaged = own.model_copy(update={"vectors": own.vectors | {"korean": "AAA"}})
        assert judge(synthetic.embeddings(), own=damaged)["EMB019"][0] is Status.UNKNOWN


@pytest.mark.parametrize(("engine", "status"), [("fast", Status.FAIL), ("exact", Status.PASS)])
def test_the_exact_engine_is_held_to_the_reference_too(engine: str, status: Status) -> None:
    evidence = changed(synthetic.embeddings(), "reference:clustering", first_row(nudged(2.5e-7)))
    assert judge(evidence.model_copy(update={"engine": engine}))["EMB015"][0] is status
    assert "EMB015" not in judge(evidence.model_copy(update={"engine": "reference"}))


class TestEnglish:
    def test_the_default_model_is_held_to_its_measured_margin_and_another_to_less(self) -> None:
        own = synthetic.golden()
        found = {
            name: similarity_of(shipped, "en")["EMB016"]
            for name, shipped in {"the default": own, "another": synthetic.golden(sha256="0" * 64)}.items()
        }
        assert found["the default"][1].endswith("the bar is 0.14")
        assert found["another"][1].endswith("the bar is 0.05")

    def test_another_model_for_other_languages_need_not_know_it(self) -> None:
        other = synthetic.golden(sha256="0" * 64)
        assert {"EMB016", "EMB017"} <= similarity_of(other, "en", "zh").keys()
        assert not {"EMB016", "EMB017"} & similarity_of(other, "zh").keys()
        assert {"EMB016", "EMB017"} <= similarity_of(synthetic.golden(), "zh").keys()


def similarity_of(shipped: Golden, *languages: str) -> dict[str, tuple[Status, str]]:
    return judge(synthetic.embeddings(), shipped=shipped, own=synthetic.golden(), languages=languages)


def test_vectors_that_were_changed_by_hand_show() -> None:
    evidence = synthetic.embeddings()
    assert judge(evidence)["EMB021"][0] is Status.PASS
    edited = evidence.model_copy(update={"cases": changed(evidence, "pairs:zh", first_row(nudged(1e-7))).cases})
    assert statuses(edited, Status.FAIL) == {"EMB021"}
    assert judge(evidence.model_copy(update={"vectors_sha256": None}))["EMB021"][0] is Status.UNKNOWN


class TestOnAnotherDevice:
    @staticmethod
    def moved(by: float, dtype: str = "float32", case: str = "*") -> EmbeddingsEvidence:
        return synthetic.on(changed(synthetic.embeddings(), case, each(nudged(by))), "cuda", dtype)

    def test_bits_are_judged_only_where_they_are_promised(self) -> None:
        one_ulp = changed(synthetic.embeddings(), "single:plain-1", first_row(nudged(6e-8)))
        assert judge(one_ulp)["EMB010"][0] is Status.FAIL
        found = judge(synthetic.on(one_ulp, "cuda"))
        assert {status for status, _ in found.values()} == {Status.PASS}
        assert "EMB010" not in found
        assert "not promised here: the same bits in every batch (cuda has matrix products" in found["EMB001"][1]
        assert "not promised" not in judge(synthetic.embeddings())["EMB001"][1]

    @pytest.mark.parametrize("dtype", ["float32", "tf32"])
    @pytest.mark.parametrize(
        ("by", "status"),
        [(5e-7, Status.PASS), (5e-5, Status.UNKNOWN), (5e-3, Status.FAIL)],
        ids=["as near as a CPU", "nobody knows", "no rounding"],
    )
    def test_without_measured_bars_only_what_is_surely_right_or_wrong_is_judged(
        self, by: float, status: Status, dtype: str
    ) -> None:
        for found in (
            judge(self.moved(by, dtype))["EMB018"],
            judge(self.moved(by, dtype, "single:*"))["EMB007"],
            judge(self.moved(by, dtype, "reference:*"))["EMB015"],
        ):
            assert found[0] is status
            assert ("nobody has measured what is normal for " + dtype in found[1]) is (status is Status.UNKNOWN)

    def test_a_cpu_is_held_to_the_projects_bars(self) -> None:
        evidence = changed(synthetic.embeddings(), "*", each(nudged(5e-6)))
        assert judge(evidence)["EMB018"][0] is Status.FAIL

    @pytest.mark.parametrize(
        ("blessed", "by", "status"),
        [(2e-4, 5e-5, Status.PASS), (2e-5, 5e-5, Status.FAIL), (1.0, 5e-3, Status.FAIL)],
        ids=["within what was measured", "beyond it", "bars wider than rounding count for nothing"],
    )
    def test_bars_that_were_measured_hold(self, blessed: float, by: float, status: Status) -> None:
        measured = Tolerance(component=blessed, cosine_distance=blessed)
        own = synthetic.golden().model_copy(update={"tolerance": measured})
        found = judge(self.moved(by), own=own)
        assert found["EMB018"][0] is found["EMB019"][0] is status

    def test_bars_of_another_model_file_do_not_count(self) -> None:
        measured = Tolerance(component=1e-3, cosine_distance=1e-3)
        own = synthetic.golden(sha256="0" * 64).model_copy(update={"tolerance": measured})
        assert judge(self.moved(5e-5), own=own)["EMB018"][0] is Status.UNKNOWN


def test_judging_a_full_probe_takes_well_under_a_second() -> None:
    evidence = synthetic.embeddings()
    start = time.perf_counter()
    judge(evidence)
    assert time.perf_counter() - start < 1
