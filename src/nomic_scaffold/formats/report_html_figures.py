"""The pictures of the HTML report as inline SVG; numbers, shapes and titles say all that colour says."""

from __future__ import annotations

import math
from html import escape

from nomic_scaffold.models.report import Deviation, Figures, Similarity

_CELL = 27
_SHADES = 10
_LABEL = 250
_ROW = 17
_PANEL = 300
_GAP = 24
_BAR_LABEL = 70
"""Room that the label of a bar needs beside it."""


def heat_map(found: Similarity) -> str:
    """Draw all cosines; related pairs are framed along the diagonal."""
    count = len(found.labels)
    apart = [v for i, row in enumerate(found.cosine) for v in row[:i]]
    low, high = (min(apart), max(apart)) if apart else (0.0, 1.0)
    width, height = _LABEL + count * _CELL + 2, (count + 1) * _CELL + 4
    parts = [
        f'<svg class="figure" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Cosines of {count} sentences, from {low:.2f} to {high:.2f}; related pairs are framed">'
    ]
    for i, label in enumerate(found.labels):
        y = (i + 1) * _CELL + _CELL * 0.64
        parts.append(
            f'<text class="label" x="{_LABEL - 8}" y="{y:.1f}" text-anchor="end"><title>{escape(label)}</title>'
            f"{escape(_short(label, 34))} <tspan class='number'>{i + 1}</tspan></text>"
        )
        x = _LABEL + (i + 0.5) * _CELL
        parts.append(f'<text class="number" x="{x:.1f}" y="{_CELL * 0.7:.1f}" text-anchor="middle">{i + 1}</text>')
    for i, row in enumerate(found.cosine):
        for j, value in enumerate(row):
            parts.append(_cell(found, i, j, value, low, high))
    for pair in range(count // 2):
        x, y = _LABEL + 2 * pair * _CELL, (2 * pair + 1) * _CELL
        parts.append(f'<rect class="frame" x="{x}" y="{y}" width="{2 * _CELL}" height="{2 * _CELL}"/>')
    return "".join([*parts, "</svg>"])


def _cell(found: Similarity, i: int, j: int, value: float, low: float, high: float) -> str:
    x, y = _LABEL + j * _CELL, (i + 1) * _CELL
    if i == j:
        return f'<rect class="same" x="{x}" y="{y}" width="{_CELL}" height="{_CELL}"/>'
    shade = min(_SHADES - 1, max(0, int(_SHADES * (value - low) / (high - low or 1))))
    title = escape(f"{value:.3f}: {found.labels[i]} / {found.labels[j]}")
    return (
        f'<g class="h{shade}"><title>{title}</title><rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}"/>'
        f'<text x="{x + _CELL / 2}" y="{y + _CELL * 0.64:.1f}" text-anchor="middle">{100 * value:.0f}</text></g>'
    )


def deviations(figures: Figures) -> str:
    """Draw how far each golden text is off, by component and by 1 - cosine, on log scales with their bars."""
    found = figures.deviations
    height = (len(found) + 3) * _ROW + 8
    width = _LABEL + 2 * _PANEL + _GAP + 12
    far = max((d.component for d in found), default=0.0)
    parts = [
        f'<svg class="figure" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="Deviation of {len(found)} golden texts on a log scale; the largest component is {far:.1e}">'
    ]
    for number, one in enumerate(found):
        y = (number + 2.7) * _ROW
        if number % 2 == 0:
            parts.append(f'<rect class="band" x="0" y="{y - _ROW * 0.7:.1f}" width="{width}" height="{_ROW}"/>')
        parts.append(
            f'<text class="label" x="{_LABEL - 8}" y="{y:.1f}" text-anchor="end">'
            f"<title>{escape(one.why)}</title>{escape(_short(one.id, 36))}</text>"
        )
    parts += _panel(_LABEL, "largest difference of one component", found, "component", figures.tolerance_component)
    at = _LABEL + _PANEL + _GAP
    parts += _panel(at, "1 - cosine", found, "cosine_distance", figures.tolerance_cosine)
    return "".join([*parts, "</svg>"])


def _panel(left: int, title: str, found: tuple[Deviation, ...], name: str, bar: float | None) -> list[str]:
    values = [getattr(one, name) for one in found]
    seen = [value for value in [*values, bar] if value]
    first = math.floor(math.log10(min(seen, default=1e-9))) - 1
    last = max(math.ceil(math.log10(max(seen, default=1.0))) + 1, first + 3)
    right = left + _PANEL
    zero = left + 14

    def at(value: float) -> float:
        return zero + 22 + (math.log10(value) - first) / (last - first) * (right - zero - 28) if value > 0 else zero

    bottom = (len(found) + 2) * _ROW + 4
    parts = [f'<text class="axis strong" x="{left + 4}" y="{_ROW * 0.75:.1f}">{escape(title)}</text>']
    parts.append(f'<text class="axis" x="{zero}" y="{_ROW * 1.75:.1f}" text-anchor="middle">0</text>')
    every = max(1, math.ceil((last - first) / 5))
    for power in range(first, last + 1):
        x = at(10.0**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_ROW * 2}" y2="{bottom}"/>')
        if power > first and (power - first) % every == 0:
            parts.append(f'<text class="axis" x="{x:.1f}" y="{_ROW * 1.75:.1f}" text-anchor="middle">1e{power}</text>')
    if bar:
        x = at(bar)
        parts.append(f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{_ROW * 2}" y2="{bottom}"/>')
        side, anchor = (x - 4, "end") if x > right - _BAR_LABEL else (x + 4, "start")
        y = bottom + _ROW * 0.8
        parts.append(f'<text class="bar" x="{side:.1f}" y="{y:.1f}" text-anchor="{anchor}">bar {bar:.0e}</text>')
    for number, (one, value) in enumerate(zip(found, values, strict=True)):
        parts.append(_mark(one, value, at(value), (number + 2.7) * _ROW - 4.5, bar))
    return parts


def _mark(one: Deviation, value: float, x: float, y: float, bar: float | None) -> str:
    """A ring for bit-identical, a dot within the bar, a cross outside: shapes tell it without colour."""
    if one.bit_identical:
        word, shape = "bit-identical", f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    elif bar is None or value <= bar:
        word, shape = "within the bar", f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    else:
        cross = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
        word, shape = "outside the bar", f'<path class="cross" d="{cross}"/>'
    return f"<g><title>{escape(f'{one.id}: {value:.2e}, {word}')}</title>{shape}</g>"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
