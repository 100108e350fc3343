"""Put what a benchmark measured into a page of the documentation."""

from __future__ import annotations

from pathlib import Path


def write_between_markers(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's markers of the benchmark `name` by `text`.

    The markers are lines of their own: `<!-- benchmark: NAME -->` and `<!-- end of benchmark: NAME -->`. Raises
    ValueError when the page lacks one of them: a table that goes nowhere would leave old figures standing.
    """
    start, end = f"<!-- benchmark: {name} -->", f"<!-- end of benchmark: {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(f"{start}\n")
    _, closed, after = rest.partition(f"{end}\n")
    if not found or not closed:
        raise ValueError(f"{page} lacks the line {end if found else start}")
    page.write_text(f"{before}{start}\n{text.strip()}\n{end}\n{after}", encoding="utf-8", newline="\n")


def rows(*cells: tuple[str, ...]) -> str:
    """Write rows of cells as a Markdown table; the first is its head."""
    head, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, "|" + "---|" * len(cells[0]), *rest])


def goals(*found: tuple[str, str, bool]) -> str:
    """Write goals as a Markdown table: what was wanted, what was measured, whether it is met."""
    return rows(
        ("goal", "measured", ""), *((goal, figure, "met" if met else "**missed**") for goal, figure, met in found)
    )


def finish(page: Path, name: str, text: str, *, quick: bool) -> None:
    """Print what was measured, and unless `quick` put it into the page."""
    print(text)
    if not quick:
        write_between_markers(page, name, text)
