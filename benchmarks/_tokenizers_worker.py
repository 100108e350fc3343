"""One part of benchmarks/tokenizers.py, in the environment that has what it takes: JSON on stdin, JSON on stdout.

    python -P _tokenizers_worker.py official|llama|gpt4all|distances MODEL_FILE PACKAGE_FOLDER

`official` and `llama` turn texts into token ids, prefix included; `gpt4all` into vectors, for the client shows no ids.
`distances` takes the official ids and what the others said, and gives 1 - cos for each text.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

TASK = "search_document"


def official(file: Path, texts: list[str]) -> list[list[int]]:
    """Read with the tokenizers library, on the vocabulary of the model file."""
    from my_project import gguf, tokenizer

    built = tokenizer.build_tokenizer(gguf.open_weights(file).vocabulary)
    return [list(one.ids) for one in tokenizer.encode(built, texts, TASK)]


def llama(file: Path, texts: list[str]) -> list[list[int]]:
    """Read as llama-cpp-python does before it embeds: `Llama.embed` calls `tokenize` with its defaults."""
    from llama_cpp import Llama

    model = Llama(str(file), vocab_only=True, verbose=False)
    return [model.tokenize(f"{TASK}: {text}".encode()) for text in texts]


def gpt4all(file: Path, texts: list[str]) -> list[list[float]]:
    """Embed with the nomic client as anybody would, without the remedies of a generated project."""
    from my_project import gguf, nomic_runtime

    runtime = nomic_runtime.NomicRuntime(gguf.open_weights(file))
    return [[float(v) for v in runtime._call(text, TASK)["embeddings"][0]] for text in texts]


def distances(file: Path, request: dict[str, Any]) -> dict[str, list[float]]:
    """Give 1 - cos between each text's official vector and that of other ids, or a vector that somebody else made."""
    import numpy as np
    from my_project import gguf, torch_runtime
    from my_project.embedding import _finish
    from my_project.tokenizer import Encoded

    runtime = torch_runtime.TorchRuntime(gguf.open_weights(file), engine="fast")

    def vectors(sequences: list[list[int]]) -> Any:
        pooled = runtime.pool([Encoded("", TASK, tuple(ids[: runtime.max_tokens]), 1, 0.0) for ids in sequences])
        return _finish(pooled, 768).astype(np.float64)

    right = vectors(request["official"])
    found = {}
    for name, ids in request["ids"].items():
        changed = [i for i, (a, b) in enumerate(zip(ids, request["official"], strict=True)) if a != b]
        off = np.zeros(len(ids))
        if changed:
            off[changed] = 1 - (vectors([ids[i] for i in changed]) * right[changed]).sum(1)
        found[name] = off.tolist()
    for name, rows in request["vectors"].items():
        theirs = np.array(rows, np.float64)
        found[name] = (1 - (theirs / np.linalg.norm(theirs, axis=1, keepdims=True) * right).sum(1)).tolist()
    return found


def main() -> None:
    """Answer one request."""
    part, file = sys.argv[1], Path(sys.argv[2])
    sys.path.insert(0, sys.argv[3])
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)  # libraries that print don't disturb the answer
        parts: dict[str, Any] = {one.__name__: one for one in (official, llama, gpt4all, distances)}
        json.dump(parts[part](file, json.load(sys.stdin)), answer)


if __name__ == "__main__":
    main()
