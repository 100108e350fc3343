"""The probe on a real project with the official model file, in an environment of each runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomic_scaffold.adapters.golden import shipped_golden, shipped_texts
from nomic_scaffold.adapters.probe import run_probe
from nomic_scaffold.checks.vectors import decode, largest_difference
from nomic_scaffold.models.evidence import CaseFailure, EmbeddingsEvidence, Matrix, PrivacyEvidence
from nomic_scaffold.models.probe import TASKS
from tests.support.projects import prefix_of, spec_of

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("model")]
Seen = tuple[EmbeddingsEvidence, PrivacyEvidence]
TEXTS = shipped_texts().model_copy(update={"golden": tuple(t for t in shipped_texts().golden if len(t.text) < 150)})


@pytest.fixture(scope="module", params=["nomic", "torch"])
def seen(request: pytest.FixtureRequest, generated_project: Path) -> Seen:
    python: Path = request.getfixturevalue(f"{request.param}_environment")
    spec = spec_of(generated_project)
    embeddings, privacy = run_probe(prefix_of(python), root=generated_project, spec=spec, texts=TEXTS, timeout=1800)
    assert isinstance(embeddings, EmbeddingsEvidence), embeddings
    assert isinstance(privacy, PrivacyEvidence), privacy
    assert embeddings.runtime == request.param
    return embeddings, privacy


def matrix(seen: Seen, case: str) -> Matrix:
    found = seen[0].cases[case]
    assert isinstance(found, Matrix), found
    return found


def test_every_vector_is_the_golden_one(seen: Seen) -> None:
    (golden,) = shipped_golden()
    for task in TASKS:
        texts = [text for text in TEXTS.golden if text.task == task]
        for text, row in zip(texts, matrix(seen, f"golden:{task}").rows, strict=True):
            assert largest_difference(decode(row), decode(golden.vectors[text.id])) <= 1e-6, text.id
        assert matrix(seen, f"golden:{task}").tokens == tuple(golden.tokens[text.id] for text in texts)


def test_nothing_leaves_the_machine_though_a_key_is_there(seen: Seen) -> None:
    assert seen[1].attempts == ()
    assert "socket" in seen[1].watched


def test_every_case_that_must_be_refused_is_refused_with_the_index(seen: Seen) -> None:
    refused = {name: case for name, case in seen[0].cases.items() if name.startswith("refuse:")}
    wanted = {"empty", "blank", "not-text", "one-string", "unknown-task", "dimension", "too-long", "unreadable"}
    only_nomic = {"special-token"} if seen[0].runtime == "nomic" else set()
    assert {name.removeprefix("refuse:") for name in refused} == wanted | only_nomic
    for name, case in refused.items():
        assert isinstance(case, CaseFailure), name
        kind = {"refuse:one-string": "TypeError", "refuse:unknown-task": "ValueError", "refuse:dimension": "ValueError"}
        assert case.error == kind.get(name, "TextError")


def test_what_the_model_cannot_read_is_measured_and_warned_of(seen: Seen) -> None:
    shares = seen[0].unknown_share
    assert isinstance(shares, dict)
    assert shares["en"] == 0
    assert shares["zh"] > 0.5
    assert shares["th"] > 0.9
    assert "UnreadableWarning: texts[0]" in matrix(seen, "unreadable").warnings[0]


def test_it_says_what_ran(seen: Seen) -> None:
    evidence = seen[0]
    assert (evidence.device, evidence.dtype) == ("cpu", "float32")
    assert {"python", "numpy", "tokenizers", evidence.runtime} <= evidence.versions.keys()
