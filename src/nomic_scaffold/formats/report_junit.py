"""A report as JUnit XML: a suite per group, a failure as `failure`, what could not be seen as `error`."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from nomic_scaffold.formats.report_words import TITLES
from nomic_scaffold.models.report import CheckResult, Report, Status

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report, *, strict: bool = False) -> str:
    """Write a report; with `strict` a warning is a failure too."""
    top = ET.Element("testsuites", name=_plain(report.subject))
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for group in report.groups():
        results = report.of(group)
        counts = {
            "tests": len(results),
            "failures": sum(_fails(result, strict=strict) for result in results),
            "errors": sum(result.status is Status.UNKNOWN for result in results),
        }
        suite = ET.SubElement(
            top,
            "testsuite",
            {
                "name": f"nomic-scaffold {TITLES[group].lower()}",
                **{name: str(count) for name, count in counts.items()},
                "skipped": "0",
                "time": "0",
                "timestamp": report.made_at.removesuffix("Z"),
                "hostname": "localhost",
            },
        )
        for result in results:
            _case(suite, result, strict=strict)
        totals = {name: totals[name] + counts[name] for name in totals}
    for name, count in totals.items():
        top.set(name, str(count))
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _case(suite: ET.Element, result: CheckResult, *, strict: bool) -> None:
    attributes = {"classname": f"verify.{result.group}", "name": _plain(f"{result.code} {result.title}"), "time": "0"}
    if result.place is not None:
        attributes["file"] = _plain(result.place.file)
        attributes |= {"line": str(result.place.line)} if result.place.line else {}
    case = ET.SubElement(suite, "testcase", attributes)
    told = _plain("\n".join(part for part in (result.detail, f"hint: {result.hint}" if result.hint else "") if part))
    if _fails(result, strict=strict):
        ET.SubElement(case, "failure", message=_plain(result.detail), type=result.status.value).text = told
    elif result.status is Status.UNKNOWN:
        ET.SubElement(case, "error", message=_plain(result.detail), type=result.status.value).text = told
    elif told:
        prefix = "warning: " if result.status is Status.WARN else ""
        ET.SubElement(case, "system-out").text = prefix + told


def _fails(result: CheckResult, *, strict: bool) -> bool:
    return result.status is Status.FAIL or (strict and result.status is Status.WARN)


def _plain(text: str) -> str:
    """Replace what XML 1.0 can't hold."""
    return _NOT_XML.sub("�", text)
