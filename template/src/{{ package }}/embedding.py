"""Embed texts on this machine, with the pinned model file and nothing hosted.

The contract of a vector: task prefix + text -> official tokenizer -> model -> mean over tokens -> LayerNorm without
weights -> the first `dimension` components -> unit length. This is what Nomic's own API and GPT4All return.
"""

from __future__ import annotations

import hashlib
import importlib.util
import operator
import os
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from . import exact
from .gguf import Weights, open_weights
from .tokenizer import SEP, UNKNOWN, Encoded, build_tokenizer, encode

Task = Literal["search_query", "search_document", "classification", "clustering"]
TASKS: tuple[Task, ...] = ("search_query", "search_document", "classification", "clustering")
DIMENSION, SMALLEST_DIMENSION = 768, 64
UNREADABLE = 1 / 3
"""Share of [UNK] tokens above which the model can't read a text."""
_WINDOW, _SHOWN_WINDOW = (1024, 1_000_000), (64, 50_000)
"""Texts and characters that are held in memory at a time, without and with a progress bar: seconds of work."""


class ModelFileError(RuntimeError):
    """The pinned model file is missing, or is not the pinned one."""


class RuntimeMissingError(RuntimeError):
    """Nothing that runs the model is installed."""


class TextError(ValueError):
    """A text can't be embedded as it is; `index` says which."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"texts[{index}] {reason}")
        self.index = index


class UnreadableWarning(UserWarning):
    """The model can't read a text: too many of its tokens are [UNK]."""


class Runtime(Protocol):
    """What runs the model; made by `open_runtime`."""

    name: str
    """`torch` or `nomic`."""
    engine: str
    device: str
    dtype: str
    max_tokens: int

    def refusal(self, text: Encoded) -> str | None:
        """Say why this runtime can't embed a text right, or None when it can."""

    def pool(self, texts: Sequence[Encoded]) -> NDArray[np.float32]:
        """Run the model; the mean over each text's tokens (N, 768), in the order given."""


def embed(
    texts: Iterable[str],
    *,
    task: Task = "search_document",
    dimension: int = DIMENSION,
    runtime: Literal["torch", "nomic"] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    engine: str | None = None,
    truncate: bool = False,
    unknown: Literal["warn", "error", "ignore"] = "warn",
    progress: bool = False,
) -> NDArray[np.float32]:
    """Turn texts into vectors of unit length: float32 (N, dimension), row i for text i.

    `texts` may be a generator; it is read as it is needed. `task` sets the prefix: use `search_query` for what is
    looked for and `search_document` for what is found. `dimension` may be 64 to 768. The runtime is torch where it is
    installed, else the nomic client; `device`, `dtype` and `engine` (`fast`, `reference`, `exact`) are torch's.
    `progress` draws a bar on stderr; where a text's bits don't depend on its batch, it changes no bit.

    A text longer than the runtime reads is refused unless `truncate`. A text of which more than a third of the tokens
    is unknown to the model raises UnreadableWarning, once per call; `unknown="error"` refuses it.
    """
    _check_arguments(texts, task, dimension, unknown)
    blocks, done = [], 0
    unreadable, first = 0, ""
    with _progress(progress, texts) as show:
        for window in _windows(texts, *(_SHOWN_WINDOW if progress else _WINDOW)):
            model = open_runtime(runtime, device=device, dtype=dtype, engine=engine)
            encoded = encode(_tokenizer(), _checked(window, done), task)
            for index, text in enumerate(encoded, done):
                if text.unknown_share > UNREADABLE:
                    reason = f"can't be read by this model: {text.unknown_share:.0%} of its tokens are unknown"
                    if unknown == "error":
                        raise TextError(index, reason)
                    first = first or f"texts[{index}] {reason}"
                    unreadable += 1
            blocks.append(_finish(model.pool(_fitted(encoded, done, model, truncate)), dimension))
            done += len(window)
            show(done)
    if unreadable and unknown == "warn":
        more = f" (and {unreadable - 1} more)" if unreadable > 1 else ""
        warnings.warn(first + more, UnreadableWarning, stacklevel=2)
    return np.concatenate(blocks) if blocks else np.empty((0, dimension), np.float32)


def count_tokens(texts: Iterable[str], *, task: Task = "search_document") -> list[int]:
    """Count the tokens of each text as the model gets them, task prefix and special tokens included."""
    windows = _windows(texts, *_WINDOW)
    return [len(text.ids) for window in windows for text in encode(_tokenizer(), _checked(window, 0), task)]


def unknown_share(texts: Iterable[str]) -> float:
    """Give the share of all tokens of `texts` that the model doesn't know: 0 is readable, 1 is not at all."""
    unknown = tokens = 0
    for window in _windows(texts, *_WINDOW):
        for text in encode(_tokenizer(), window, TASKS[0]):
            own = text.ids[text.start : -1]
            unknown += own.count(UNKNOWN)
            tokens += len(own)
    return unknown / tokens if tokens else 0.0


_runtimes: dict[tuple[str | None, ...], Runtime] = {}
_lock = threading.Lock()


def open_runtime(
    runtime: str | None = None, *, device: str | None = None, dtype: str | None = None, engine: str | None = None
) -> Runtime:
    """Load the model, once per process and combination of arguments."""
    with _lock:
        key = (runtime, device, dtype, engine)
        if key not in _runtimes:
            _runtimes[key] = _open_runtime(runtime or _installed_runtime(), device, dtype, engine)
        return _runtimes[key]


def _open_runtime(runtime: str, device: str | None, dtype: str | None, engine: str | None) -> Runtime:
    if runtime == "torch":
        if engine == "exact":
            exact.pin()
        from .torch_runtime import TorchRuntime

        return TorchRuntime(_weights(), device=device, dtype=dtype, engine=engine)
    if runtime == "nomic":
        from .nomic_runtime import NomicRuntime

        if device not in (None, "cpu") or dtype not in (None, "float32") or engine not in (None, "nomic"):
            raise ValueError("the nomic runtime has only device='cpu' and dtype='float32'; use runtime='torch'")
        return NomicRuntime(_weights())
    raise ValueError(f"runtime={runtime!r} is unknown; use 'torch' or 'nomic'")


def _installed_runtime() -> str:
    if importlib.util.find_spec("torch"):
        return "torch"
    if importlib.util.find_spec("nomic") and importlib.util.find_spec("gpt4all"):
        return "nomic"
    raise RuntimeMissingError("neither torch nor nomic[local] is installed in this Python; run: nomic-scaffold install")


def _check_arguments(texts: object, task: str, dimension: int, unknown: str) -> None:
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts is a single str; pass a list of texts: embed([text])")
    if task not in TASKS:
        raise ValueError(f"task={task!r} is unknown; use one of {', '.join(TASKS)}")
    try:
        whole = operator.index(dimension)  # numpy's integers are whole numbers too
    except TypeError:
        whole = 0
    if not SMALLEST_DIMENSION <= whole <= DIMENSION:
        raise ValueError(f"dimension={dimension!r} must be a whole number from {SMALLEST_DIMENSION} to {DIMENSION}")
    if unknown not in ("warn", "error", "ignore"):
        raise ValueError(f"unknown={unknown!r} must be 'warn', 'error' or 'ignore'")


def _windows(texts: Iterable[str], most_texts: int, most_characters: int) -> Iterator[list[str]]:
    window: list[str] = []
    characters = 0
    for text in texts:
        window.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(window) == most_texts or characters >= most_characters:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _checked(window: list[str], start: int) -> list[str]:
    for index, text in enumerate(window, start):
        if not isinstance(text, str):
            raise TextError(index, f"is {type(text).__name__}, not str")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TextError(index, f"is not valid Unicode (lone surrogate at {error.start})") from error
    return window


def _fitted(encoded: list[Encoded], start: int, model: Runtime, truncate: bool) -> list[Encoded]:
    fitted = []
    for index, text in enumerate(encoded, start):
        if len(text.ids) == text.start + 1:
            raise TextError(index, "is empty, or holds nothing but blanks and control characters")
        if len(text.ids) > model.max_tokens:
            if not truncate:
                counts = f"has {len(text.ids)} tokens; the {model.name} runtime reads {model.max_tokens}"
                raise TextError(index, f"{counts} (shorten it, or pass truncate=True)")
            text = replace(text, ids=(*text.ids[: model.max_tokens - 1], SEP))
        if reason := model.refusal(text):
            raise TextError(index, reason)
        fitted.append(text)
    return fitted


def _finish(pooled: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """LayerNorm without weights, truncate, unit length; row by row in float64, so that no row depends on another."""
    rows = pooled.astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + 1e-5)
    rows = rows[:, :dimension]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


@contextmanager
def _progress(shown: bool, texts: Iterable[str]) -> Iterator[Callable[[int], None]]:
    """Draw on stderr how many texts are done, from 0 on; whatever happens, what is printed next has its own line."""
    total = len(texts) if isinstance(texts, Sized) else None

    def draw(done: int) -> None:
        count = str(done) if total is None else f"[{'#' * (30 * done // max(total, 1)):<30}] {done}/{total}"
        print(f"\rembedding {count} texts", end="", file=sys.stderr, flush=True)

    if not shown:
        yield lambda _: None
        return
    draw(0)
    try:
        yield draw
    finally:
        print(file=sys.stderr)


@cache
def _tokenizer() -> Any:
    weights = _weights()
    vocabulary = weights.vocabulary
    if vocabulary is None:
        beside = weights.path.with_name("vocab.txt")
        if not beside.is_file():
            raise ModelFileError(
                f"{beside} is missing, and {weights.path.name} carries no vocabulary; run: nomic-scaffold weights pull"
            )
        vocabulary = beside.read_text(encoding="utf-8").split("\n")[:-1]
    return build_tokenizer(vocabulary)


@cache
def _weights() -> Weights:
    """Open the model file that scaffold.toml pins, after checking its sha256; once per process."""
    root = _project()
    pin = tomllib.loads((root / "scaffold.toml").read_text(encoding="utf-8"))["model"]
    folder = Path(os.environ.get("NOMIC_SCAFFOLD_WEIGHTS") or root / ".nomic-scaffold" / "weights")
    path = folder / pin["file"]
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; run: nomic-scaffold weights pull")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != pin["sha256"]:
        raise ModelFileError(
            f"{path} has sha256 {digest}, scaffold.toml pins {pin['sha256']}; delete it and run: "
            "nomic-scaffold weights pull"
        )
    return open_weights(path)


def _project() -> Path:
    """Find the folder with scaffold.toml: NOMIC_SCAFFOLD_PROJECT (for an installed package), or above this file."""
    named = os.environ.get("NOMIC_SCAFFOLD_PROJECT")
    candidates = [Path(named)] if named else list(Path(__file__).resolve().parents)
    for folder in candidates:
        if (folder / "scaffold.toml").is_file():
            return folder
    raise ModelFileError(
        f"no scaffold.toml in {candidates[0]}{'' if named else ' or above'}; "
        "set NOMIC_SCAFFOLD_PROJECT to the project's folder"
    )
