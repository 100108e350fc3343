"""Turn rattler's explanation of a failed solve into the sentence that matters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nomic_scaffold.models.lock import Requirement

_PREFIX = "Cannot solve the request because of: "
_NAME = re.compile(r"^\s*([A-Za-z0-9_.-]+)")
_TREE = " │├└─"
_REASONS = ("no candidates", "is excluded", "conflicts with", "cannot be installed because there are no", "was locked")


def sentence(explanation: str) -> str:
    """Shorten rattler's tree to one sentence: what can't be had, and the first reason below it.

    The last branch at the top is the one that fails; those before it say what it conflicts with.
    """
    rows = [row.rstrip() for row in explanation.removeprefix(_PREFIX).splitlines() if row.strip()]
    if not rows:
        return "there is no solution"
    roots = [row for row in rows if row[0] in "├└"]
    top = rows[0] if rows[0].endswith("no viable options:") or not roots else roots[-1]
    below = [row for row in rows[rows.index(top) + 1 :] if row[0] in _TREE]
    reason = next((_bare(row) for row in below if any(words in row for words in _REASONS)), "")
    head = _bare(top)
    return head if not reason or reason in head else f"{head}; {reason}"


def named(explanation: str, requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Give the requirements that the explanation speaks of at its top."""
    rows = explanation.removeprefix(_PREFIX).splitlines()
    text = "\n".join([*rows[:1], *(row for row in rows if row[:1] in "├└")])
    return tuple(
        item for item in requirements if re.search(rf"(?<![\w.-]){re.escape(name_of(item.text))}(?![\w-])", text)
    )


def name_of(requirement: str) -> str:
    """Give the package name of a match spec."""
    match = _NAME.match(requirement.rpartition("::")[2])
    return match[1].lower() if match else requirement


def _bare(row: str) -> str:
    return row.strip(_TREE).rstrip(".:")
