"""The model through the official `nomic` client, on this machine: `inference_mode="local"`, which runs gpt4all.

The client carries an old tokenizer that differs from the official one (Korean, Hindi, decomposed accents, words of
more than 100 characters ...): right shape, unit norm, other vectors, no warning. So it isn't given the text, but the
official tokens written out as words, which it can only read as these tokens. What can't be written so is refused, and
the client's own count of tokens is held against the official one at every call.
"""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gguf import Weights
from .tokenizer import SPECIAL_TOKENS, UNKNOWN, Encoded

MODEL, FILE = "nomic-embed-text-v1.5", "nomic-embed-text-v1.5.f16.gguf"
DIMENSION = 768
_STAND_IN = "\u9f98"
"""A character that both tokenizers read as one [UNK]."""
_SPECIAL = {number: token for token, number in SPECIAL_TOKENS.items() if number != UNKNOWN}


class ClientError(RuntimeError):
    """The client did something else than it was asked for."""


class NomicRuntime:
    """Embeds with `nomic.embed.text`; reads the official f16 GGUF, up to 2,048 tokens a text."""

    name = engine = "nomic"
    device = "cpu"
    dtype = "float32"
    max_tokens = 2048

    def __init__(self, weights: Weights) -> None:
        if weights.path.name != FILE or weights.vocabulary is None:
            raise ClientError(f"the nomic client runs {FILE}, not {weights.path.name}; use the torch runtime")
        self._vocabulary = weights.vocabulary
        self._folder = weights.path.parent
        self._lock = threading.Lock()
        with _quiet():
            from nomic import embed

            embed.tqdm = functools.partial(embed.tqdm, disable=True)
            self._client: Any = embed
            self._call("a", "search_document")

    def refusal(self, text: Encoded) -> str | None:
        """Refuse literal special tokens: the client would read `[SEP]` as three words."""
        for number in text.ids[text.start : -1]:
            if number in _SPECIAL:
                return f"contains {_SPECIAL[number]} itself, which the nomic runtime can't embed; use runtime='torch'"
        return None

    def pool(self, texts: Sequence[Encoded]) -> NDArray[np.float32]:
        """Run the client, one text at a time (faster there than a batch); (N, 768)."""
        rows = np.empty((len(texts), DIMENSION), np.float32)
        for row, text in zip(rows, texts, strict=True):
            own = text.ids[text.start : -1]
            row[:] = self._vector(self._spelled(own), text.task, len(own))
        return rows

    def _spelled(self, ids: Sequence[int]) -> str:
        words: list[str] = []
        for number in ids:
            token = self._vocabulary[number]
            if token.startswith("##") and len(token) > 2 and words:
                words[-1] += token[2:]
            else:
                words.append(_STAND_IN if number == UNKNOWN else token)
        return " ".join(words)

    def _vector(self, text: str, task: str, tokens: int) -> NDArray[np.float32]:
        answer = self._call(text, task)
        seen = answer["usage"]["total_tokens"]
        if answer["inference_mode"] != "local":
            raise ClientError(f"the nomic client embedded in mode {answer['inference_mode']!r}, not 'local'")
        if seen != tokens:
            raise ClientError(
                f"the nomic client reads {seen} tokens where the official tokenizer reads {tokens}: {text[:60]!r}"
            )
        vectors: NDArray[np.float32] = np.asarray(answer["embeddings"], np.float32)
        if vectors.shape != (1, DIMENSION) or not np.isfinite(vectors).all():
            raise ClientError(f"the nomic client gave {vectors.shape} values that are not all finite: {text[:60]!r}")
        if abs(float(np.linalg.norm(vectors)) - 1) > 1e-4:
            raise ClientError(f"the nomic client gave a vector of length {np.linalg.norm(vectors):.5f}, not 1")
        row: NDArray[np.float32] = vectors[0]
        return row

    def _call(self, text: str, task: str) -> Any:
        with self._lock:
            answer = self._client.text(
                [text],
                model=MODEL,
                task_type=task,
                inference_mode="local",  # nomic 3.9 defaults to its hosted API
                model_path=str(self._folder),
                allow_download=False,
                device="cpu",
                n_threads=_threads(),
            )
            # With allow_download=False gpt4all leaves this key out, and nomic 3.9 fails at the next call without it.
            self._client._embed4all.gpt4all.config.setdefault("filename", FILE)
            return answer


def _threads() -> int:
    """Give the cores that this process may use, or OMP_NUM_THREADS: gpt4all's threads wait for each other busily.

    With its own default of four threads on two cores a short text takes 15 seconds while another process computes.
    """
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Swallow what gpt4all writes to stderr from C++ while it looks for CUDA libraries; tell it when loading fails."""
    with tempfile.TemporaryFile() as noise:
        stderr = os.dup(2)
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except Exception as error:
            noise.seek(0)
            error.add_note(noise.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
