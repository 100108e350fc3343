"""Draw a report on a terminal: a table per group, the similarity matrix, languages, golden vectors, what comes next."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from nomic_scaffold.formats.report_words import (
    SYMBOLS,
    TITLES,
    golden_summary,
    language_verdict,
    next_step,
    notable,
    proven,
    verdict,
)
from nomic_scaffold.models.report import CheckResult, Report, Similarity, Status, worst

_STYLES = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.UNKNOWN: "bold magenta"}
_SHADES = ("grey93", "light_steel_blue1", "light_sky_blue1", "sky_blue2", "steel_blue1", "dodger_blue2")
_CELL = 4
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


def draw(report: Report, console: Console, *, quiet: bool = False) -> None:
    """Print a report; `quiet` prints only what did not pass, and the verdict."""
    console.print(Text(report.subject, style="bold"))
    if quiet:
        if notable(report):
            console.print(_table(notable(report), console))
    else:
        for part in _parts(report, console):
            console.print()
            console.print(part)
    console.print()
    console.print(_ending(report))


def _parts(report: Report, console: Console) -> Iterator[RenderableType]:
    for group in report.groups():
        results = report.of(group)
        status = worst(result.status for result in results)
        passed = sum(result.status is Status.PASS for result in results)
        title = Text.assemble((TITLES[group], "bold"), "  ", _mark(status, console), f"  {passed} of {len(results)}")
        yield Group(title, _table(results, console))
    if report.figures.similarity is not None:
        yield from _similarity(report.figures.similarity, console)
    if report.figures.languages:
        yield _languages(report)
    told = golden_summary(report.figures)
    if told:
        yield Text.assemble(("Golden vectors  ", "bold"), told)
    if report.figures.chain:
        yield _chain(report, console)


def _mark(status: Status, console: Console) -> Text:
    symbol = SYMBOLS[status] + " " if console.encoding.lower().startswith("utf") else ""
    return Text(symbol + status.value, style=_STYLES[status])


def _table(results: tuple[CheckResult, ...], console: Console) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, expand=True)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=6, no_wrap=True, style="dim")
    table.add_column(ratio=1, overflow="fold")
    for result in results:
        good = result.status is Status.PASS
        detail = Text(result.title + (": " if result.detail else ""), style="" if good else "bold")
        seen = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", result.detail)
        detail.append(_short(seen) if good else seen, style="dim" if good else "not bold")
        if not good:
            if result.place is not None:
                line = f":{result.place.line}" if result.place.line else ""
                detail.append(f"\nat {result.place.file}{line}", style="dim not bold")
            if result.hint:
                detail.append("\nnext: ", style="not bold").append(result.hint)
        table.add_row(_mark(result.status, console), result.code, detail)
    return table


def _similarity(found: Similarity, console: Console) -> Iterator[RenderableType]:
    """Give the cosines between each pair's first sentence (rows) and each pair's second one (columns)."""
    pairs = len(found.labels) // 2
    fits = max(2, min(pairs, (console.width - 24) // _CELL))
    values = [[found.cosine[2 * i][2 * j + 1] for j in range(fits)] for i in range(fits)]
    low, high = min(map(min, values)), max(map(max, values))
    room = console.width - fits * _CELL - 5
    table = Table(box=None, padding=0, show_header=False)
    table.add_column(width=room, no_wrap=True, overflow="ellipsis")
    table.add_column(width=4, justify="right", style="dim")
    for _ in range(fits):
        table.add_column(width=_CELL, no_wrap=True)
    table.add_row("", "", *(Text(f"{j + 1:>3} ", style="dim") for j in range(fits)))
    for i, row in enumerate(values):
        cells = []
        for j, value in enumerate(row):
            shade = int((len(_SHADES) - 1) * (value - low) / ((high - low) or 1))
            text = f"[{100 * value:2.0f}]" if i == j else f"{100 * value:3.0f} "
            cells.append(Text(text, style=f"{'bold ' if i == j else ''}black on {_SHADES[shade]}"))
        table.add_row(Text(found.labels[2 * i], overflow="ellipsis"), f"{i + 1} ", *cells)
    yield Group(
        Text.assemble(("Similarity  ", "bold"), "cosine in hundredths; [ ] = the same said in other words"), table
    )


def _languages(report: Report) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name, justify in (("language", "left"), ("[UNK]", "right"), ("margin", "right"), ("recall@1", "right")):
        table.add_column(Text(name), justify="right" if justify == "right" else "left")
    table.add_column("verdict")
    rows = report.figures.languages
    tested = [row for row in rows if row.asked or row.margin is not None]
    for row in tested:
        good = row.readable and row.understood is not False
        table.add_row(
            Text(row.name + (" (named)" if row.asked else ""), style="bold" if row.asked else ""),
            "" if row.unknown_share is None else f"{row.unknown_share:.0%}",
            "" if row.margin is None else f"{row.margin:+.3f}",
            "" if row.recall is None else f"{row.recall:.0%}",
            Text(language_verdict(row), style="green" if good else "yellow"),
        )
    title = Text.assemble(("What the model reads  ", "bold"), "only languages named in scaffold.toml are judged")
    others = [row for row in rows if row not in tested]
    lines = [
        Text.assemble((f"{words}: ", "dim"), ", ".join(row.name for row in others if row.readable is readable))
        for readable, words in ((True, "tokens known, meaning not tested"), (False, "can't read"))
        if any(row.readable is readable for row in others)
    ]
    return Group(title, table, *lines)


def _chain(report: Report, console: Console) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=12, no_wrap=True)
    table.add_column(overflow="fold")
    for link in report.figures.chain:
        table.add_row(_mark(link.status, console), link.name, Text(_short(link.value), style="dim"))
    return Group(Text("The chain", style="bold"), table)


def _ending(report: Report) -> RenderableType:
    overall = worst(result.status for result in report.results) if report.results else Status.UNKNOWN
    lines = [Text(verdict(report), style=_STYLES[overall])]
    if told := proven(report):
        lines.append(Text(told))
    if report.figures.cause:
        lines.append(Text.assemble("Likeliest cause: ", (report.figures.cause.sentence, "bold")))
    lines.append(Text.assemble("Next: ", (next_step(report), "bold")))
    return Group(*lines)


def _short(text: str) -> str:
    """Cut hashes, which the other forms of the report give in full."""
    return _HASH.sub(lambda match: match[0][:12] + "...", text)
