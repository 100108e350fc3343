"""Judge what the project's own `embed` gave: which checks are made, and the form of the vectors."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import partial

from nomic_scaffold.checks import codes, golden, invariance, refusal, similarity, vectors
from nomic_scaffold.checks.bars import bars_of
from nomic_scaffold.checks.cases import Cases, Check, NotSeenError, RaisedError, Subject, judge, vectors_digest
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Matrix, Unavailable
from nomic_scaffold.models.probe import ProbeTexts
from nomic_scaffold.models.report import Cause, CheckResult, Deviation, Similarity, Status
from nomic_scaffold.models.spec import ProjectSpec, Tolerance

NORM = 1e-5
"""How far a vector's length may be from 1; float32 rounding over 768 components stays below 2e-7."""
ALIKE = 0.999
"""Two golden texts of one task that mean different things stay below this cosine; the closest reach 0.93."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingsJudgement:
    """Results, and the numbers that the report draws."""

    results: tuple[CheckResult, ...]
    similarity: Similarity | None = None
    deviations: tuple[Deviation, ...] = ()
    bars: Tolerance | None = None
    cause: Cause | None = None
    golden_meaning: str = ""
    golden_made_by: dict[str, str] = field(default_factory=dict)


def check_embeddings(
    spec: ProjectSpec,
    evidence: EmbeddingsEvidence | Unavailable,
    *,
    texts: ProbeTexts,
    known: KnownVectors,
    weights_pinned: bool | None,
) -> EmbeddingsJudgement:
    """Judge the vectors; `weights_pinned` says whether the model file is the pinned one, None if nobody looked."""
    if isinstance(evidence, Unavailable):
        told = codes.EMB_RUNS.result(
            Status.UNKNOWN, evidence.unavailable, hint=evidence.hint or "nomic-scaffold doctor"
        )
        return EmbeddingsJudgement(results=(told,))
    bars = bars_of(spec, device=evidence.device, dtype=evidence.dtype, own=known.own)
    subject = Subject(spec=spec, texts=texts, evidence=evidence, cases=Cases(evidence, spec.model.dimension), bars=bars)
    held = golden.check_golden(subject, known=known, weights_pinned=weights_pinned)
    return EmbeddingsJudgement(
        results=(*(judge(code, check, subject) for code, check in _checks(subject, known)), *held.results),
        similarity=_similarity(subject),
        deviations=held.deviations,
        bars=bars.near,
        cause=held.cause,
        golden_meaning=held.meaning,
        golden_made_by=held.made_by,
    )


def _similarity(subject: Subject) -> Similarity | None:
    try:
        return similarity.matrix_of(similarity.english(subject.texts), subject.cases)
    except (NotSeenError, RaisedError):
        return None


def _checks(subject: Subject, known: KnownVectors) -> list[tuple[Code, Check]]:
    evidence = subject.evidence
    made: list[tuple[Code, Check]] = [
        (codes.EMB_RUNS, _runs),
        (codes.EMB_SHAPE, _shape),
        (codes.EMB_FINITE, _finite),
        (codes.EMB_UNIT, _unit),
        (codes.EMB_ALIKE, _alike),
        (codes.EMB_AGAIN, invariance.again),
        (codes.EMB_ALONE, invariance.alone),
        (codes.EMB_ORDER, invariance.order),
    ]
    made += [(codes.EMB_THREADS, invariance.threads)] if evidence.runtime == "torch" else []
    made += [(codes.EMB_BITS, invariance.bits)] if evidence.same_bits else []
    ours = evidence.runtime == "torch" and evidence.engine != "reference"
    measured = known.shipped is not None and known.shipped.model_sha256 == subject.spec.model.sha256
    related = partial(similarity.related, bar=similarity.MEASURED_MARGIN if measured else similarity.MARGIN)
    # Another model need not know English, if the project's texts are in other languages: those are judged by LNG003.
    knows_english = measured or "en" in subject.spec.languages
    english: list[tuple[Code, Check]] = [(codes.EMB_RELATED, related), (codes.EMB_RETRIEVAL, similarity.retrieval)]
    return [
        *made,
        (codes.EMB_PREFIX, invariance.prefix),
        (codes.EMB_CASE, invariance.case),
        (codes.EMB_DIMENSION, invariance.dimension),
        (codes.EMB_REFUSE, refusal.refusals),
        *([(codes.EMB_ENGINES, invariance.engines)] if ours else []),
        *(english if knows_english else []),
        (codes.EMB_UNREADABLE, refusal.unreadable),
        (codes.EMB_RECORDED, _recorded),
    ]


def _runs(subject: Subject) -> CheckResult:
    evidence = subject.evidence
    for task in subject.by_task:
        subject.cases.matrix(f"golden:{task}")
    detail = f"{evidence.runtime} runtime, {evidence.engine} engine, {evidence.device}, {evidence.dtype}"
    if evidence.runtime == "torch" and not evidence.same_bits:
        why = f" ({evidence.why})" if evidence.why else ""
        detail += f"; not promised here: the same bits in every batch{why}"
    return codes.EMB_RUNS.result(Status.PASS, f"{len(subject.texts.golden)} texts; {detail}; {evidence.seconds:.1f} s")


def _recorded(subject: Subject) -> CheckResult:
    wanted = subject.evidence.vectors_sha256
    if wanted is None:
        hint = "nomic-scaffold verify --save-evidence evidence.json"
        return codes.EMB_RECORDED.result(Status.UNKNOWN, "the evidence has no sha256 of its vectors", hint=hint)
    try:
        found = vectors_digest(subject.evidence)
    except ValueError as error:
        found = f"not readable ({error})"
    if found != wanted:
        return codes.EMB_RECORDED.result(Status.FAIL, f"sha256 {wanted} was recorded; the vectors have {found}")
    return codes.EMB_RECORDED.result(Status.PASS, f"sha256 {wanted}")


def _matrices(subject: Subject) -> dict[str, Matrix]:
    return {case: found for case, found in subject.evidence.cases.items() if isinstance(found, Matrix)}


def _shape(subject: Subject) -> CheckResult:
    wanted = subject.spec.model.dimension
    counts = {f"golden:{task}": len(texts) for task, texts in subject.by_task.items()} | {"none": 0}
    wrong = []
    matrices = _matrices(subject)
    for case, matrix in matrices.items():
        width = subject.cases.width(case)
        rows = counts.get(case, len(matrix.rows))
        if matrix.shape != (rows, width):
            wrong.append(f"{case} has shape {matrix.shape}, not {(rows, width)}")
        elif len(matrix.rows) != rows or any(len(row) != width for row in subject.cases.recorded(case)):
            wrong.append(f"{case} holds other rows than its shape {matrix.shape} says")
        elif matrix.dtype != "float32":
            wrong.append(f"{case} has type {matrix.dtype}, not float32")
    if not matrices:
        return codes.EMB_SHAPE.result(Status.UNKNOWN, "no call of embed() gave vectors")
    if wrong:
        return codes.EMB_SHAPE.result(Status.FAIL, _some(wrong))
    return codes.EMB_SHAPE.result(Status.PASS, f"(N, {wanted}) float32 in {len(matrices)} calls")


def _finite(subject: Subject) -> CheckResult:
    bad, count = [], 0
    for case in _matrices(subject):
        decoded = subject.cases.decoded(case)
        count += len(decoded)
        rows = [number for number, row in enumerate(decoded) if not vectors.finite(row)]
        if rows:
            bad.append(f"{case} row {', '.join(map(str, rows[:5]))}{' ...' if len(rows) > 5 else ''}")
    if bad:
        return codes.EMB_FINITE.result(Status.FAIL, "NaN or infinite: " + _some(bad))
    return codes.EMB_FINITE.result(Status.PASS if count else Status.UNKNOWN, f"{count} vectors")


def _unit(subject: Subject) -> CheckResult:
    worst, where, count = 0.0, "", 0
    for case in _matrices(subject):
        for number, row in enumerate(subject.cases.rows(case)):
            off = abs(vectors.norm(row) - 1)
            count += 1
            if off > worst:
                worst, where = off, f"{case} row {number}"
    if not count:
        return codes.EMB_UNIT.result(Status.UNKNOWN, "no call of embed() gave vectors")
    if worst > NORM:
        return codes.EMB_UNIT.result(Status.FAIL, f"the length of {where} is off by {worst:.1e}; the bar is {NORM:.0e}")
    return codes.EMB_UNIT.result(Status.PASS, f"{count} vectors; lengths are within {worst:.0e} of 1")


def _alike(subject: Subject) -> CheckResult:
    closest, names = -1.0, ("", "")
    for task, texts in subject.by_task.items():
        rows = [vectors.unit(row) for row in subject.cases.rows(f"golden:{task}", len(texts))]
        plain = [_plain(text.text) for text in texts]
        for i, a in enumerate(rows):
            for j in range(i):
                if plain[i] != plain[j] and (cosine := vectors.dot(a, rows[j])) > closest:
                    closest, names = cosine, (texts[j].id, texts[i].id)
    if closest < -0.5:
        return codes.EMB_ALIKE.result(Status.UNKNOWN, "the probe has no two texts of one task")
    detail = f"the closest two, {names[0]} and {names[1]}, have cosine {closest:.4f}"
    return codes.EMB_ALIKE.result(Status.PASS if closest < ALIKE else Status.FAIL, detail)


def _plain(text: str) -> str:
    """Reduce a text to what the tokenizer's normaliser leaves of it, roughly."""
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) not in {"Mn", "Cc", "Cf", "Zs"})


def _some(lines: list[str], limit: int = 3) -> str:
    rest = len(lines) - limit
    return "; ".join(lines[:limit]) + (f"; and {rest} more" if rest > 0 else "")
