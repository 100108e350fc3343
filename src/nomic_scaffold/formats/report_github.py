"""What did not pass as GitHub's workflow commands: annotations at the lines that they are about."""

from __future__ import annotations

from nomic_scaffold.formats.github_command import annotation
from nomic_scaffold.models.report import CheckResult, Report, Status

_COMMANDS = {Status.FAIL: "error", Status.UNKNOWN: "error", Status.WARN: "warning"}


def render(report: Report) -> str:
    """Write one line per result that did not pass; nothing when all passed."""
    return "".join(_line(result) for result in report.results if result.status is not Status.PASS)


def _line(result: CheckResult) -> str:
    place = result.place
    unseen = "could not be looked at: " if result.status is Status.UNKNOWN else ""
    return annotation(
        unseen + (result.detail or result.title) + (f"\nNext: {result.hint}" if result.hint else ""),
        title=f"{result.code} {result.title}",
        level=_COMMANDS[result.status],
        file=place.file if place else None,
        line=place.line if place else None,
    )
