"""torch and the nomic client give the same vectors from the same file, or one of them refuses the text.

torch runs in a conda environment where the tests can make one (Linux), the client in a virtual environment from PyPI;
once with one thread, and on fewer texts with two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.disk.shipped import shipped
from tests.support.channel import locked, mirrored, real_channel
from tests.support.conda_environment import Bench
from tests.support.server import serve
from tests.support.strings import RANGES, strings

pytestmark = pytest.mark.weights
COMPONENT = 1e-6
STRINGS, FEW = 1000, 100
PROGRAM = """
import json, sys
import numpy as np
from my_project import embed
from my_project.embedding import TextError, open_runtime

texts, place, alone = json.load(open(sys.argv[1], encoding="utf-8")), sys.argv[2], int(sys.argv[3])
refused, rows = {}, np.full((len(texts), 768), np.nan, np.float32)
for start in range(0, len(texts), 200):
    chosen = list(range(start, min(start + 200, len(texts))))
    while chosen:
        try:
            rows[chosen] = embed([texts[index] for index in chosen], unknown="ignore")
            break
        except TextError as error:
            refused[chosen.pop(error.index)] = str(error)
kept = [index for index in range(len(texts)) if index not in refused][-alone:]
single = np.concatenate([embed([texts[index]], unknown="ignore") for index in kept])
np.save(place, rows)
same_bits = getattr(open_runtime(), "same_bits", False)
print(json.dumps({"refused": refused, "alone": float(np.abs(single - rows[kept]).max()), "same_bits": same_bits}))
"""
COMPARE = """
import json, sys
import numpy as np
a, b = (np.load(place).astype(np.float64) for place in sys.argv[1:])
print(json.dumps(np.abs(a - b).max(axis=1).tolist()))
"""


def golden() -> list[str]:
    texts = json.loads(shipped("golden", "nomic-embed-text-v1.5.json").read_text(encoding="utf-8"))["texts"]
    return sorted({text["text"] for text in texts})


@dataclass(frozen=True)
class Run:
    """What the runtimes made of the same texts with the same number of threads."""

    texts: list[str]
    said: dict[str, dict[str, Any]]
    """By runtime: `refused` (index -> reason), `alone`, `same_bits`."""
    vectors: dict[str, Path]


@pytest.fixture(scope="module")
def torch_python(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Python of a conda environment with torch, from a served channel; elsewhere than on Linux, of a virtual one."""
    if sys.platform != "linux":
        python: Path = request.getfixturevalue("torch_environment")
        return python
    wanted = ("python", "pytorch * cpu*", "transformers", "tokenizers", "safetensors", "numpy")
    bench = Bench(tmp_path_factory.mktemp("conda"), locked(real_channel(), *wanted))
    with serve(real_channel()) as served, pytest.MonkeyPatch.context() as patch:
        for name, value in mirrored(served.url).items():
            patch.setenv(name, value)
        bench.install()
    return bench.prefix / "bin" / "python"


@pytest.fixture(scope="module")
def runs(
    torch_python: Path, nomic_environment: Path, generated_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Run]:
    """By threads: the golden texts and strings from all of Unicode; fewer of these with two."""
    generated = strings(list(RANGES.values()), STRINGS, longest=24)
    found = {}
    long = [text for text in golden() if len(text) > 1000]
    few = [*(text for text in golden() if text not in long), *generated[:FEW]]
    for threads, texts in {1: [*few, *long, *generated[FEW:]], 2: few}.items():
        folder = tmp_path_factory.mktemp("parity")
        run = Run(texts, {}, {name: folder / f"{name}.npy" for name in ("torch", "nomic")})
        (folder / "texts.json").write_text(json.dumps(run.texts), encoding="utf-8")
        for name, python in {"torch": torch_python, "nomic": nomic_environment}.items():
            arguments = [str(folder / "texts.json"), str(run.vectors[name]), "40"]
            run.said[name] = output(python, generated_project, PROGRAM, *arguments, threads=threads)
        found[threads] = run
    return found


def apart(a: Path, b: Path, python: Path, project: Path) -> list[float]:
    """Give the largest difference of a component for each text; NaN where one of them refused it."""
    found: list[float] = output(python, project, COMPARE, str(a), str(b))
    return found


def output(python: Path, project: Path, script: str, *arguments: str, threads: int = 1) -> Any:
    """Run a script with the project's package importable; give the JSON that it prints."""
    variables = {"PYTHONPATH": str(project / "src"), "PYTHONUTF8": "1", "OMP_NUM_THREADS": str(threads)}
    environment = os.environ | variables | {"OMP_WAIT_POLICY": "PASSIVE"}
    command = [str(python), "-B", "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_vector_is_the_same_from_both_runtimes(
    threads: int, runs: dict[int, Run], nomic_environment: Path, generated_project: Path
) -> None:
    run = runs[threads]
    far = apart(run.vectors["torch"], run.vectors["nomic"], nomic_environment, generated_project)
    compared = {text: off for text, off in zip(run.texts, far, strict=True) if off == off}
    assert {text: off for text, off in compared.items() if off > COMPONENT} == {}
    assert len(compared) >= 0.9 * len(run.texts)  # what is all unassigned, both refuse as empty


@pytest.mark.parametrize("runtime", ["torch", "nomic"])
def test_a_vector_is_the_same_with_another_number_of_threads(
    runtime: str, runs: dict[int, Run], nomic_environment: Path, generated_project: Path, tmp_path: Path
) -> None:
    one, two = runs[1].vectors[runtime], runs[2].vectors[runtime]
    first = tmp_path / "first.npy"
    cut = "import sys, numpy as np; np.save(sys.argv[2], np.load(sys.argv[1])[:int(sys.argv[3])]); print(0)"
    output(nomic_environment, generated_project, cut, str(one), str(first), str(len(runs[2].texts)))
    off = max(far for far in apart(first, two, nomic_environment, generated_project) if far == far)
    assert off <= (0 if runs[1].said[runtime]["same_bits"] else COMPONENT)


def test_what_can_not_agree_is_refused_by_the_runtime_that_has_it_wrong(runs: dict[int, Run]) -> None:
    texts, said = runs[1].texts, runs[1].said
    only_nomic = {texts[int(index)] for index in said["nomic"]["refused"].keys() - said["torch"]["refused"].keys()}
    assert said["torch"]["refused"].keys() <= said["nomic"]["refused"].keys()
    assert all("is empty" in reason for reason in said["torch"]["refused"].values())
    long = [text for text in only_nomic if len(text) > 5000]
    assert all("[" in text for text in only_nomic.difference(long)), only_nomic


def test_a_text_alone_is_the_same_as_in_a_batch(runs: dict[int, Run]) -> None:
    said = runs[1].said
    assert said["torch"]["alone"] <= (0 if said["torch"]["same_bits"] else COMPONENT)
    assert said["nomic"]["alone"] <= COMPONENT
