"""torch and the nomic client give the same vectors from the same file, or one of them refuses the text."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.disk.shipped import shipped

pytestmark = pytest.mark.weights
COMPONENT = 1e-6
STRINGS = 1000
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


def generated() -> list[str]:
    """A thousand strings from all of Unicode: words of one script, mixtures, marks, symbols."""
    draw = random.Random(4)
    blocks = [(32, 127), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0xE00), (0xE00, 0x2000)]
    blocks += [
        (0x2000, 0x2C00),
        (0x3040, 0x3100),
        (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A4),
        (0xF900, 0xFFFD),
        (0x1F300, 0x1FAFF),
    ]
    strings = []
    while len(strings) < STRINGS:
        chosen = draw.sample(blocks, draw.choice([1, 1, 2, 4]))
        text = "".join(
            " " if draw.random() < 0.15 else chr(draw.randrange(*draw.choice(chosen)))
            for _ in range(draw.randint(1, 8))
        )
        if text.strip():
            strings.append(text)
    return strings


def golden() -> list[str]:
    texts = json.loads(shipped("golden", "nomic-embed-text-v1.5.json").read_text(encoding="utf-8"))["texts"]
    return sorted({text["text"] for text in texts})


@pytest.fixture(scope="module")
def both(
    torch_environment: Path, nomic_environment: Path, generated_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], dict[str, dict[str, Any]], list[float]]:
    """The texts, what each runtime said, and how far apart the two vectors of a text are (NaN: refused)."""
    folder = tmp_path_factory.mktemp("parity")
    texts = golden() + generated()
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    said = {}
    for name, python in {"torch": torch_environment, "nomic": nomic_environment}.items():
        arguments = [str(folder / "texts.json"), str(folder / f"{name}.npy"), "40"]
        said[name] = output(python, generated_project, PROGRAM, *arguments)
    files = [str(folder / f"{name}.npy") for name in said]
    return texts, said, output(torch_environment, generated_project, COMPARE, *files)


def output(python: Path, project: Path, script: str, *arguments: str) -> Any:
    """Run a script with the project's package importable; give the JSON that it prints."""
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "PYTHONUTF8": "1"}
    command = [str(python), "-B", "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_a_vector_is_the_same_from_both_runtimes(
    both: tuple[list[str], dict[str, dict[str, Any]], list[float]],
) -> None:
    texts, _, apart = both
    compared = {text: far for text, far in zip(texts, apart, strict=True) if far == far}
    assert {text: far for text, far in compared.items() if far > COMPONENT} == {}
    assert len(compared) >= STRINGS


def test_what_can_not_agree_is_refused_by_the_runtime_that_has_it_wrong(
    both: tuple[list[str], dict[str, dict[str, Any]], list[float]],
) -> None:
    texts, said, _ = both
    only_nomic = {texts[int(index)] for index in said["nomic"]["refused"].keys() - said["torch"]["refused"].keys()}
    assert said["torch"]["refused"].keys() <= said["nomic"]["refused"].keys()
    long = [text for text in only_nomic if len(text) > 5000]
    assert all("[" in text for text in only_nomic.difference(long)), only_nomic


def test_a_text_alone_is_the_same_as_in_a_batch(both: tuple[list[str], dict[str, dict[str, Any]], list[float]]) -> None:
    _, said, _ = both
    assert said["torch"]["alone"] <= (0 if said["torch"]["same_bits"] else COMPONENT)
    assert said["nomic"]["alone"] <= COMPONENT
