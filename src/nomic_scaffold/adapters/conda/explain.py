"""Turn rattler's explanation of a failed solve into the sentence that matters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nomic_scaffold.models.lock import Requirement

_PREFIX = "Cannot solve the request because of: "
_NAME = re.compile(r"^[\s│├└─]*([A-Za-z0-9_.-]+)")


def sentence(explanation: str) -> str:
    """Shorten rattler's tree to one sentence: what can't be had, and the first reason below it."""
    rows = [row.rstrip() for row in explanation.removeprefix(_PREFIX).splitlines() if row.strip()]
    if not rows:
        return "there is no solution"
    if len(rows) == 1 or not rows[0].endswith(":"):
        return rows[0].rstrip(".:")
    roots = [row for row in rows if row[:1] in "├└"]
    root = roots[-1] if roots else rows[0]
    below = rows[rows.index(root) + 1 :]
    reason = next((row for row in below if "no candidates" in row or "conflicts" in row), None)
    head = rows[0].rstrip(":") if rows[0].startswith(tuple(map(str, range(10)))) or not roots else _bare(root)
    if rows[0].endswith("no viable options:"):
        head = rows[0].rstrip(":")
    return f"{head}; {_bare(reason)}" if reason and _bare(reason) not in head else head


def named(explanation: str, requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Give the requirements that the explanation speaks of at its top."""
    rows = explanation.removeprefix(_PREFIX).splitlines()
    top = [row for row in rows if row[:1] in "├└"] or rows[:1]
    text = "\n".join([rows[0] if rows else "", *top])
    return tuple(
        item for item in requirements if re.search(rf"(?<![\w.-]){re.escape(name_of(item.text))}(?![\w-])", text)
    )


def name_of(requirement: str) -> str:
    """Give the package name of a match spec."""
    match = _NAME.match(requirement.rpartition("::")[2])
    return match[1].lower() if match else requirement


def _bare(row: str) -> str:
    return row.strip(" │├└─").rstrip(".:")
