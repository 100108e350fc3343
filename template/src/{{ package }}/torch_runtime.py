"""Run the model with torch: choose device, number type and engine, and say which were chosen and why."""

from __future__ import annotations

import os
import platform
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .exact import ExactError
from .gguf import Weights
from .packed import FastEngine, Operators, PackedOperators
from .tokenizer import CLS, SEP, Encoded

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""`tf32`: float32 whose products NVIDIA's tensor cores round to 10 bits; CUDA only, and only when asked for."""
ENGINES = ("fast", "reference", "exact")
_precision = threading.RLock()


class Engine(Protocol):
    """A forward pass with the weights in place."""

    name: str

    def pool(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Run token id sequences; the mean over each one's tokens (N, 768), in the order given."""


class TorchRuntime:
    """The model in torch, loaded; its attributes say what was chosen."""

    name = "torch"
    max_tokens = 8192

    def __init__(
        self, weights: Weights, *, device: str | None = None, dtype: str | None = None, engine: str | None = None
    ) -> None:
        """Load the model.

        `device`: `cpu`, `cuda`, `cuda:1` and so on, or `mps`; without it NOMIC_SCAFFOLD_DEVICE, else the CPU. `dtype`:
        one of DTYPES, without it float32. `engine`: one of ENGINES; without it the fast one, or the reference one where
        that can't run.
        """
        self.device = checked_device(device or os.environ.get("NOMIC_SCAFFOLD_DEVICE") or "cpu")
        self.dtype = checked_dtype(dtype or "float32", self.device)
        if engine is not None and engine not in ENGINES:
            raise ValueError(f"engine={engine!r} is unknown; use one of {', '.join(ENGINES)}")
        self.operators = ""
        """What multiplies the fast engine's matrices: `onednn` or `plain`."""
        self.why = ""
        """Why it is not the fast engine on oneDNN, where it isn't and nobody asked."""
        self._engine = self._load(weights, engine)
        self.engine = self._engine.name

    @property
    def same_bits(self) -> bool:
        """Whether a text gets the same bits in any batch and with any number of threads."""
        return self.operators == PackedOperators.name

    def refusal(self, text: Encoded) -> str | None:
        """Say why this runtime can't embed a text right, or None; it reads whatever the official tokenizer gives."""
        return None

    def pool(self, texts: Sequence[Encoded]) -> NDArray[np.float32]:
        """Run the model; the mean over each text's tokens (N, 768), in the order given."""
        with full_precision(tf32=self.dtype == "tf32"):
            return self._engine.pool([text.ids for text in texts])

    def _load(self, weights: Weights, engine: str | None) -> Engine:
        where, dtype = torch.device(self.device), DTYPES[self.dtype]

        def fast() -> Engine:
            operators, self.why = choose_operators(self.device, dtype)
            self.operators = operators.name
            return FastEngine(weights, operators, device=where, dtype=dtype)

        def reference() -> Engine:
            from .reference import ReferenceEngine  # transformers takes seconds to import

            return ReferenceEngine(weights, device=where, dtype=dtype)

        def exact() -> Engine:
            operators = exact_operators(self.device, self.dtype)
            self.operators = operators.name
            engine = FastEngine(weights, operators, device=where, dtype=dtype)
            engine.name = "exact"
            return engine

        with full_precision(tf32=self.dtype == "tf32"):
            if engine is not None:
                return {"fast": fast, "reference": reference, "exact": exact}[engine]()
            loaded, why = first_that_runs(fast, reference)
            if why:
                self.operators, self.why = "", f"the fast engine doesn't run here: {why}"
            return loaded


def first_that_runs(first: Callable[[], Engine], otherwise: Callable[[], Engine]) -> tuple[Engine, str]:
    """Make an engine and run it once on an empty text; make the other one where that fails, and say why it failed."""
    try:
        engine = first()
        if np.isfinite(engine.pool([(CLS, SEP)])).all():
            return engine, ""
        why = "it gives numbers that are not finite"
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        why = _first_line(error)
    return otherwise(), why


def checked_device(device: str) -> str:
    """Give the device back if this torch can use it; raises ValueError that says what is missing."""
    if device == "cpu":
        return device
    if gpu := re.fullmatch(r"cuda(?::(\d+))?", device):
        count = torch.cuda.device_count()
        if int(gpu[1] or 0) < count:
            return device
        lack = f"sees {count} NVIDIA GPUs" if torch.version.cuda else "is built without CUDA"
    elif device == "mps":
        if torch.backends.mps.is_available():
            return device
        lack = "has no Metal (MPS) here"
    else:
        raise ValueError(f"device={device!r} is unknown; use 'cpu', 'cuda', 'cuda:1' and so on, or 'mps'")
    raise ValueError(f"device={device!r} can't be used: torch {torch.__version__} {lack}; use device='cpu'")


def checked_dtype(dtype: str, device: str) -> str:
    """Give the number type back if the device has it; raises ValueError otherwise."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is unknown; use one of {', '.join(DTYPES)}")
    if dtype == "tf32" and device.partition(":")[0] != "cuda":
        raise ValueError(f"dtype='tf32' exists on device='cuda' only, not on {device!r}; use dtype='float32'")
    return dtype


def choose_operators(device: str, dtype: torch.dtype) -> tuple[Operators, str]:
    """Choose what multiplies matrices; the second value says why it isn't oneDNN, and is empty when it is."""
    plain = Operators()
    if device != "cpu":
        return plain, f"{device} has matrix products of its own"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return plain, f"oneDNN's packed products are not measured on {platform.machine()}"
    packed = PackedOperators()
    generator = torch.Generator().manual_seed(1)
    x, w, term = (torch.randn(n, m, generator=generator).to(dtype) for n, m in ((32, 96), (64, 96), (32, 64)))
    try:
        weight = packed.pack(w)
        pairs = [
            (packed.times(x, weight), plain.times(x, w)),
            (packed.silu(x, weight), plain.silu(x, w)),
            (packed.scaled(x, weight, term), plain.scaled(x, w, term)),
            (packed.added(x, weight, term), plain.added(x, w, term)),
        ]
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        return plain, f"oneDNN's packed products don't run here: {_first_line(error)}"
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    if any((a.float() - b.float()).abs().max() > tolerance * b.float().abs().max() for a, b in pairs):
        return plain, "oneDNN's packed products differ from torch's own (is ONEDNN_DEFAULT_FPMATH_MODE set?)"
    return packed, ""


class ExactOperators(PackedOperators):
    """oneDNN for attention too, one head at a time: MKL's kernels go by the maker of the processor."""

    rows_at_a_time = 1024
    """Of a score matrix."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
        """Softmax attention of each text over itself: (rows, 12, 64)."""
        mixed = v.new_zeros(v.shape)
        start = 0
        for length in lengths:
            rows = slice(start, start + length)
            for head in range(q.shape[1]):
                query, key = q[rows, head] * q.shape[2] ** -0.5, k[rows, head].contiguous()
                value = v[rows, head].t().contiguous()
                parts = query.split(self.rows_at_a_time)
                mixed[rows, head] = torch.cat([self.times(self.times(p, key).softmax(-1), value) for p in parts])
            start = rows.stop
        return mixed


def exact_operators(device: str, dtype: str) -> ExactOperators:
    """Give operators whose bits are the same on every x86-64 processor with AVX2; raises ExactError otherwise."""
    if (device, dtype) != ("cpu", "float32"):
        raise ExactError(f"engine='exact' exists for device='cpu' and dtype='float32', not {device!r} and {dtype!r}")
    if lack := choose_operators(device, torch.float32)[1]:
        raise ExactError(f"engine='exact' needs oneDNN: {lack}")
    if (found := torch.backends.cpu.get_cpu_capability()) != "AVX2":
        raise ExactError(f"engine='exact' needs torch held to AVX2, and it computes with {found}")
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ExactError("engine='exact' needs oneDNN held to AVX2 before torch is loaded, and it isn't")
    return ExactOperators()


@contextmanager
def full_precision(*, tf32: bool = False) -> Iterator[None]:
    """Keep float32 products float32, whatever `torch.set_float32_matmul_precision` says; one thread at a time."""
    matmuls = [m for m in (torch.backends.mkldnn, torch.backends.cuda) if hasattr(m, "matmul")]
    with _precision:
        kept = [(m.matmul, getattr(m.matmul, "fp32_precision", None)) for m in matmuls]
        try:
            before = torch.get_float32_matmul_precision()
        except RuntimeError:  # set per backend, which this function then refuses to read
            before = None
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            yield
        finally:
            if before is not None:
                torch.set_float32_matmul_precision(before)
            for matmul, precision in kept:
                if precision is not None:
                    matmul.fp32_precision = precision


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
