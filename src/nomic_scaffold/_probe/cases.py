"""Run the cases of a request through the project's own `embed`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import importlib.metadata
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSIONS = ("numpy", "tokenizers", "torch", "transformers", "nomic", "gpt4all")
MARK = "\x1eprobe "
"""Begins a line on stderr that tells how many texts are done, and of how many."""


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Give the embeddings part of the answer, or why there is none."""
    started = time.monotonic()
    root = Path(request["root"])
    os.environ["NOMIC_SCAFFOLD_PROJECT"] = str(root)
    sys.path.insert(0, str(root / "src"))
    asked = {key: request[key] for key in ("runtime", "device", "dtype", "engine") if request.get(key)}
    try:
        embedding = importlib.import_module(f"{request['package']}.embedding")
        model = embedding.open_runtime(**asked)
    except Exception as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}
    cases = [case for case in request["cases"] if model.name in case["runtimes"]]
    done, total, answers = 0, sum(len(case["texts"]) for case in cases), {}
    for case in cases:
        _tell(done, total)
        answers[case["id"]] = _answer(embedding.embed, case, asked)
        if case["id"].startswith("golden:") and "rows" in answers[case["id"]]:
            answers[case["id"]]["tokens"] = _tokens(embedding, case)
        done += len(case["texts"])
    _tell(done, total)
    return {
        "runtime": model.name,
        "engine": model.engine,
        "device": model.device,
        "dtype": model.dtype,
        "operators": getattr(model, "operators", ""),
        "same_bits": getattr(model, "same_bits", False),
        "why": getattr(model, "why", ""),
        "versions": _versions(),
        "cases": answers,
        "vectors_sha256": _digest(answers),
        "unknown_share": _unknown_shares(embedding, request["languages"]),
        "seconds": round(time.monotonic() - started, 3),
    }


def _tell(done: int, total: int) -> None:
    sys.stderr.write(f"{MARK}{done} {total}\n")
    sys.stderr.flush()


def _answer(embed: Any, case: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    options = {**asked, **case.get("options", {})}
    threads = options.pop("threads", None)
    step = -1 if options.pop("backwards", False) else 1
    try:
        with warnings.catch_warnings(record=True) as caught, _threads(threads):
            warnings.simplefilter("always")
            vectors = embed(case["texts"][::step], task=case["task"], **options)
            vectors = vectors[::-1] if step < 0 else vectors
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)[:2000]}
    return _matrix(vectors, [f"{w.category.__name__}: {w.message}" for w in caught])


def _tokens(embedding: Any, case: dict[str, Any]) -> list[int]:
    if not hasattr(embedding, "count_tokens"):  # an older project's code; its vectors are judged all the same
        return []
    return list(embedding.count_tokens(case["texts"], task=case["task"]))


def _matrix(vectors: Any, caught: list[str]) -> dict[str, Any]:
    import numpy as np

    if not isinstance(vectors, np.ndarray):
        return {"shape": [], "dtype": type(vectors).__name__, "rows": [], "warnings": caught}
    rows: Any = vectors.astype("<f4") if vectors.ndim == 2 else []
    return {
        "shape": list(vectors.shape),
        "dtype": str(vectors.dtype),
        "rows": [base64.b64encode(row.tobytes()).decode() for row in rows],
        "warnings": caught,
    }


def _digest(answers: dict[str, dict[str, Any]]) -> str | None:
    """Hash the bytes of all vectors, in the order of their cases' ids; None when there are none."""
    rows = [row for _, answer in sorted(answers.items()) for row in answer.get("rows", ())]
    return hashlib.sha256(b"".join(map(base64.b64decode, rows))).hexdigest() if rows else None


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Limit torch to `count` threads."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _unknown_shares(embedding: Any, languages: dict[str, list[str]]) -> dict[str, Any]:
    try:
        return {code: embedding.unknown_share(sentences) for code, sentences in languages.items()}
    except Exception as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
