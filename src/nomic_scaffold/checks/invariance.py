"""Judge what must not change a vector (neighbours, order, threads, engine, case), and what must (the task)."""

from __future__ import annotations

from collections.abc import Iterator

from nomic_scaffold.checks import codes, vectors
from nomic_scaffold.checks.cases import NotSeenError, Subject
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.models.report import CheckResult, Status

ENGINES = {"fast": 2e-7, "exact": 3e-7}
"""Largest difference of one component from the reference engine, float32 on oneDNN; elsewhere the bars hold.

The exact engine, which is held to AVX2, is 2.2e-7 off (tests/real/test_verify.py).
"""
PREFIX = 1e-3
"""Least 1 - cosine that another task makes; the pinned model's smallest is 0.05."""
TRUNCATED = 1e-6
"""Largest difference of one component between dimension=n and the start of the full vector, normalised."""


def again(subject: Subject) -> CheckResult:
    """Compare each golden call with the same call made once more."""
    return _same(codes.EMB_AGAIN, subject, "again")


def order(subject: Subject) -> CheckResult:
    """Compare each golden call with the reversed one, put back in order."""
    return _same(codes.EMB_ORDER, subject, "shuffled")


def threads(subject: Subject) -> CheckResult:
    """Compare each golden call with the same on one thread."""
    return _same(codes.EMB_THREADS, subject, "threads")


def alone(subject: Subject) -> CheckResult:
    """Compare golden rows with the same texts alone."""
    worst, where, count = 0.0, "", 0
    batch = subject.golden_rows()
    for text in _singles(subject):
        (row,) = subject.cases.rows(f"single:{text}", 1)
        count += 1
        off = vectors.largest_difference(batch[text], row)
        if off > worst:
            worst, where = off, text
    return _verdict(codes.EMB_ALONE, subject, worst=worst, where=where, count=count)


def engines(subject: Subject) -> CheckResult:
    """Compare the fast engine with the reference engine."""
    worst, where, count = _worst(subject, "reference")
    bar = ENGINES.get(subject.evidence.engine)
    if bar is not None and subject.evidence.same_bits and subject.evidence.dtype == "float32":
        at = f" ({where})" if where else ""
        detail = f"largest difference of one component {worst:.1e}{at}; the bar is {bar:.0e}"
        return codes.EMB_ENGINES.result(Status.PASS if worst <= bar else Status.FAIL, detail)
    return _verdict(codes.EMB_ENGINES, subject, worst=worst, where=where, count=count)


def bits(subject: Subject) -> CheckResult:
    """Count the rows that are not bit-identical in every other way of embedding them."""
    batch = subject.golden_encoded()
    differing: dict[str, list[str]] = {}
    compared = 0
    for way in ("again", "shuffled", "threads"):
        for task, texts in subject.repeated.items():
            rows = subject.cases.encoded(f"{way}:{task}", len(texts))
            for text, row in zip(texts, rows, strict=True):
                compared += 1
                if row != batch[text.id]:
                    differing.setdefault(way, []).append(text.id)
    for text_id in _singles(subject):
        compared += 1
        if subject.cases.encoded(f"single:{text_id}", 1) != (batch[text_id],):
            differing.setdefault("alone", []).append(text_id)
    if differing:
        told = "; ".join(f"{way}: {len(ids)} (first {ids[0]})" for way, ids in differing.items())
        return codes.EMB_BITS.result(
            Status.FAIL, f"not bit-identical: {told}", hint="nomic-scaffold verify --save-evidence evidence.json"
        )
    return codes.EMB_BITS.result(Status.PASS, f"{compared} comparisons, all bit-identical")


def prefix(subject: Subject) -> CheckResult:
    """Compare the vectors of one text under different tasks."""
    rows = subject.golden_rows()
    smallest, where = 2.0, ""
    texts = subject.texts.golden
    for i, first in enumerate(texts):
        for second in texts[:i]:
            if first.text == second.text and first.task != second.task:
                distance = vectors.cosine_distance(rows[first.id], rows[second.id])
                if distance < smallest:
                    smallest, where = distance, f"{second.task} and {first.task}"
    if smallest > 1.5:
        raise NotSeenError("the probe has no text under two tasks")
    if smallest < PREFIX:
        return codes.EMB_PREFIX.result(
            Status.FAIL, f"{where} give the same vector (1 - cos {smallest:.1e}): the task prefix is not put before it"
        )
    return codes.EMB_PREFIX.result(Status.PASS, f"the closest two tasks, {where}, are {smallest:.2f} apart (1 - cos)")


def case(subject: Subject) -> CheckResult:
    """Compare texts that differ in upper and lower case only."""
    rows = subject.golden_rows()
    worst, where, count = 0.0, "", 0
    texts = subject.texts.golden
    for i, first in enumerate(texts):
        for second in texts[:i]:
            same_words = first.text != second.text and first.text.lower() == second.text.lower()
            if same_words and first.task == second.task:
                count += 1
                off = vectors.largest_difference(rows[first.id], rows[second.id])
                if off > worst:
                    worst, where = off, f"{second.id} and {first.id}"
    if not count:
        raise NotSeenError("the probe has no text in upper and lower case")
    return _verdict(codes.EMB_CASE, subject, worst=worst, where=where, count=count)


def dimension(subject: Subject) -> CheckResult:
    """Compare shorter vectors with the start of the full ones, normalised."""
    texts = subject.repeated.get("search_document", ())
    asked = subject.by_task.get("search_document", ())
    rows = subject.cases.rows("golden:search_document", len(asked))
    full = [row for text, row in zip(asked, rows, strict=True) if text in texts]
    worst, sizes = 0.0, []
    for name in subject.cases.named("dimension:"):
        size = int(name.partition(":")[2])
        sizes.append(size)
        short = subject.cases.rows(name, len(texts))
        for long_row, short_row in zip(full, short, strict=True):
            worst = max(worst, vectors.largest_difference(vectors.unit(long_row[:size]), short_row))
    if not sizes:
        raise NotSeenError("the probe asked for no smaller dimension")
    where = f"dimension {', '.join(map(str, sizes))}"
    if worst <= TRUNCATED:
        detail = f"{where}: largest difference of one component {worst:.1e}; the bar is {TRUNCATED:.0e}"
        return codes.EMB_DIMENSION.result(Status.PASS, detail)
    return _verdict(codes.EMB_DIMENSION, subject, worst=worst, where=where, count=len(sizes) * len(texts))


def _singles(subject: Subject) -> tuple[str, ...]:
    found = tuple(text.id for texts in subject.repeated.values() for text in texts)
    if not found:
        raise NotSeenError("the probe has no text to embed alone")
    return found


def _pairs(subject: Subject, way: str) -> Iterator[tuple[str, list[float], list[float]]]:
    batch = subject.golden_rows()
    for task, texts in subject.repeated.items():
        for text, row in zip(texts, subject.cases.rows(f"{way}:{task}", len(texts)), strict=True):
            yield text.id, batch[text.id], row


def _worst(subject: Subject, way: str) -> tuple[float, str, int]:
    worst, where, count = 0.0, "", 0
    for text, a, b in _pairs(subject, way):
        count += 1
        off = vectors.largest_difference(a, b)
        if off > worst:
            worst, where = off, text
    return worst, where, count


def _same(code: Code, subject: Subject, way: str) -> CheckResult:
    worst, where, count = _worst(subject, way)
    return _verdict(code, subject, worst=worst, where=where, count=count)


def _verdict(code: Code, subject: Subject, *, worst: float, where: str, count: int) -> CheckResult:
    if worst == 0:
        return code.result(Status.PASS, f"{count} compared, all bit-identical")
    detail = f"{count} compared; largest difference of one component {worst:.1e} ({where}); "
    status = subject.bars.status(worst)
    if status is Status.UNKNOWN:
        return code.result(status, detail + subject.bars.nobody_knows, hint="nomic-scaffold bless")
    return code.result(status, f"{detail}the bar is {subject.bars.near.component:.0e}")
