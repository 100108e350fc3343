"""Hold vectors against golden ones, and say in plain words how far off they are and whether that is normal."""

from __future__ import annotations

from dataclasses import dataclass

from nomic_scaffold.checks import causes, codes, vectors
from nomic_scaffold.checks.bars import COARSE, Bars
from nomic_scaffold.checks.cases import NotSeenError, RaisedError, Subject
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.models.evidence import EmbeddingsEvidence
from nomic_scaffold.models.probe import Golden, GoldenText
from nomic_scaffold.models.report import Cause, CheckResult, Deviation, Place, Status

HARDLY = 3e-7
"""Largest difference of one component between correct float32 implementations, as measured (FACTS in the docs)."""


@dataclass(frozen=True, kw_only=True)
class KnownVectors:
    """The golden vectors that there are for a project."""

    shipped: Golden | None
    """What ships with the tool."""
    own: Golden | None
    """What the project blessed on a machine of this device and type."""
    own_path: str = "locks/golden.json"


@dataclass(frozen=True, kw_only=True)
class GoldenJudgement:
    """Results, and what the report draws of them."""

    results: tuple[CheckResult, ...]
    deviations: tuple[Deviation, ...] = ()
    cause: Cause | None = None
    meaning: str = ""
    """Whether the deviations are normal, in plain words."""
    made_by: dict[str, str]


def check_golden(subject: Subject, *, known: KnownVectors, weights_pinned: bool | None) -> GoldenJudgement:
    """Hold the vectors against what ships with the tool and against what the project blessed."""
    pin = subject.spec.model
    results: list[CheckResult] = []
    drawn: tuple[_Held, Golden] | None = None
    cause: Cause | None = None
    for code, golden, path in (
        (codes.EMB_GOLDEN, known.shipped, None),
        (codes.EMB_BLESSED, known.own, Place(file=known.own_path)),
    ):
        if golden is None or (path is None and golden.model_sha256 != pin.sha256):
            continue
        if golden.model_sha256 != pin.sha256:
            told = f"{known.own_path} was made with another model file ({golden.model_sha256[:12]}...)"
            results.append(code.result(Status.FAIL, told, hint="nomic-scaffold bless", place=path))
            continue
        held = _hold(code, subject, golden, weights_pinned=weights_pinned, place=path)
        results.append(held.result)
        cause = cause or held.cause
        if held.deviations and (drawn is None or held.result.status is Status.FAIL):
            drawn = held, golden
    if not results:
        told = f"no golden vectors are known for this model file ({pin.sha256[:12]}...)"
        results.append(codes.EMB_BLESSED.result(Status.UNKNOWN, told, hint="nomic-scaffold bless"))
    if drawn is None:
        return GoldenJudgement(results=tuple(results), cause=cause, made_by={})
    deviations = drawn[0].deviations
    return GoldenJudgement(
        results=tuple(results),
        deviations=deviations,
        cause=cause,
        meaning=_meaning(deviations, subject.bars, subject.evidence),
        made_by=drawn[1].made_by,
    )


def deviations_of(subject: Subject, golden: Golden) -> tuple[Deviation, ...]:
    """Measure how far each text that both sides know is from its golden vector; all must be finite.

    Raises NotSeenError or RaisedError when embed() gave no such vectors, or the golden file is damaged.
    """
    rows, encoded = subject.golden_rows(), subject.golden_encoded()
    wanted = _decoded(golden)
    return tuple(
        Deviation(
            id=text.id,
            task=text.task,
            why=text.why,
            cosine_distance=vectors.cosine_distance(rows[text.id], wanted[text.id]),
            component=vectors.largest_difference(rows[text.id], wanted[text.id]),
            bit_identical=encoded[text.id] == golden.vectors[text.id],
        )
        for text in _shared(subject, golden)
        if len(rows[text.id]) == len(wanted[text.id])
    )


@dataclass(frozen=True)
class _Held:
    """The result of one comparison, and what is drawn of it."""

    result: CheckResult
    deviations: tuple[Deviation, ...] = ()
    cause: Cause | None = None


def _hold(code: Code, subject: Subject, golden: Golden, *, weights_pinned: bool | None, place: Place | None) -> _Held:
    bars, asked = subject.bars, len(subject.texts.golden)
    try:
        raw = subject.golden_decoded()
        if not all(map(vectors.finite, raw.values())):
            cause = causes.NOT_FINITE
            return _Held(code.result(Status.FAIL, cause.sentence, hint=cause.hint, place=place), cause=cause)
        deviations = deviations_of(subject, golden)
        off = tuple(d for d in deviations if _status(d, bars) is not Status.PASS)
        if any(_status(d, bars) is Status.FAIL for d in off):
            cause = causes.likeliest(
                causes.Pattern(
                    texts=_shared(subject, golden),
                    observed=raw,
                    golden=_decoded(golden),
                    tokens=golden.tokens,
                    bars=bars.near,
                    unknown_share=_shares(subject.evidence),
                    weights_pinned=weights_pinned,
                )
            )
            detail = f"{len(off)} of {len(deviations)} texts are off: {_names(off)}; {summary(deviations, bars)}. "
            detail += f"Likeliest cause: {cause.sentence}"
            return _Held(code.result(Status.FAIL, detail, hint=cause.hint, place=place), deviations, cause)
    except NotSeenError as error:
        return _Held(code.result(Status.UNKNOWN, str(error), place=place))
    except RaisedError as error:
        return _Held(code.result(Status.FAIL, str(error), place=place))
    meaning = _meaning(deviations, bars, subject.evidence)
    told = summary(deviations, bars) + (f": {meaning}" if meaning else "")
    if len(deviations) < asked:
        told = f"only {len(deviations)} of the probe's {asked} texts are recorded. " + told
    if off or len(deviations) < asked:
        return _Held(code.result(Status.UNKNOWN, told, hint="nomic-scaffold bless", place=place), deviations)
    return _Held(code.result(Status.PASS, f"{len(deviations)} texts: {told}", place=place), deviations)


def _status(deviation: Deviation, bars: Bars) -> Status:
    return bars.status(deviation.component, deviation.cosine_distance)


def summary(deviations: tuple[Deviation, ...], bars: Bars) -> str:
    """Say in plain words how far off the vectors are."""
    if deviations and all(d.bit_identical for d in deviations):
        return "bit-identical"
    component = max((d.component for d in deviations), default=0.0)
    cosine = max((d.cosine_distance for d in deviations), default=0.0)
    same = sum(d.bit_identical for d in deviations)
    return (
        f"largest difference of one component {component:.1e} (bar {bars.near.component:.0e}), "
        f"largest 1 - cos {cosine:.1e} (bar {bars.near.cosine_distance:.0e}), {same} of {len(deviations)} bit-identical"
    )


def _meaning(deviations: tuple[Deviation, ...], bars: Bars, evidence: EmbeddingsEvidence) -> str:
    """Say whether such deviations are normal; empty when there are none."""
    worst = {_status(d, bars) for d in deviations}
    component = max((d.component for d in deviations), default=0.0)
    if all(d.bit_identical for d in deviations):
        return ""
    if Status.FAIL in worst:
        return "not normal"
    if Status.UNKNOWN in worst:
        return bars.nobody_knows
    if evidence.dtype in COARSE:
        return f"normal for {evidence.dtype}"
    if component <= HARDLY:
        return "normal for another processor, thread count or runtime"
    if not evidence.device.startswith("cpu"):
        return f"more than between CPUs, within what is allowed on {evidence.device}"
    return "more than correct float32 code is apart on CPUs, within what the project allows"


def _shared(subject: Subject, golden: Golden) -> tuple[GoldenText, ...]:
    recorded = {text.id: (text.text, text.task) for text in golden.texts if text.id in golden.vectors}
    return tuple(text for text in subject.texts.golden if recorded.get(text.id) == (text.text, text.task))


def _decoded(golden: Golden) -> dict[str, list[float]]:
    try:
        return {name: vectors.decode(row) for name, row in golden.vectors.items()}
    except ValueError as error:
        raise NotSeenError(f"the golden vectors are damaged: {error}") from error


def _shares(evidence: EmbeddingsEvidence) -> dict[str, float]:
    return evidence.unknown_share if isinstance(evidence.unknown_share, dict) else {}


def _names(off: tuple[Deviation, ...], limit: int = 6) -> str:
    rest = len(off) - limit
    return ", ".join(d.id for d in off[:limit]) + (f" and {rest} more" if rest > 0 else "")
