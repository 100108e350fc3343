"""The official client, given the official tokens: the golden vectors, and what it gives when it is left to itself."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt4all import CancellationError
from my_project import TextError, embed, embedding, nomic_runtime
from my_project.tokenizer import Encoded, encode
from tokenizers.normalizers import BertNormalizer

PROJECT = Path(embedding.__file__).resolve().parents[2]
GOLDEN = json.loads((PROJECT / "locks" / "golden.json").read_text(encoding="utf-8"))
TEXTS = {text["id"]: text for text in GOLDEN["texts"]}


def golden(name: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(GOLDEN["vectors"][name]), "<f4")


def off(name: str, row: np.ndarray) -> float:
    return float(np.abs(row / np.linalg.norm(row) - golden(name)).max())


@pytest.fixture(scope="module")
def runtime() -> nomic_runtime.NomicRuntime:
    found = embedding.open_runtime("nomic")
    assert isinstance(found, nomic_runtime.NomicRuntime)
    return found


@pytest.mark.parametrize("task", embedding.TASKS)
def test_every_golden_text_has_its_golden_vector(task: str):
    texts = [text for text in GOLDEN["texts"] if text["task"] == task]
    rows = embed([text["text"] for text in texts], task=task, runtime="nomic", unknown="ignore")
    far = {text["id"]: off(text["id"], row) for text, row in zip(texts, rows, strict=True)}
    assert {name: d for name, d in far.items() if d > 1e-6} == {}


DRIFTING = ("korean", "hindi", "accents-decomposed", "combining-marks", "word-of-101")
STEADY = ("english", "upper-case", "accents-composed", "chinese", "russian", "code-json", "full-width")


def left_to_itself(runtime: nomic_runtime.NomicRuntime, spell: Callable[[str], str]) -> set[str]:
    """Give the golden texts whose vectors are wrong when the client gets text, not tokens."""
    wrong = set()
    for name in (*DRIFTING, *STEADY):
        answer = runtime._call(spell(TEXTS[name]["text"]), TEXTS[name]["task"])
        if off(name, np.array(answer["embeddings"][0], np.float32)) > 1e-6:
            wrong.add(name)
    return wrong


def test_without_the_remedies_the_golden_comparison_fails_where_the_clients_tokenizer_differs(
    runtime: nomic_runtime.NomicRuntime,
):
    assert left_to_itself(runtime, str) == set(DRIFTING)
    assert left_to_itself(runtime, BertNormalizer(lowercase=True).normalize_str) == {"word-of-101"}


def test_a_count_of_tokens_that_is_not_the_official_one_is_an_error(runtime: nomic_runtime.NomicRuntime):
    with pytest.raises(nomic_runtime.ClientError, match="reads 3 tokens where the official tokenizer reads 2"):
        runtime._vector("one two three", "clustering", 2)


def test_special_tokens_in_a_text_are_refused():
    for token in ("[CLS]", "[SEP]", "[PAD]", "[MASK]"):
        with pytest.raises(TextError, match=r"texts\[1\] contains \[" + token[1:-1]):
            embed(["water", f"see {token} there"], runtime="nomic")
    assert embed(["an [UNK] is one"], runtime="nomic").shape == (1, 768)


def test_a_text_that_is_too_long_is_refused_with_its_count_or_cut():
    with pytest.raises(TextError, match=r"texts\[0\] has 2056 tokens; the nomic runtime reads 2048"):
        embed(["river " * 2050], runtime="nomic")
    assert embed(["river " * 2050], runtime="nomic", truncate=True).shape == (1, 768)  # its tokens are counted inside


def tokens_seen(runtime: nomic_runtime.NomicRuntime, text: str) -> int:
    """Ask the client how many tokens it makes of a text, prefix and special tokens included, without embedding it."""
    seen: list[int] = []

    def cancel(sizes: list[int], backend: str) -> bool:
        seen.extend(sizes)
        return True

    with pytest.raises(CancellationError):
        runtime._client._embed4all.embed([text], prefix="clustering", cancel_cb=cancel)
    return sum(seen)


def drifting(runtime: nomic_runtime.NomicRuntime, texts: list[str]) -> list[str]:
    encoded = [t for t in encode(embedding._tokenizer(), texts, "clustering") if runtime.refusal(t) is None]
    assert len(encoded) > 0.9 * len(texts)
    return [t.text for t in encoded if tokens_seen(runtime, runtime._spelled(t.ids[t.start : -1])) != len(t.ids)]


def test_the_client_reads_every_token_of_the_vocabulary_as_itself(runtime: nomic_runtime.NomicRuntime):
    vocabulary = embedding._weights().vocabulary
    assert vocabulary is not None
    words = [token[2:] if token.startswith("##") and len(token) > 2 else token for token in vocabulary]
    assert drifting(runtime, [*words, *(f"a{word}" for word in words)]) == []


def test_the_client_reads_as_many_tokens_as_the_official_tokenizer_in_whatever_script(
    runtime: nomic_runtime.NomicRuntime,
):
    rng = np.random.default_rng(7)
    planes = [
        (0x20, 0x250),
        (0x250, 0x1100),
        (0x1100, 0x3000),
        (0x3000, 0xD800),
        (0xE000, 0x10000),
        (0x10000, 0x110000),
    ]
    texts = []
    for _ in range(5000):
        low, high = planes[rng.integers(len(planes))]
        points = rng.integers(low, high, rng.integers(1, 40))
        texts.append("".join(chr(p) if rng.random() > 0.15 else " " for p in points) + " a")
    assert drifting(runtime, texts) == []


class Client:
    """Answers like the nomic client, with what it is told to."""

    def __init__(self, **changes: Any) -> None:
        vector = np.ones(768) / np.sqrt(768)
        self.answer = {"embeddings": [vector], "usage": {"total_tokens": 1}, "inference_mode": "local"} | changes
        self._embed4all = self
        self.gpt4all = self
        self.config: dict[str, str] = {}

    def text(self, texts: list[str], **options: object) -> dict[str, Any]:
        return self.answer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inference_mode": "remote"}, "mode 'remote'"),
        ({"usage": {"total_tokens": 9}}, "reads 9 tokens"),
        ({"embeddings": [np.ones(767)]}, "767"),
        ({"embeddings": [np.full(768, np.nan)]}, "not all finite"),
        ({"embeddings": [np.ones(768)]}, "of length 27.7"),
    ],
    ids=["hosted", "other tokens", "shape", "nan", "length"],
)
def test_an_answer_that_cannot_be_right_is_an_error(
    runtime: nomic_runtime.NomicRuntime, changes: dict[str, Any], words: str
):
    odd = object.__new__(nomic_runtime.NomicRuntime)
    odd.__dict__ |= runtime.__dict__ | {"_client": Client(**changes)}
    with pytest.raises(nomic_runtime.ClientError, match=words):
        odd.pool([Encoded("water", "clustering", (101, 1, 2300, 102), 2, 0.0)])


def test_only_the_official_f16_file_is_run(runtime: nomic_runtime.NomicRuntime, tmp_path: Path):
    weights = embedding._weights()
    other = type(weights)(tmp_path / "other.gguf", weights.metadata, weights.tensors, weights.vocabulary)
    with pytest.raises(nomic_runtime.ClientError, match=r"not other\.gguf"):
        nomic_runtime.NomicRuntime(other)


SCRIPT = """
from my_project import embed
for text in ("water", "earth"):
    print(embed([text]).shape)
"""


def test_it_prints_nothing_and_a_second_call_works():
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src"), "NOMIC_API_KEY": "nk-not-a-key"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("(1, 768)\n(1, 768)\n", "", 0)


def fail() -> None:
    with nomic_runtime._quiet():
        os.write(2, b"the library said this")
        raise RuntimeError("on purpose")


def test_when_loading_fails_what_the_library_said_is_told():
    with pytest.raises(RuntimeError, match="on purpose") as caught:
        fail()
    assert caught.value.__notes__ == ["the library said this"]
