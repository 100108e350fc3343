"""What did not pass as GitHub's workflow commands: annotations at the lines that they are about."""

from __future__ import annotations

from nomic_scaffold.models.report import CheckResult, Report, Status

_COMMANDS = {Status.FAIL: "error", Status.UNKNOWN: "error", Status.WARN: "warning"}


def render(report: Report) -> str:
    """Write one line per result that did not pass; nothing when all passed."""
    return "".join(_line(result) for result in report.results if result.status is not Status.PASS)


def _line(result: CheckResult) -> str:
    properties = []
    if result.place is not None:
        properties.append(f"file={_property(result.place.file)}")
        if result.place.line:
            properties.append(f"line={result.place.line}")
    properties.append(f"title={_property(f'{result.code} {result.title}')}")
    unseen = "could not be looked at: " if result.status is Status.UNKNOWN else ""
    message = unseen + (result.detail or result.title) + (f"\nNext: {result.hint}" if result.hint else "")
    return f"::{_COMMANDS[result.status]} {','.join(properties)}::{_data(message)}\n"


def _data(text: str) -> str:
    """Escape a message: actions/toolkit packages/core/src/command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
