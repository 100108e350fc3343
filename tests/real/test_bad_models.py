"""A bad model that a project pins, whole and by its right hash: the file is judged by what its vectors know."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters import machine, weights
from nomic_scaffold.adapters.golden import shipped_texts
from nomic_scaffold.adapters.probe import run_probe
from nomic_scaffold.adapters.project import weights_path
from nomic_scaffold.checks.judge import judge
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.evidence import Evidence
from nomic_scaffold.models.report import Group, Status
from nomic_scaffold.workflows.verify import expect
from tests.support.projects import make_generated_project, pin, prefix_of, run_in, spec_of

pytestmark = pytest.mark.weights

REWRITE = """
import sys
import numpy as np
from my_project.gguf import open_weights

mistake, path = sys.argv[1:]
weights = open_weights(path)
writable = np.memmap(path, dtype=np.uint8, mode="r+")

def place(tensor):
    whole = tensor
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    start = tensor.ctypes.data - whole.ctypes.data
    return writable[start : start + tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)

rng = np.random.default_rng(0)
if mistake == "shuffled vocabulary":
    words = place(weights.tensor("embeddings.word_embeddings.weight"))
    words[:] = words[rng.permutation(len(words))]
else:
    for tensor in weights.tensors.values():
        if tensor.ndim == 2:
            place(tensor)[:] = rng.normal(0, float(tensor.std(dtype=np.float32)), tensor.shape)
writable.flush()
"""
FEW = frozenset(
    {"prefix-search-query", "prefix-search-document", "prefix-classification", "prefix-clustering"}
    | {"english", "upper-case", "lower-case", "headline"}
)
TEXTS = shipped_texts().model_copy(update={"golden": tuple(t for t in shipped_texts().golden if t.id in FEW)})


@pytest.mark.parametrize("mistake", ["random weights", "shuffled vocabulary"])
def test_a_bad_model_fails_whatever_its_hash_says(
    mistake: str, torch_environment: Path, official_weights: Path, tmp_path: Path
) -> None:
    project = make_generated_project(tmp_path / "my-project")
    file = weights_path(project, spec_of(project))
    file.parent.mkdir(parents=True)
    shutil.copyfile(official_weights, file)
    done = run_in(torch_environment, project, REWRITE, mistake, str(file))
    assert done.returncode == 0, done.stderr
    pin(project, file)
    (project / "locks" / "golden.json").unlink()
    spec = spec_of(project)
    embeddings, _ = run_probe(prefix_of(torch_environment), root=project, spec=spec, texts=TEXTS, timeout=1800)
    evidence = Evidence(
        tool_version="0",
        made_at="2026-11-23T12:00:00Z",
        machine=machine.facts(),
        weights=weights.inspect(file, spec.model),
        embeddings=embeddings,
    )
    groups = (Group.WEIGHTS, Group.EMBEDDINGS, Group.LANGUAGES)
    report = judge(replace(expect(project, spec, evidence), texts=TEXTS), evidence, groups=groups)
    failed = {result.code: result.detail for result in report.results if result.status is Status.FAIL}
    assert report.exit_code() is ExitCode.CHECK_FAILED
    assert {"EMB016", "EMB017", "LNG003", "LNG004"} <= failed.keys(), failed
    (rows,) = [row for row in report.figures.languages if row.code == "en"]
    assert rows.margin is not None
    assert rows.margin < 0
    assert {result.status for result in report.of(Group.WEIGHTS)} == {Status.PASS}
