"""A report as JSON: a shape with a version, for programs; docs/reference/report.schema.json is made from the model."""

from __future__ import annotations

import json

from pydantic import ValidationError

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.report_words import verdict
from nomic_scaffold.models.report import Report, Status


def render(report: Report, *, strict: bool = False) -> str:
    """Write a report: its fields, and above them the exit code, the verdict and the counts."""
    head = {
        "schema_version": report.schema_version,
        "exit_code": int(report.exit_code(strict=strict)),
        "verdict": verdict(report),
        "counts": {status.value: report.count(status) for status in Status},
    }
    body = report.model_dump(mode="json", exclude={"schema_version"})
    return json.dumps(head | {"report": body}, ensure_ascii=False, indent=2) + "\n"


def parse(text: str, *, path: str) -> Report:
    """Read what `render` wrote; raises InputError for anything else."""
    try:
        data = json.loads(text)
        return Report.model_validate(data["report"] | {"schema_version": data["schema_version"]})
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(f"is not a report of this version: {error}", path=path) from error
