"""A report as one self-contained page: no script, no request to anywhere, readable in light and dark and by ear."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from nomic_scaffold.formats.report_html_figures import deviations, heat_map
from nomic_scaffold.formats.report_html_style import STYLE
from nomic_scaffold.formats.report_words import (
    SYMBOLS,
    TITLES,
    golden_summary,
    is_command,
    language_verdict,
    next_step,
    notable,
    proven,
    verdict,
)
from nomic_scaffold.models.report import CheckResult, Group, Report, Similarity, Status, worst


def render(report: Report, *, explanations: Mapping[str, str]) -> str:
    """Write the page; `explanations` gives each code's paragraph, shown where a check did not pass."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    sections = (
        _head(report),
        _groups(report),
        _notable(report, explanations),
        _chain(report),
        _similarity(report),
        _golden(report),
        _languages(report),
        _machine(report),
        *(_group(report, group) for group in report.groups()),
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'sha256-{digest}'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.subject)}: {escape(verdict(report))}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n" + "\n".join(filter(None, sections)) + "\n"
        f'<p class="soft">nomic-scaffold {escape(report.tool_version)}, report version {report.schema_version}. '
        "This page loads nothing from anywhere.</p>\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    overall = worst(result.status for result in report.results) if report.results else Status.UNKNOWN
    told = proven(report)
    return (
        f'<header>\n<h1>{escape(report.subject)}</h1>\n<p class="soft">{escape(report.made_at)} on '
        f"{escape(report.machine.platform)}, {escape(report.machine.os)}</p>\n"
        f'<div class="verdict {overall}" id="verdict"><strong>{SYMBOLS[overall]} {escape(verdict(report))}</strong>'
        + (f"<p>{escape(told)}</p>" if told else "")
        + ("" if overall is Status.PASS else f"<p>Next: {_hint(next_step(report))}</p>")
        + "</div>\n</header>"
    )


def _groups(report: Report) -> str:
    items = []
    for group in report.groups():
        results = report.of(group)
        status = worst(result.status for result in results)
        passed = sum(result.status is Status.PASS for result in results)
        items.append(
            f'<li class="{status}"><a href="#{group}"><b>{TITLES[group]}</b>{_status(status)}<br>'
            f'<span class="soft">{passed} of {len(results)} passed</span></a></li>'
        )
    return f'<nav aria-label="Groups of checks"><ul class="groups">{"".join(items)}</ul></nav>'


def _notable(report: Report, explanations: Mapping[str, str]) -> str:
    parts = []
    for result in notable(report):
        where = ""
        if result.place:
            line = f":{result.place.line}" if result.place.line else ""
            where = f'<p class="soft">About <code>{escape(result.place.file)}{line}</code></p>'
        meaning = explanations.get(result.code, "")
        parts.append(
            f'<div class="verdict {result.status}">{_status(result.status)} <b>{escape(result.code)} '
            f"{escape(result.title)}</b><p>{escape(result.detail)}</p>{where}"
            + (f"<p>Next: {_hint(result.hint)}</p>" if result.hint else "")
            + (f"<details><summary>What this means</summary><p>{escape(meaning)}</p></details>" if meaning else "")
            + "</div>"
        )
    return f'<section id="notable"><h2>What did not pass</h2>{"".join(parts)}</section>' if parts else ""


def _chain(report: Report) -> str:
    if not report.figures.chain:
        return ""
    items = "".join(
        f'<li class="{link.status}"><b>{escape(link.name)}</b>{_status(link.status)}'
        f"<div>{''.join(f'<code>{escape(value)}</code>' for value in link.value.split('; '))}</div></li>"
        for link in report.figures.chain
    )
    return (
        '<section id="chain"><h2>The chain</h2><p class="soft">Each link is held against the one above it, by hash or '
        f'by number.</p><ol class="chain">{items}</ol></section>'
    )


def _similarity(report: Report) -> str:
    found = report.figures.similarity
    if found is None:
        return ""
    return (
        '<section id="similarity"><h2>Similarity</h2><p>Cosines in hundredths. Each sentence stands beside its '
        "paraphrase, framed; a model to search with keeps every framed pair above everything outside the frames.</p>"
        f'<figure class="scroll">{heat_map(found)}</figure>'
        f"<details><summary>The related pairs as a table</summary>{_pairs(found)}</details></section>"
    )


def _pairs(found: Similarity) -> str:
    rows = []
    for i in range(0, len(found.labels), 2):
        others = [v for one in (i, i + 1) for j, v in enumerate(found.cosine[one]) if j // 2 != i // 2]
        rows.append(
            (found.labels[i], found.labels[i + 1], f"{found.cosine[i][i + 1]:.3f}", f"{max(others, default=0):.3f}")
        )
    return _table(("a sentence", "its paraphrase", "cosine", "nearest unrelated"), rows, numbers=(2, 3))


def _golden(report: Report) -> str:
    figures = report.figures
    if not figures.deviations:
        return ""
    rows = [
        (d.id, d.task, f"{d.component:.1e}", f"{d.cosine_distance:.1e}", "yes" if d.bit_identical else "no", d.why)
        for d in figures.deviations
    ]
    head = ("text", "task", "component", "1 - cos", "same bits", "what it would catch")
    cause = figures.cause
    return (
        f'<section id="golden"><h2>Golden vectors</h2><p>{escape(golden_summary(figures))}</p>'
        + (f"<p><b>Likeliest cause ({escape(cause.id)}):</b> {escape(cause.sentence)}</p>" if cause else "")
        + '<p class="soft">A ring is bit-identical, a dot is within the bar, a cross is outside it.</p>'
        + f'<figure class="scroll">{deviations(figures)}</figure><details><summary>As a table</summary>'
        + f"{_table(head, rows, numbers=(2, 3))}</details>"
        + _facts("Known vectors made by", figures.golden_made_by)
        + _facts("Vectors here made by", figures.made_by)
        + "</section>"
    )


def _languages(report: Report) -> str:
    rows = []
    for row in report.figures.languages:
        cells = (
            row.name + (" (named)" if row.asked else ""),
            "" if row.unknown_share is None else f"{row.unknown_share:.0%}",
            "" if row.margin is None else f"{row.margin:+.3f}",
            "" if row.recall is None else f"{row.recall:.0%}",
            language_verdict(row),
        )
        rows.append(cells)
    if not rows:
        return ""
    head = ("language", "unknown tokens", "margin", "recall@1", "verdict")
    return (
        '<section id="languages-read"><h2>What the model reads</h2><p>Named languages are those of scaffold.toml; only '
        "they are judged. The margin is the lowest paraphrase minus the highest unrelated pair; recall@1 is the share "
        f"of questions that find their own passage first.</p>{_table(head, rows, numbers=(1, 2, 3))}</section>"
    )


def _machine(report: Report) -> str:
    machine = report.machine
    facts = {
        "platform": machine.platform,
        "system": machine.os,
        "C library": machine.libc,
        "processor": machine.processor,
        "cores": str(machine.cores) if machine.cores else None,
        "instructions": ", ".join(machine.instruction_sets) or None,
        "GPU": machine.gpu,
        "driver": machine.driver,
        "tool's Python": machine.python,
    }
    listed = _list({name: value for name, value in facts.items() if value})
    return f'<section id="machine"><h2>The machine</h2>{listed}</section>'


def _group(report: Report, group: Group) -> str:
    results = report.of(group)
    status = worst(result.status for result in results)
    return (
        f'<section id="{group}"><h2>{TITLES[group]}</h2><details{"" if status is Status.PASS else " open"}>'
        f"<summary>{_status(status)} {len(results)} checks</summary>{_results(results)}</details></section>"
    )


def _results(results: Iterable[CheckResult]) -> str:
    rows = "".join(
        f'<tr class="{r.status}"><td>{_status(r.status)}</td><td>{escape(r.code)}</td><td>{escape(r.title)}</td>'
        f"<td>{escape(r.detail)}</td></tr>"
        for r in results
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("verdict", "code", "check", "what was seen"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: tuple[int, ...]) -> str:
    def mark(column: int) -> str:
        return ' class="n"' if column in numbers else ""

    top = "".join(f'<th scope="col"{mark(i)}>{escape(name)}</th>' for i, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{mark(i)}>{escape(cell)}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(title: str, facts: Mapping[str, str]) -> str:
    return f"<details><summary>{escape(title)}</summary>{_list(facts)}</details>" if facts else ""


def _list(facts: Mapping[str, str | None]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value or '')}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _status(status: Status) -> str:
    return f'<span class="status {status}"><span aria-hidden="true">{SYMBOLS[status]} </span>{status}</span>'


def _hint(hint: str) -> str:
    return f"<code>{escape(hint)}</code>" if is_command(hint) else escape(hint)
