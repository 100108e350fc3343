"""Smoke test of the embeddings: plain pytest in the project's environment, with the pinned model file in place."""

import base64
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from my_project import TextError, UnreadableWarning, embed

ROOT = Path(__file__).resolve().parents[1]
PAIRS = [
    ("A cat is sleeping on the sofa.", "The kitten is taking a nap on the couch."),
    ("How can I reset my forgotten password?", "I can't remember my password and need to set a new one."),
    ("Water boils at one hundred degrees Celsius.", "The boiling point of water is 100 °C."),
    ("Stock prices fell sharply on Monday.", "On Monday, shares dropped steeply in value."),
]


def test_vectors_are_float32_of_unit_length():
    vectors = embed(["A cat is sleeping on the sofa.", "Water boils."])
    assert vectors.shape == (2, 768)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_no_text_gives_no_vector_and_a_smaller_dimension_is_the_start_of_the_whole():
    assert embed([]).shape == (0, 768)
    whole, small = embed(["Water boils."])[0], embed(["Water boils."], dimension=256)[0]
    assert np.abs(whole[:256] / np.linalg.norm(whole[:256]) - small).max() < 1e-6


def test_every_related_pair_is_closer_than_any_unrelated_one():
    vectors = embed([text for pair in PAIRS for text in pair], task="clustering")
    cosine = vectors @ vectors.T
    related = [cosine[i, i + 1] for i in range(0, len(cosine), 2)]
    unrelated = [cosine[i, j] for i in range(len(cosine)) for j in range(i) if i // 2 != j // 2]
    assert min(related) > max(unrelated) + 0.05


def test_a_question_finds_its_passage():
    passages = embed([second for _, second in PAIRS])
    questions = ["Where does the cat sleep?", "I lost my password", "When does water boil?", "How did shares do?"]
    found = embed(questions, task="search_query") @ passages.T
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_vectors_are_the_golden_ones():
    golden = json.loads((ROOT / "locks" / "golden.json").read_text(encoding="utf-8"))
    scaffold = tomllib.loads((ROOT / "scaffold.toml").read_text(encoding="utf-8"))
    assert golden["model_sha256"] == scaffold["model"]["sha256"]
    short = [text for text in golden["texts"] if len(text["text"]) <= 1000]
    for task in ("search_query", "search_document", "classification", "clustering"):
        texts = [text for text in short if text["task"] == task]
        vectors = embed([text["text"] for text in texts], task=task, unknown="ignore")
        for text, vector in zip(texts, vectors, strict=True):
            known = np.frombuffer(base64.b64decode(golden["vectors"][text["id"]]), "<f4")
            assert np.abs(vector - known).max() <= scaffold["tolerance"]["component"], text["id"]


def test_text_that_the_model_cannot_read_is_warned_of_or_refused():
    chinese = ["Water boils.", "人工智能是未来的方向"]
    with pytest.warns(UnreadableWarning, match=r"texts\[1\]"):
        embed(chinese)
    with pytest.raises(TextError, match=r"texts\[1\]"):
        embed(chinese, unknown="error")


@pytest.mark.parametrize("text", ["", " \n", 7, None], ids=["empty", "blank", "number", "none"])
def test_what_is_no_text_is_refused_by_its_index(text):
    with pytest.raises(TextError, match=r"texts\[1\]"):
        embed(["Water boils.", text])


WATCHED = """
import sys
tried = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        tried.append((event, str(arguments[1:])))
        raise ConnectionRefusedError(event)
sys.addaudithook(watch)
from my_project import embed
embed(["A text that stays here."])
embed(["Another one."])
sys.exit(f"tried to reach the network: {tried}" if tried else 0)
"""


def test_no_request_is_made_even_with_an_api_key():
    environment = os.environ | {"NOMIC_API_KEY": "nk-not-a-key", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", WATCHED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
