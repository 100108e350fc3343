"""A report as Markdown, for a job summary or a pull request: the verdict, what did not pass, then the figures."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nomic_scaffold.formats.report_words import (
    SYMBOLS,
    TITLES,
    furthest,
    golden_summary,
    is_command,
    language_verdict,
    next_step,
    notable,
    proven,
    verdict,
)
from nomic_scaffold.models.report import Report, Status, worst

_ICONS = {Status.PASS: "✅", Status.WARN: "⚠️", Status.FAIL: "❌", Status.UNKNOWN: "❔"}
_MEANING = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def render(report: Report) -> str:
    """Write a report."""
    overall = worst(result.status for result in report.results) if report.results else Status.UNKNOWN
    parts = [f"## {_ICONS[overall]} {_text(report.subject)}: {_text(verdict(report))}"]
    if told := proven(report):
        parts.append(_text(told))
    parts += [_notable(report), _groups(report), _golden(report), _languages(report), _similarity(report)]
    parts += [_chain(report), _all(report), _footer(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_failure(command: str, exit_code: int, rows: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Write why a command got nowhere: what happened, the place in the project, the next command."""
    cells = [(_text(what), _code(place) if place else "", _hint(hint) if hint else "") for what, place, hint in rows]
    told = f"## {_ICONS[Status.FAIL]} {' '.join(['nomic-scaffold', command]).strip()} stopped (exit code {exit_code})"
    return f"{told}\n\n{_table(('what happened', 'where', 'next'), cells)}\n\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def _notable(report: Report) -> str:
    rows = [
        (
            f"{_ICONS[r.status]} {r.status}",
            r.code,
            _text(r.title),
            _text(r.detail) + (f"<br>Next: {_hint(r.hint)}" if r.hint else ""),
            _code(f"{r.place.file}:{r.place.line}" if r.place.line else r.place.file) if r.place else "",
        )
        for r in notable(report)
    ]
    return _table(("", "code", "check", "what was seen", "where"), rows) if rows else ""


def _groups(report: Report) -> str:
    rows = []
    for group in report.groups():
        results = report.of(group)
        status = worst(result.status for result in results)
        passed = sum(result.status is Status.PASS for result in results)
        rows.append((TITLES[group], f"{_ICONS[status]} {status}", f"{passed} of {len(results)} passed"))
    return _table(("group", "verdict", "checks"), rows)


def _golden(report: Report) -> str:
    figures = report.figures
    told = golden_summary(figures)
    if not told:
        return ""
    lines = ["### Golden vectors", _text(told)]
    if figures.cause:
        lines.append(f"**Likeliest cause:** {_text(figures.cause.sentence)}")
    far = furthest(figures)
    if far and not far.bit_identical:
        rows = [
            (_code(d.id), f"{d.component:.1e}", f"{d.cosine_distance:.1e}", _text(d.why))
            for d in sorted(figures.deviations, key=lambda d: -d.component)[:5]
        ]
        lines.append(_table(("furthest texts", "component", "1 - cos", "what it would catch"), rows))
    return "\n\n".join(lines)


def _languages(report: Report) -> str:
    rows = [
        (
            _text(row.name) + (" (named)" if row.asked else ""),
            "" if row.unknown_share is None else f"{row.unknown_share:.0%}",
            "" if row.margin is None else f"{row.margin:+.3f}",
            "" if row.recall is None else f"{row.recall:.0%}",
            language_verdict(row),
        )
        for row in report.figures.languages
    ]
    if not rows:
        return ""
    return "### Languages\n\n" + _table(("language", "unknown tokens", "margin", "recall@1", "verdict"), rows)


def _similarity(report: Report) -> str:
    found = report.figures.similarity
    if found is None:
        return ""
    rows = []
    for i in range(0, len(found.labels), 2):
        others = [value for j, value in enumerate(found.cosine[i]) if j // 2 != i // 2]
        others += [value for j, value in enumerate(found.cosine[i + 1]) if j // 2 != i // 2]
        highest = f"{max(others):.3f}" if others else ""
        rows.append((_text(found.labels[i]), _text(found.labels[i + 1]), f"{found.cosine[i][i + 1]:.3f}", highest))
    table = _table(("a sentence", "its paraphrase", "cosine", "nearest unrelated"), rows)
    return f"<details><summary>Similarity of {len(rows)} related pairs</summary>\n\n{table}\n\n</details>"


def _chain(report: Report) -> str:
    rows = [
        (_text(link.name), _code(link.value), f"{SYMBOLS[link.status]} {link.status}") for link in report.figures.chain
    ]
    return "### The chain\n\n" + _table(("link", "value", "verdict"), rows) if rows else ""


def _all(report: Report) -> str:
    rows = [(r.code, f"{_ICONS[r.status]} {r.status}", _text(r.title), _text(r.detail)) for r in report.results]
    table = _table(("code", "", "check", "what was seen"), rows)
    return f"<details><summary>All {len(rows)} checks</summary>\n\n{table}\n\n</details>"


def _footer(report: Report) -> str:
    machine = report.machine
    facts = [machine.platform, machine.os, machine.processor, f"{machine.cores} cores" if machine.cores else None]
    listed = ", ".join(_text(fact) for fact in facts if fact)
    return (
        f"Next: {_hint(next_step(report))}\n\n"
        f"<sub>nomic-scaffold {_text(report.tool_version)}, {_text(report.made_at)}, {listed}</sub>"
    )


def _text(text: str) -> str:
    """Keep text from being read as Markdown or HTML, and on one line."""
    return _MEANING.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))


def _hint(hint: str) -> str:
    return _code(hint) if is_command(hint) else _text(hint)


def _code(text: str) -> str:
    plain = " ".join(text.split()).replace("|", "\\|")
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"
