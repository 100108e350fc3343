"""The sentences of a report that every form of it shares: the verdict, what was proven, what to type next."""

from __future__ import annotations

from nomic_scaffold.models.report import CheckResult, Deviation, Figures, Group, LanguageRow, Report, Status, worst

TITLES = {
    Group.LOCK: "Lock",
    Group.ENVIRONMENT: "Environment",
    Group.WEIGHTS: "Weights",
    Group.EMBEDDINGS: "Embeddings",
    Group.LANGUAGES: "Languages",
    Group.PRIVACY: "Privacy",
    Group.IMAGE: "Image",
}
SYMBOLS = {Status.PASS: "✓", Status.WARN: "!", Status.FAIL: "✗", Status.UNKNOWN: "?"}
"""Marks beside the words, so that a list can be scanned; never alone."""
_LINKS = {
    Group.LOCK: "the locks match their inputs",
    Group.ENVIRONMENT: "the environment is what its lock says, file by file",
    Group.WEIGHTS: "the model file is the pinned one",
    Group.EMBEDDINGS: "embed() gives the known vectors",
    Group.LANGUAGES: "the model reads the languages of scaffold.toml",
    Group.PRIVACY: "nothing tried to reach the network",
    Group.IMAGE: "the image is what it was built from",
}


def verdict(report: Report) -> str:
    """Say in one sentence how it ended."""
    total, failed = len(report.results), report.count(Status.FAIL)
    unknown, warned = report.count(Status.UNKNOWN), report.count(Status.WARN)
    if not total:
        return "Nothing was checked."
    if failed:
        more = f"; {unknown} could not be looked at" if unknown else ""
        return f"{failed} of {total} checks failed{more}."
    if unknown:
        return f"Not proven: {unknown} of {total} checks could not be looked at."
    return f"No check failed; {warned} of {total} warned." if warned else f"All {total} checks passed."


def proven(report: Report) -> str:
    """Say what the passed groups prove together; empty when none passed whole."""
    links = [_LINKS[group] for group in report.groups() if worst(r.status for r in report.of(group)) is Status.PASS]
    if not links:
        return ""
    listed = links[0] if len(links) == 1 else ", ".join(links[:-1]) + ", and " + links[-1]
    return f"Proven: {listed}."


def next_step(report: Report) -> str:
    """Say what to type next: the hint of what decides the exit code, or how to show the report to others."""
    for status in (Status.FAIL, Status.UNKNOWN, Status.WARN):
        for result in report.results:
            if result.status is status and result.hint:
                return result.hint
    if report.count(Status.FAIL, Status.UNKNOWN):
        return "nomic-scaffold doctor"
    return "nomic-scaffold verify --report html=report.html"


def is_command(hint: str) -> bool:
    """Whether a hint is a command to type, not a sentence."""
    return hint.startswith("nomic-scaffold ") and ", " not in hint


def notable(report: Report) -> tuple[CheckResult, ...]:
    """Give the results that didn't pass: failures first, then what could not be seen, then warnings."""
    order = (Status.FAIL, Status.UNKNOWN, Status.WARN)
    return tuple(result for status in order for result in report.results if result.status is status)


def furthest(figures: Figures) -> Deviation | None:
    """Give the golden text with the largest difference of one component."""
    return max(figures.deviations, key=lambda d: d.component, default=None)


def golden_summary(figures: Figures) -> str:
    """Say in plain words how far the vectors are from the golden ones; empty when that was not measured."""
    far = furthest(figures)
    bar, cosine_bar = figures.tolerance_component, figures.tolerance_cosine
    if far is None or bar is None or cosine_bar is None:
        return ""
    if all(d.bit_identical for d in figures.deviations):
        return f"All {len(figures.deviations)} golden texts are bit-identical."
    cosine = max(d.cosine_distance for d in figures.deviations)
    same = sum(d.bit_identical for d in figures.deviations)
    return (
        f"Largest difference of one component {far.component:.1e} ({far.id}; the bar is {bar:.0e}), largest 1 - cos "
        f"{cosine:.1e} (the bar is {cosine_bar:.0e}): {figures.golden_meaning}. "
        f"{same} of {len(figures.deviations)} bit-identical."
    )


def language_verdict(row: LanguageRow) -> str:
    """Say in two or three words whether the model can be used in a language."""
    if row.readable is None:
        return "not measured"
    if not row.readable:
        return "can't read"
    if row.understood is None:
        return "tokens known; not tested"
    return "reads" if row.understood else "reads, confuses"
