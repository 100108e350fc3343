"""The probe and the judgement of a real project with the official model file, by each runtime.

Both are tested on one run of the probe for each runtime, on texts of every kind that goes wrong somewhere.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters import machine, weights
from nomic_scaffold.adapters.golden import shipped_golden, shipped_texts
from nomic_scaffold.adapters.probe import run_probe
from nomic_scaffold.adapters.project import weights_path
from nomic_scaffold.checks.judge import judge
from nomic_scaffold.checks.vectors import decode, largest_difference
from nomic_scaffold.models.evidence import CaseFailure, EmbeddingsEvidence, Evidence, Matrix, PrivacyEvidence
from nomic_scaffold.models.probe import TASKS, RuntimeChoice
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


@dataclass(frozen=True)
class Seen:
    """What the probe saw, and what was made of it."""

    embeddings: EmbeddingsEvidence
    privacy: PrivacyEvidence
    report: Report

    def matrix(self, case: str) -> Matrix:
        found = self.embeddings.cases[case]
        assert isinstance(found, Matrix), found
        return found


CHOICES = {
    "nomic": RuntimeChoice(runtime="nomic"),
    "torch": RuntimeChoice(runtime="torch"),
    "torch-exact": RuntimeChoice(engine="exact"),
    "torch-bfloat16": RuntimeChoice(dtype="bfloat16"),
}
EXACT = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86-64 only")


@pytest.fixture(scope="module", params=[pytest.param(n, marks=EXACT if "exact" in n else ()) for n in CHOICES])
def seen(request: pytest.FixtureRequest, generated_project: Path) -> Seen:
    runtime = request.param.partition("-")[0]
    python: Path = request.getfixturevalue(f"{runtime}_environment")
    spec, on = spec_of(generated_project), CHOICES[request.param]
    embeddings, privacy = run_probe(
        prefix_of(python), root=generated_project, spec=spec, texts=TEXTS, timeout=1800, on=on
    )
    assert isinstance(embeddings, EmbeddingsEvidence), embeddings
    assert isinstance(privacy, PrivacyEvidence), privacy
    assert embeddings.runtime == runtime
    evidence = Evidence(
        tool_version="0",
        made_at="2026-11-23T12:00:00Z",
        machine=machine.facts(),
        weights=weights.inspect(weights_path(generated_project, spec), spec.model),
        embeddings=embeddings,
        privacy=privacy,
    )
    expected = replace(expect(generated_project, spec, evidence), texts=TEXTS)
    return Seen(embeddings, privacy, judge(expected, evidence, groups=GROUPS))


# What the probe saw.


def test_every_vector_is_the_golden_one(seen: Seen) -> None:
    (golden,) = shipped_golden()
    bar = 1e-6 if seen.embeddings.dtype == "float32" else 4e-3
    for task in TASKS:
        texts = [text for text in TEXTS.golden if text.task == task]
        for text, row in zip(texts, seen.matrix(f"golden:{task}").rows, strict=True):
            assert largest_difference(decode(row), decode(golden.vectors[text.id])) <= bar, text.id
        assert seen.matrix(f"golden:{task}").tokens == tuple(golden.tokens[text.id] for text in texts)


def test_nothing_leaves_the_machine_though_a_key_is_there(seen: Seen) -> None:
    assert seen.privacy.attempts == ()
    assert "socket" in seen.privacy.watched


def test_every_case_that_must_be_refused_is_refused_with_the_index(seen: Seen) -> None:
    refused = {name: case for name, case in seen.embeddings.cases.items() if name.startswith("refuse:")}
    wanted = {"empty", "blank", "not-text", "one-string", "unknown-task", "dimension", "too-long", "unreadable"}
    only_nomic = {"special-token"} if seen.embeddings.runtime == "nomic" else set()
    assert {name.removeprefix("refuse:") for name in refused} == wanted | only_nomic
    for name, case in refused.items():
        assert isinstance(case, CaseFailure), name
        kind = {"refuse:one-string": "TypeError", "refuse:unknown-task": "ValueError", "refuse:dimension": "ValueError"}
        assert case.error == kind.get(name, "TextError")


def test_what_the_model_cannot_read_is_measured_and_warned_of(seen: Seen) -> None:
    shares = seen.embeddings.unknown_share
    assert isinstance(shares, dict)
    assert shares["en"] == 0
    assert shares["zh"] > 0.5
    assert shares["th"] > 0.9
    assert "UnreadableWarning: texts[0]" in seen.matrix("unreadable").warnings[0]


def test_it_says_what_ran(seen: Seen) -> None:
    evidence = seen.embeddings
    assert evidence.device == "cpu"
    assert {"python", "numpy", "tokenizers", evidence.runtime} <= evidence.versions.keys()


# What was made of it.


def test_every_check_passes(seen: Seen) -> None:
    assert [(r.code, r.detail) for r in seen.report.results if r.status is not Status.PASS] == []


def test_what_was_claimed_was_looked_at(seen: Seen) -> None:
    codes = {result.code for result in seen.report.results}
    made_by = seen.report.figures.made_by
    both = {f"EMB{n:03}" for n in (*range(1, 9), 11, 12, 13, 14, 16, 17, 18, 20, 21)}
    both |= {"EMB019"} if made_by["dtype"] == "float32" else set()  # nobody blessed the other types
    torch = {"EMB009", "EMB015"} if made_by["runtime"] == "torch" else set()
    torch |= {"EMB010"} if made_by.get("same bits") == "promised" else set()
    others = {"WGT001", "WGT002", "WGT003", "LNG001", "LNG002", "LNG003", "LNG004", "PRV001", "PRV002"}
    assert codes == both | torch | others


def test_the_figures_are_those_of_the_official_model(seen: Seen) -> None:
    rows = {row.code: row for row in seen.report.figures.languages}
    assert rows["en"].margin == pytest.approx(0.145, abs=0.001)
    assert rows["en"].understood
    assert rows["zh"].readable is False
    assert rows["th"].unknown_share == 1
    coarse = seen.report.figures.made_by["dtype"] == "bfloat16"
    assert max(one.component for one in seen.report.figures.deviations) < (4e-3 if coarse else 3e-7)
