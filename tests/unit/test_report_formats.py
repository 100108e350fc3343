from __future__ import annotations

import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from rich.console import Console

from nomic_scaffold.checks.codes import CODES
from nomic_scaffold.cli.render.report import draw
from nomic_scaffold.errors import ExitCode, InputError
from nomic_scaffold.formats import (
    evidence,
    report_github,
    report_html,
    report_json,
    report_junit,
    report_markdown,
    report_sarif,
    report_words,
)
from nomic_scaffold.formats.report_html_figures import deviations
from nomic_scaffold.formats.report_words import golden_summary
from nomic_scaffold.models.evidence import WeightsEvidence
from nomic_scaffold.models.report import Report, Status
from tests.support import synthetic

EXPLANATIONS = {code: declared.explanation for code, declared in CODES.items()}


class TestWords:
    def test_all_passed(self) -> None:
        assert report_words.verdict(synthetic.passed()) == f"All {len(synthetic.passed().results)} checks passed."
        assert report_words.proven(synthetic.passed()).startswith("Proven: the model file is the pinned")

    def test_a_failure_comes_before_what_could_not_be_seen(self) -> None:
        found = synthetic.failed()
        total, failed = len(found.results), found.count(Status.FAIL)
        assert report_words.verdict(found) == f"{failed} of {total} checks failed; 1 could not be looked at."
        assert "model file" not in report_words.proven(found)
        assert report_words.next_step(found) == "nomic-scaffold weights pull"
        order = [result.status for result in report_words.notable(found)]
        assert order == sorted(order, key=[Status.FAIL, Status.UNKNOWN, Status.WARN].index)

    def test_what_could_not_be_seen_is_not_proven(self) -> None:
        found = synthetic.report(privacy=None)
        assert report_words.verdict(found) == f"Not proven: 1 of {len(found.results)} checks could not be looked at."
        assert "network" not in report_words.proven(found)

    def test_a_group_with_a_warning_is_not_proven(self) -> None:
        warned = synthetic.failed().results[-1]
        found = synthetic.passed()
        found = found.model_copy(update={"results": (*found.results, warned)})
        assert "embed()" in report_words.proven(synthetic.passed())
        assert "embed()" not in report_words.proven(found)
        assert report_words.verdict(found) == f"No check failed; 1 of {len(found.results)} warned."

    def test_nothing_checked_is_no_pass(self) -> None:
        assert report_words.verdict(synthetic.passed().model_copy(update={"results": ()})) == "Nothing was checked."


class TestJson:
    def test_has_a_version_an_exit_code_and_the_whole_report(self) -> None:
        data = json.loads(report_json.render(synthetic.failed()))
        assert (data["schema_version"], data["exit_code"]) == (1, 1)
        assert data["counts"] == {status: synthetic.failed().count(Status(status)) for status in data["counts"]}
        assert report_json.parse(json.dumps(data), path="r.json") == synthetic.failed()

    def test_strict_makes_a_warning_count(self) -> None:
        warned = synthetic.failed().model_copy(update={"results": synthetic.failed().results[-1:]})
        assert json.loads(report_json.render(warned))["exit_code"] == ExitCode.OK
        assert json.loads(report_json.render(warned, strict=True))["exit_code"] == ExitCode.CHECK_FAILED

    def test_another_version_is_refused(self) -> None:
        text = report_json.render(synthetic.passed()).replace('"schema_version": 1', '"schema_version": 2', 1)
        with pytest.raises(InputError, match=r"r\.json: is not a report of this version"):
            report_json.parse(text, path="r.json")


JUNIT = {
    "testsuites": {"name", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
    "testcase": {"classname", "name", "time", "file", "line"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "system-out": set(),
}


class TestJunit:
    def test_counts_what_it_holds(self) -> None:
        found = synthetic.failed()
        top = ET.fromstring(report_junit.render(found))
        assert top.tag == "testsuites"
        for suite in top:
            assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
            assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
            assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
        assert int(top.get("tests", "")) == len(found.results)
        assert int(top.get("failures", "")) == found.count(Status.FAIL)
        assert int(top.get("errors", "")) == found.count(Status.UNKNOWN) == 1

    def test_uses_only_what_the_common_schema_knows(self) -> None:
        for element in ET.fromstring(report_junit.render(synthetic.failed())).iter():
            assert element.tag in JUNIT
            assert set(element.attrib) <= JUNIT[element.tag]

    def test_strict_makes_a_warning_a_failure(self) -> None:
        found = synthetic.failed()
        top = ET.fromstring(report_junit.render(found, strict=True))
        assert int(top.get("failures", "")) == found.count(Status.FAIL, Status.WARN)


class TestSarif:
    def test_each_result_has_a_rule_and_a_place(self) -> None:
        found = synthetic.failed()
        log = json.loads(report_sarif.render(found, explanations=EXPLANATIONS))
        assert log["version"] == "2.1.0"
        (run,) = log["runs"]
        rules = run["tool"]["driver"]["rules"]
        assert len({rule["id"] for rule in rules}) == len(rules)
        assert all(rule["fullDescription"]["text"] for rule in rules)
        assert len(run["results"]) == found.count(Status.FAIL, Status.UNKNOWN, Status.WARN)
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            place = result["locations"][0]["physicalLocation"]
            assert place["region"]["startLine"] >= 1
            assert result["level"] in {"error", "warning"}
        (weights,) = [r for r in run["results"] if r["ruleId"] == "WGT003"]
        place = weights["locations"][0]["physicalLocation"]
        assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("scaffold.toml", 38)
        assert run["invocations"][0]["exitCode"] == 1

    def test_opens_no_alert_for_what_passed(self) -> None:
        assert json.loads(report_sarif.render(synthetic.passed(), explanations={}))["runs"][0]["results"] == []


class TestGithub:
    def test_an_annotation_stands_at_its_line_with_its_text_escaped(self) -> None:
        lines = report_github.render(synthetic.failed()).splitlines()
        assert len(lines) == synthetic.failed().count(Status.FAIL, Status.UNKNOWN, Status.WARN)
        (weights,) = [line for line in lines if "WGT003" in line]
        assert weights.startswith("::error file=scaffold.toml,line=38,title=WGT003 ")
        (odd,) = [line for line in lines if "the probe died" in line]
        assert "%22" not in odd
        assert '<b>"50%25"</b>' in odd
        assert "%0A" in odd
        (warning,) = [line for line in lines if line.startswith("::warning")]
        assert warning == "::warning title=EMB010 bits::a warning, with: commas"

    def test_says_nothing_when_all_passed(self) -> None:
        assert report_github.render(synthetic.passed()) == ""


class TestMarkdown:
    def test_every_row_of_a_table_has_as_many_cells(self) -> None:
        for report in (synthetic.passed(), synthetic.failed()):
            width = None
            for line in report_markdown.render(report).splitlines():
                if not line.startswith("|"):
                    width = None
                    continue
                cells = len(re.findall(r"(?<!\\)\|", line))
                assert width in (None, cells), line
                width = cells

    def test_text_is_never_read_as_markup(self) -> None:
        text = report_markdown.render(synthetic.failed())
        assert "<b>" not in text
        assert "&#60;b&#62;" in text

    def test_says_the_verdict_the_figures_and_what_comes_next(self) -> None:
        text = report_markdown.render(synthetic.failed())
        assert text.startswith("## ❌ my-project ")
        for part in ("### Golden vectors", "Likeliest cause", "### Languages", "### The chain", "`scaffold.toml:38`"):
            assert part in text
        assert "Next: `nomic-scaffold weights pull`" in text


VOID = {"meta", "link", "br"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in {"href", "src"} and value:
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("which", ["passed", "failed"])
class TestHtml:
    def page(self, which: str) -> tuple[str, _Page, Report]:
        report = {"passed": synthetic.passed, "failed": synthetic.failed}[which]()
        text = report_html.render(report, explanations=EXPLANATIONS)
        page = _Page()
        page.feed(text)
        assert page.open == []
        return text, page, report

    def test_is_self_contained(self, which: str) -> None:
        _, page, _ = self.page(which)
        assert not page.tags & {"script", "img", "iframe", "object"}
        assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
        assert all(link.startswith("#") or link == "data:," for link in page.links)
        assert len(page.ids) == len(set(page.ids))
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)

    def test_holds_every_check_and_figure(self, which: str) -> None:
        text, page, report = self.page(which)
        assert {"verdict", "chain", "similarity", "golden", "languages-read", "machine"} <= set(page.ids)
        for result in report.results:
            assert result.code in text
        for one in report.figures.deviations:
            assert one.id in text

    def test_text_is_never_read_as_markup(self, which: str) -> None:
        _, page, _ = self.page(which)
        assert "b" in page.tags
        assert '<b>"50%"' not in self.page(which)[0]


class TestConsole:
    def drawn(self, report: Report, *, width: int = 80, quiet: bool = False, encoding: str = "utf-8") -> str:
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
        draw(report, Console(file=file, width=width), quiet=quiet)
        file.flush()
        file.seek(0)
        return file.read()

    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_fits_the_terminal(self, width: int) -> None:
        for report in (synthetic.passed(), synthetic.failed()):
            assert max(map(len, self.drawn(report, width=width).splitlines())) <= width

    def test_without_colour_every_status_is_a_word(self) -> None:
        text = self.drawn(synthetic.failed())
        assert "\x1b" not in text
        for word in ("✓ pass", "✗ fail", "? unknown", "! warn"):
            assert word in text

    def test_a_terminal_without_unicode_gets_words_only(self) -> None:
        assert "fail" in self.drawn(
            synthetic.passed().model_copy(update={"results": synthetic.failed().results[:3]}), encoding="ascii"
        )

    def test_quiet_says_only_what_did_not_pass(self) -> None:
        assert "EMB003" not in self.drawn(synthetic.failed(), quiet=True)
        assert "WGT003" in self.drawn(synthetic.failed(), quiet=True)
        assert "checks passed." in self.drawn(synthetic.passed(), quiet=True)


@pytest.mark.parametrize("largest", [1e-15, 1e-9, 1e-3, 0.9], ids=str)
@pytest.mark.parametrize("bar", [1e-12, 1e-6, 1e-2, 1.0], ids=str)
def test_no_label_of_the_deviations_is_cut_off_or_runs_into_another(largest: float, bar: float) -> None:
    figures = synthetic.passed().figures
    one = figures.deviations[0]
    far = one.model_copy(update={"component": largest, "cosine_distance": largest, "bit_identical": False})
    found = figures.model_copy(update={"deviations": (far,), "tolerance_cosine": bar, "tolerance_component": bar})
    root = ET.fromstring(deviations(found))
    lines: dict[str, list[tuple[float, float]]] = {}
    for text in root.findall("text"):
        if text.get("class") in {"axis", "bar"}:
            width = 6.5 * len(text.text or "")  # of 10 px type
            shift = {"middle": width / 2, "end": width}.get(text.get("text-anchor", "start"), 0)
            left = float(text.get("x", "")) - shift
            lines.setdefault(text.get("y", ""), []).append((left, left + width))
    for spans in lines.values():
        spans.sort()
        assert spans[0][0] >= 0
        assert spans[-1][1] <= float(root.get("width", ""))
        assert all(a[1] < b[0] for a, b in itertools.pairwise(spans)), spans


OFF = {
    "another processor": (1.5e-7, "cpu", "float32", "normal for another processor, thread count or runtime"),
    "half precision": (2e-3, "cpu", "bfloat16", "normal for bfloat16"),
    "a CPU too far off": (5e-6, "cpu", "float32", "not normal"),
    "nobody knows": (5e-6, "cuda", "float32", "nobody has measured what is normal for float32 on cuda"),
}


@pytest.mark.parametrize(("by", "device", "dtype", "meaning"), OFF.values(), ids=OFF)
def test_every_form_says_the_same_of_a_deviation(by: float, device: str, dtype: str, meaning: str) -> None:
    seen = synthetic.changed(synthetic.embeddings(), "golden:*", lambda rows: [[r[0] + by, *r[1:]] for r in rows])
    report = synthetic.report(embeddings=synthetic.on(seen, device, dtype))
    (told,) = [result.detail for result in report.results if result.code == "EMB018"]
    assert meaning in told or "are off" in told
    assert f": {meaning}. 0 of 16 bit-identical." in golden_summary(report.figures)


def test_the_bar_on_cosines_counts_too() -> None:
    figures = synthetic.passed().figures
    far = figures.deviations[0].model_copy(update={"bit_identical": False, "cosine_distance": 1e-4})
    told = golden_summary(figures.model_copy(update={"deviations": (far,), "golden_meaning": "not normal"}))
    assert "largest 1 - cos 1.0e-04 (the bar is 1e-09): not normal." in told


def test_a_missing_model_file_has_no_hash_in_the_chain() -> None:
    gone = WeightsEvidence(file="model.gguf", size=None, sha256=None)
    (link,) = [link for link in synthetic.report(weights=gone).figures.chain if link.name == "weights"]
    assert link.value == "model.gguf is not there"


def test_evidence_is_read_back() -> None:
    assert evidence.parse(evidence.render(synthetic.evidence()), path="e.json") == synthetic.evidence()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"e\.json: is not evidence that this version reads: the file: Invalid JSON"),
        ("{}", r"tool_version: Field required"),
        ('{"schema_version": 2}', r"schema_version: Input should be 1"),
        ('{"surprise": 1}', r"tool_version"),
    ],
)
def test_a_file_that_is_no_evidence_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evidence.parse(text, path="e.json")
