"""The torch runtime: two engines, one vector. Run with torch installed."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from my_project import embed, embedding, packed
from my_project.gguf import open_weights
from my_project.tokenizer import Encoded
from my_project.torch_runtime import (
    TorchRuntime,
    checked_device,
    checked_dtype,
    choose_operators,
    first_that_runs,
    full_precision,
)
from safetensors.numpy import save_file

ROOT = Path(embedding.__file__).parents[2]
TEXTS = [
    "What is Deep Learning?",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG",
    "naïve café, Ελληνικά, русский, العربية, हिन्दी, 한국어",
    "def embed(texts, *, task='search_document'):\n    return model(texts)",
    "water boils at one hundred degrees " * 40,
    "x",
]


def ids(length: int, seed: int = 1) -> list[int]:
    draw = np.random.default_rng(seed)
    return [101, *draw.integers(1000, 30000, length - 2).tolist(), 102]


def units(pooled: np.ndarray) -> np.ndarray:
    return embedding._finish(pooled, 768).astype(np.float64)


@pytest.fixture(scope="module")
def fast() -> TorchRuntime:
    return embedding.open_runtime("torch")


@pytest.fixture(scope="module")
def reference() -> TorchRuntime:
    return embedding.open_runtime("torch", engine="reference")


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_the_golden_vectors(engine: str):
    golden = json.loads((ROOT / "locks" / "golden.json").read_text(encoding="utf-8"))
    for task in embedding.TASKS:
        texts = [text for text in golden["texts"] if text["task"] == task]
        known = np.array([np.frombuffer(base64.b64decode(golden["vectors"][text["id"]]), "<f4") for text in texts])
        vectors = embed([text["text"] for text in texts], task=task, engine=engine, unknown="ignore")
        cosines = (vectors.astype(np.float64) * known).sum(1) / np.linalg.norm(known.astype(np.float64), axis=1)
        cosines /= np.linalg.norm(vectors.astype(np.float64), axis=1)
        assert np.abs(vectors - known).max() <= 1e-6
        assert (1 - cosines).max() <= 1e-9


def test_the_engines_agree(fast: TorchRuntime, reference: TorchRuntime):
    assert (fast.engine, reference.engine) == ("fast", "reference")
    assert np.abs(embed(TEXTS) - embed(TEXTS, engine="reference")).max() <= 2e-7


@pytest.mark.parametrize("length", [7, 33, 700, 2600])
def test_the_engines_agree_at_every_length(length: int, fast: TorchRuntime, reference: TorchRuntime):
    text = [ids(length)]
    assert np.abs(units(fast._engine.pool(text)) - units(reference._engine.pool(text))).max() <= 2e-7


def test_a_long_text_does_not_depend_on_its_neighbours(
    fast: TorchRuntime, reference: TorchRuntime, monkeypatch: pytest.MonkeyPatch
):
    """Two layers are enough to turn positions otherwise."""
    monkeypatch.setattr(fast._engine, "layers", fast._engine.layers[:2])
    monkeypatch.setattr(reference._engine.model.config, "num_hidden_layers", 2)
    short, long, longer = ids(20), ids(2060), ids(2150)
    alone = fast._engine.pool([long])[0]
    assert fast._engine.pool([long, longer, short])[0].tobytes() == alone.tobytes()
    before, _, after = reference._engine.pool([long, longer, long])
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize(("length", "growth"), [(2048, 1.0), (4096, 3.0), (8192, 7.0)])
def test_positions_past_2048_tokens_are_scaled_by_the_texts_own_length(length: int, growth: float):
    cos, sin = packed.rotary(length)
    base = 1000 * growth ** (64 / 62)
    angle = np.arange(length)[:, None] / base ** (np.arange(32) / 32)
    assert np.abs(cos[:, :32].numpy() - np.cos(angle)).max() < 1e-3  # the angles are float32, as in the reference
    assert np.abs(sin[:, 32:].numpy() - np.sin(angle)).max() < 1e-3
    assert torch.equal(sin[:, :32], -sin[:, 32:])


def test_a_text_past_the_limit_is_refused_with_its_count():
    with pytest.raises(ValueError, match=r"texts\[1\] has 9006 tokens; the torch runtime reads 8192") as caught:
        embed(["short", "water " * 9000])
    assert "truncate=True" in str(caught.value)


@pytest.mark.parametrize("dimension", [64, 256, 767, 768])
def test_a_smaller_dimension_is_the_start_of_the_whole_vector(dimension: int):
    whole, small = embed(TEXTS), embed(TEXTS, dimension=dimension)
    assert (small.shape, small.dtype) == ((len(TEXTS), dimension), np.float32)
    start = whole[:, :dimension].astype(np.float64)
    assert np.abs(small - start / np.linalg.norm(start, axis=1, keepdims=True)).max() <= 1e-7


def test_a_safetensors_file_of_the_same_weights_gives_the_same_bits(tmp_path: Path, fast: TorchRuntime):
    """The official safetensors file can't be had here; this one is made from the GGUF, in float32, by its names."""
    weights = embedding._weights()
    path = tmp_path / "model.safetensors"
    save_file({name: np.asarray(array, np.float32) for name, array in weights.tensors.items()}, path)
    other = TorchRuntime(open_weights(path))
    texts = [ids(n) for n in (5, 40, 300)]
    assert other._engine.pool(texts).tobytes() == fast._engine.pool(texts).tobytes()


@pytest.mark.parametrize(
    ("dtype", "engine", "component", "cosine"),
    [
        ("bfloat16", "fast", 4e-3, 4e-4),
        ("float16", "fast", 6e-4, 4e-6),
        ("bfloat16", "reference", 8e-3, 1e-3),
    ],
)
def test_half_precision_stays_within_its_tolerance(dtype: str, engine: str, component: float, cosine: float):
    right = embed(TEXTS).astype(np.float64)
    half = embed(TEXTS, dtype=dtype, engine=engine).astype(np.float64)
    assert 1e-5 < np.abs(half - right).max() <= component
    assert (1 - (half * right).sum(1)).max() <= cosine


@pytest.mark.parametrize("setting", ["medium", "high"])
def test_a_lower_precision_asked_of_torch_elsewhere_changes_nothing(setting: str, reference: TorchRuntime):
    texts = [ids(70)]
    before = torch.get_float32_matmul_precision()
    for runtime in (embedding.open_runtime("torch"), reference):
        right = runtime.pool([_encoded(texts[0])])
        torch.set_float32_matmul_precision(setting)
        try:
            assert runtime.pool([_encoded(texts[0])]).tobytes() == right.tobytes()
            assert torch.get_float32_matmul_precision() == setting
        finally:
            torch.set_float32_matmul_precision(before)


def test_a_precision_set_per_backend_is_put_back():
    matmul = torch.backends.mkldnn.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has no fp32_precision per backend")
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        with full_precision():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before


def test_the_model_is_loaded_once(fast: TorchRuntime):
    assert embedding.open_runtime("torch") is fast
    assert embedding.open_runtime("torch", dtype="bfloat16") is not fast


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device='tpu' is unknown; use 'cpu', 'cuda', 'cuda:1' and so on, or 'mps'"),
        ({"device": "cuda:"}, "device='cuda:' is unknown"),
        ({"dtype": "int8"}, "dtype='int8' is unknown; use one of float32"),
        ({"dtype": "tf32"}, "dtype='tf32' exists on device='cuda' only, not on 'cpu'"),
        ({"engine": "turbo"}, "engine='turbo' is unknown; use one of fast, reference"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        TorchRuntime(embedding._weights(), **arguments)


@pytest.mark.parametrize("device", ["cuda", "cuda:77", "mps"])
def test_a_device_that_is_not_there_is_refused_with_the_reason(device: str):
    there = torch.backends.mps.is_available() if device == "mps" else device == "cuda" and torch.cuda.is_available()
    if there:
        pytest.skip("this machine has the device")
    with pytest.raises(ValueError, match=f"device='{device}' can't be used: torch .*; use device='cpu'"):
        TorchRuntime(embedding._weights(), device=device)


def test_the_device_of_the_environment_is_taken_where_none_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOMIC_SCAFFOLD_DEVICE", "tpu")
    with pytest.raises(ValueError, match="device='tpu' is unknown"):
        TorchRuntime(embedding._weights())
    assert checked_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_on_a_gpu_torch_multiplies_and_tf32_exists(device: str):
    operators, why = choose_operators(device, torch.float32)
    assert (operators.name, why) == ("plain", f"{device} has matrix products of its own")
    assert checked_dtype("tf32", device) == "tf32"


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "allow_tf32"), reason="this torch has no such setting")
@pytest.mark.parametrize("before", [False, True])
def test_tf32_is_off_unless_asked_for_and_put_back(before: bool):
    """The setting can be read and written without a GPU, and it is what the GPU's products go by."""
    matmul = torch.backends.cuda.matmul
    kept, matmul.allow_tf32 = matmul.allow_tf32, before
    try:
        with full_precision():
            assert not matmul.allow_tf32
        assert matmul.allow_tf32 == before
        with full_precision(tf32=True):
            assert matmul.allow_tf32
        assert matmul.allow_tf32 == before
    finally:
        matmul.allow_tf32 = kept


class Broken:
    """An engine that fails as one does whose operator is missing, or that gives nonsense."""

    name = "fast"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def pool(self, sequences: object) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return np.full((1, 768), np.nan, np.float32)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AttributeError("'_OpNamespace' 'mkldnn' object has no attribute"), "has no attribute"),
        (NotImplementedError("not on this device\nlong trace"), "not on this device"),
        (RuntimeError("needs the cpu support avx512bw"), "avx512bw"),
        (None, "not finite"),
    ],
)
def test_where_the_fast_engine_fails_the_reference_one_runs_and_says_why(error: Exception | None, why: str):
    works = Broken(None)
    engine, reason = first_that_runs(lambda: Broken(error), lambda: works)
    assert engine is works
    assert why in reason
    assert "\n" not in reason


def test_without_onednns_operators_the_fast_engine_multiplies_by_torchs_own():
    """oneDNN held to AVX2 has no packed products in bfloat16: missing for real, not by a fake."""
    script = (
        "import torch, json; from my_project.torch_runtime import choose_operators;"
        "found = [choose_operators('cpu', t) for t in (torch.float32, torch.bfloat16)];"
        "print(json.dumps([(p.name, why) for p, why in found]))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    (f32, no_reason), (bf16, why) = json.loads(
        subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout
    )
    if not torch.backends.mkldnn.is_available() or choose_operators("cpu", torch.float32)[1]:
        pytest.skip("torch has no oneDNN for this processor")
    assert (f32, no_reason, bf16) == ("onednn", "", "plain")
    assert why.startswith("oneDNN's packed products don't run here: ")


def test_the_fast_engine_agrees_without_onednn(fast: TorchRuntime):
    plain = packed.FastEngine(embedding._weights(), packed.Operators(), device=torch.device("cpu"), dtype=torch.float32)
    texts = [ids(n) for n in (7, 12, 90, 400)]
    assert np.abs(units(plain.pool(texts)) - units(fast._engine.pool(texts))).max() <= 2e-7


@pytest.mark.parametrize(("dtype", "component"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
def test_torchs_own_operators_in_half_precision(fast: TorchRuntime, dtype: torch.dtype, component: float):
    """What runs on a GPU in half precision, on the CPU."""
    plain = packed.FastEngine(embedding._weights(), packed.Operators(), device=torch.device("cpu"), dtype=dtype)
    texts = [ids(n) for n in (7, 12, 90)]
    assert np.abs(units(plain.pool(texts)) - units(fast._engine.pool(texts))).max() <= component


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of one process is read from /proc")
def test_peak_memory_stays_under_1100_megabytes_with_the_longest_text_too():
    """All twelve layers are in memory; four of them run, since each takes the same again, and a long text is slow."""
    script = (
        "from my_project import embed, embedding;"
        "engine = embedding.open_runtime()._engine;"
        "whole, engine.layers = engine.layers, engine.layers[:4];"
        "peak = lambda: int(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1]) * 1024;"
        "embed([f'{n} ' + 'water ' * n for n in range(60)]);"
        "vector = embed(['water ' * 8180]);"
        "print(peak(), float((vector.astype(float) ** 2).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    peak, length = map(float, done.stdout.split())
    assert peak <= 1.1e9
    assert abs(length - 1) < 1e-6


def _encoded(tokens: list[int]) -> Encoded:
    return Encoded("", "search_document", tuple(tokens), 1, 0.0)
