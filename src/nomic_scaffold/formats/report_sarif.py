"""What did not pass as SARIF 2.1.0, for code scanning: each result at the line of the project's file it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nomic_scaffold.models.report import CheckResult, Report, Status

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Status.FAIL: "error", Status.UNKNOWN: "error", Status.WARN: "warning"}
_FALLBACK = "scaffold.toml"
"""Code scanning refuses a result without a place."""


def render(report: Report, *, explanations: Mapping[str, str], strict: bool = False) -> str:
    """Write the results that did not pass; `explanations` gives each code's paragraph.

    Passed checks are left out: code scanning would open an alert for each.
    """
    told = [result for result in report.results if result.status is not Status.PASS]
    codes = list(dict.fromkeys(result.code for result in report.results))
    titles = {result.code: result.title for result in report.results}
    code = report.exit_code(strict=strict)
    run = {
        "tool": {
            "driver": {
                "name": "nomic-scaffold",
                "version": report.tool_version,
                "rules": [_rule(code, titles[code], explanations.get(code, "")) for code in codes],
            }
        },
        "invocations": [{"executionSuccessful": True, "exitCode": int(code), "endTimeUtc": report.made_at}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(result, codes.index(result.code)) for result in told],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2) + "\n"


def _rule(code: str, title: str, explanation: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code, "shortDescription": {"text": title}}
    if explanation:
        rule |= {"fullDescription": {"text": explanation}, "help": {"text": explanation}}
    return rule


def _result(result: CheckResult, rule: int) -> dict[str, Any]:
    place = result.place
    location: dict[str, Any] = {"artifactLocation": {"uri": place.file if place else _FALLBACK}}
    location["region"] = {"startLine": place.line if place and place.line else 1}
    unseen = "could not be looked at: " if result.status is Status.UNKNOWN else ""
    message = f"{unseen}{result.title}: {result.detail}" if result.detail else unseen + result.title
    return {
        "ruleId": result.code,
        "ruleIndex": rule,
        # An unknown would be kind "open", which demands level "none", which code scanning does not show.
        "kind": "fail",
        "level": _LEVELS[result.status],
        "message": {"text": message + (f"\nNext: {result.hint}" if result.hint else "")},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"nomicScaffoldCheck/v1": f"{result.code}:{place.file if place else _FALLBACK}"},
    }
