"""Judge which languages the pinned model can read, and say so for every language that the probe knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.cases import Cases, NotSeenError, RaisedError
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.checks.similarity import margin_of, missed_of
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Unavailable
from nomic_scaffold.models.probe import LanguageTexts, ProbeTexts
from nomic_scaffold.models.report import CheckResult, LanguageRow, Place, Status
from nomic_scaffold.models.spec import ProjectSpec

UNKNOWN_SHARE = 0.1
"""Largest share of [UNK] tokens in plain sentences: 0.00 for English, 0.35 for Japanese, 0.68 for Chinese (v1.5)."""
MULTILINGUAL = (
    "take the language out of scaffold.toml; or, since this project's code runs nomic-embed-text-v1.5 only, embed its "
    "texts by another model's own code, e.g. nomic-embed-text-v2-moe (768 dimensions, 512 tokens, about 100 languages)"
)

T = TypeVar("T")


def check_languages(
    spec: ProjectSpec, evidence: EmbeddingsEvidence | Unavailable, *, texts: ProbeTexts, place: Place
) -> tuple[tuple[CheckResult, ...], tuple[LanguageRow, ...]]:
    """Judge the languages of scaffold.toml; give a row for every language, asked for or not."""
    if isinstance(evidence, Unavailable):
        hint = evidence.hint or "nomic-scaffold doctor"
        told = codes.LNG_LOOKED.result(Status.UNKNOWN, evidence.unavailable, hint=hint, place=place)
        return (told,), ()
    cases = Cases(evidence, spec.model.dimension)
    rows = tuple(_row(language, cases, evidence, asked=language.code in spec.languages) for language in texts.languages)
    known = {language.code: language for language in texts.languages}
    results = [_looked(spec, known, place)]
    for row in rows:
        if row.asked:
            results += _judge(known[row.code], row, cases, place)
    return tuple(results), rows


def _looked(spec: ProjectSpec, known: dict[str, LanguageTexts], place: Place) -> CheckResult:
    strange = [code for code in spec.languages if code not in known]
    if strange:
        told = f"the probe has no sentences in {', '.join(strange)}; it has {', '.join(known)}"
        hint = f"take {', '.join(strange)} out of languages in scaffold.toml, and test it on texts of your own"
        return codes.LNG_LOOKED.result(Status.UNKNOWN, told, hint=hint, place=place)
    names = ", ".join(known[code].name for code in spec.languages)
    return codes.LNG_LOOKED.result(Status.PASS, names, place=place)


def _row(language: LanguageTexts, cases: Cases, evidence: EmbeddingsEvidence, *, asked: bool) -> LanguageRow:
    share = None if isinstance(evidence.unknown_share, Unavailable) else evidence.unknown_share.get(language.code)
    margin = _seen(lambda: margin_of(language, cases).value)
    recall = _seen(lambda: 1 - len(missed_of(language, cases)) / len(language.passages))
    return LanguageRow(
        code=language.code,
        name=language.name,
        asked=asked,
        unknown_share=share,
        margin=margin,
        recall=recall,
        readable=None if share is None else share <= UNKNOWN_SHARE,
        understood=None if share is None or margin is None or recall is None else margin > 0 and recall == 1,
    )


def _seen(measure: Callable[[], T]) -> T | None:
    try:
        return measure()
    except (NotSeenError, RaisedError):
        return None


def _judge(language: LanguageTexts, row: LanguageRow, cases: Cases, place: Place) -> list[CheckResult]:
    name = language.name
    if row.unknown_share is None:
        readable = codes.LNG_READABLE.result(Status.UNKNOWN, f"{name}: the tokens could not be counted", place=place)
    elif row.readable:
        detail = f"{name}: {row.unknown_share:.0%} of the tokens are [UNK]; the bar is {UNKNOWN_SHARE:.0%}"
        readable = codes.LNG_READABLE.result(Status.PASS, detail, place=place)
    else:
        detail = (
            f"the pinned model can't read {name}: {row.unknown_share:.0%} of the tokens of plain sentences are [UNK], "
            f"which carry no meaning; the bar is {UNKNOWN_SHARE:.0%}"
        )
        readable = codes.LNG_READABLE.result(Status.FAIL, detail, hint=MULTILINGUAL, place=place)

    def related() -> CheckResult:
        margin = margin_of(language, cases)
        detail = (
            f"{name}: lowest related {margin.lowest_related:.3f} ({margin.lowest}), highest unrelated "
            f"{margin.highest_unrelated:.3f} ({' / '.join(margin.highest)}); margin {margin.value:+.3f}"
        )
        good = margin.value > 0
        return codes.LNG_RELATED.result(
            Status.PASS if good else Status.FAIL, detail, hint="" if good else MULTILINGUAL, place=place
        )

    def retrieval() -> CheckResult:
        missed = missed_of(language, cases)
        total = len(language.passages)
        detail = f"{name}: {total - len(missed)} of {total}" + (f"; missed: {', '.join(missed)}" if missed else "")
        return codes.LNG_RETRIEVAL.result(
            Status.FAIL if missed else Status.PASS, detail, hint=MULTILINGUAL if missed else "", place=place
        )

    return [
        readable,
        _told(codes.LNG_RELATED, name, related, place),
        _told(codes.LNG_RETRIEVAL, name, retrieval, place),
    ]


def _told(code: Code, name: str, check: Callable[[], CheckResult], place: Place) -> CheckResult:
    try:
        return check()
    except NotSeenError as error:
        return code.result(Status.UNKNOWN, f"{name}: {error}", place=place)
    except RaisedError as error:
        return code.result(Status.FAIL, f"{name}: {error}", place=place)
