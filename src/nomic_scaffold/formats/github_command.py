"""GitHub's workflow commands: one line that the runner turns into an annotation."""

from __future__ import annotations


def annotation(
    message: str, *, title: str, level: str = "error", file: str | None = None, line: int | None = None
) -> str:
    """Write an annotation, at the line that it is about where that is known; `level` is error, warning or notice."""
    properties = []
    if file is not None:
        properties.append(f"file={_property(file)}")
        if line:
            properties.append(f"line={line}")
    properties.append(f"title={_property(title)}")
    return f"::{level} {','.join(properties)}::{_data(message)}\n"


def _data(text: str) -> str:
    """Escape a message: actions/toolkit packages/core/src/command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
