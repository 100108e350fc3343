"""The whole judgement of a real project with the official model file, by each runtime."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters import machine, weights
from nomic_scaffold.adapters.golden import shipped_texts
from nomic_scaffold.adapters.probe import run_probe
from nomic_scaffold.adapters.project import weights_path
from nomic_scaffold.checks.judge import judge
from nomic_scaffold.models.evidence import Evidence
from nomic_scaffold.models.probe import RuntimeChoice
from nomic_scaffold.models.report import Group, Report, Status
from nomic_scaffold.workflows.verify import expect
from tests.support.projects import prefix_of, spec_of

pytestmark = pytest.mark.weights

KINDS = frozenset(
    {"prefix-search-query", "prefix-search-document", "prefix-classification", "prefix-clustering", "upper-case"}
    | {"lower-case", "accents-decomposed", "chinese", "korean", "hindi", "code-python", "review", "headline"}
)
TEXTS = shipped_texts().model_copy(update={"golden": tuple(t for t in shipped_texts().golden if t.id in KINDS)})
GROUPS = (Group.WEIGHTS, Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY)


CHOICES = {
    "nomic": RuntimeChoice(runtime="nomic"),
    "torch": RuntimeChoice(runtime="torch"),
    "torch-exact": RuntimeChoice(engine="exact"),
    "torch-bfloat16": RuntimeChoice(dtype="bfloat16"),
}
EXACT = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86-64 only")


@pytest.fixture(scope="module", params=[pytest.param(n, marks=EXACT if "exact" in n else ()) for n in CHOICES])
def report(request: pytest.FixtureRequest, generated_project: Path) -> Report:
    python: Path = request.getfixturevalue(f"{request.param.partition('-')[0]}_environment")
    spec, on = spec_of(generated_project), CHOICES[request.param]
    embeddings, privacy = run_probe(
        prefix_of(python), root=generated_project, spec=spec, texts=TEXTS, timeout=1800, on=on
    )
    evidence = Evidence(
        tool_version="0",
        made_at="2026-11-23T12:00:00Z",
        machine=machine.facts(),
        weights=weights.inspect(weights_path(generated_project, spec), spec.model),
        embeddings=embeddings,
        privacy=privacy,
    )
    return judge(replace(expect(generated_project, spec, evidence), texts=TEXTS), evidence, groups=GROUPS)


def test_every_check_passes(report: Report) -> None:
    assert [(r.code, r.detail) for r in report.results if r.status is not Status.PASS] == []


def test_what_was_claimed_was_looked_at(report: Report) -> None:
    codes = {result.code for result in report.results}
    made_by = report.figures.made_by
    both = {f"EMB{n:03}" for n in (*range(1, 9), 11, 12, 13, 14, 16, 17, 18, 20, 21)}
    both |= {"EMB019"} if made_by["dtype"] == "float32" else set()  # nobody blessed the other types
    torch = {"EMB009", "EMB015"} if made_by["runtime"] == "torch" else set()
    torch |= {"EMB010"} if made_by.get("same bits") == "promised" else set()
    others = {"WGT001", "WGT002", "WGT003", "LNG001", "LNG002", "LNG003", "LNG004", "PRV001", "PRV002"}
    assert codes == both | torch | others


def test_the_figures_are_those_of_the_official_model(report: Report) -> None:
    rows = {row.code: row for row in report.figures.languages}
    assert rows["en"].margin == pytest.approx(0.145, abs=0.001)
    assert rows["en"].understood
    assert rows["zh"].readable is False
    assert rows["th"].unknown_share == 1
    coarse = report.figures.made_by["dtype"] == "bfloat16"
    assert max(one.component for one in report.figures.deviations) < (4e-3 if coarse else 3e-7)
