"""The golden vectors that ship: remade from the official file, and held against what somebody else published."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "tests" / "data" / "text-embeddings-inference.json"
pytestmark = pytest.mark.weights

SCRIPT = """
import base64, json, sys
import numpy as np
sys.path.insert(0, "tools")
import make_golden as made

weights = made.open_weights(sys.argv[1])
tokenizer = made.build_tokenizer(weights.vocabulary)
model = made.load(weights.tensors)
published = json.load(open("tests/data/text-embeddings-inference.json"))["vectors"]
cosines = {}
for text, vector in published.items():
    ours, theirs = made.run(model, tokenizer.encode(text).ids), np.array(vector)
    cosines[text] = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
golden = json.load(open(made.GOLDEN / "nomic-embed-text-v1.5.json"))
off = {}
for text in golden["texts"]:
    if len(text["text"]) < 60:
        ids = tokenizer.encode(f"{text['task']}: {text['text']}").ids
        known = np.frombuffer(base64.b64decode(golden["vectors"][text["id"]]), "<f4")
        off[text["id"]] = float(np.abs(made.finish(made.run(model, ids)) - known).max())
json.dump({"cosines": cosines, "off": off}, sys.stdout)
"""


@pytest.fixture(scope="module")
def remade(torch_environment: Path, official_weights: Path) -> dict[str, dict[str, float]]:
    command = [str(torch_environment), "-B", "-c", SCRIPT, str(official_weights)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_same_code_agrees_with_vectors_published_by_text_embeddings_inference(
    remade: dict[str, dict[str, float]],
) -> None:
    assert remade["cosines"].keys() == json.loads(PUBLISHED.read_text())["vectors"].keys()
    assert "What is Deep Learning?" in remade["cosines"]
    assert min(remade["cosines"].values()) > 0.999999


def test_the_golden_vectors_can_be_made_again(remade: dict[str, dict[str, float]]) -> None:
    assert len(remade["off"]) >= 30
    assert {name: off for name, off in remade["off"].items() if off > 5e-7} == {}
