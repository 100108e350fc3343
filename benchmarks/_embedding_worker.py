"""One contender of benchmarks/embedding.py, in its own environment: reads requests on stdin, answers on stdout.

    python -P _embedding_worker.py CONTENDER|limit|prepare MODEL_FILE FOLDER

The first answer is how long starting took, from the start of the process to the first vector. A request is
`{"texts": [...], "setting": ...}`; the answer has the seconds that embedding took, the peak memory so far, and the
vectors of the first texts, mean-pooled and finished in one way for all, so that nobody is fast by doing something else.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

Run = Callable[[list[str], Any], np.ndarray]
SHOWN = 8


def ours(_: Path, folder: Path) -> Run:
    """The generated project's own embed; the setting is a dtype."""
    sys.path.insert(0, str(folder / "project" / "src"))
    embed = __import__("my_project").embed

    def run(texts: list[str], setting: Any) -> np.ndarray:
        plain = [text.removeprefix("search_document: ") for text in texts]
        dtype, engine = setting if isinstance(setting, list) else (setting, None)
        return np.asarray(embed(plain, dtype=dtype, engine=engine, unknown="ignore"))

    return run


def sentence_transformers(file: Path, folder: Path) -> Run:
    """sentence-transformers on transformers' own class and the same weights; the setting is the batch size."""
    from sentence_transformers import SentenceTransformer, models

    place = _transformers_model(file, folder)
    model = SentenceTransformer(
        modules=[models.Transformer(str(place), max_seq_length=8192), models.Pooling(768, "mean")], device="cpu"
    )
    return lambda texts, size: np.asarray(model.encode(texts, batch_size=size, show_progress_bar=False))


def onnxruntime(file: Path, folder: Path) -> Run:
    """Onnxruntime on a graph exported by torch.onnx; texts sorted by length; the setting is the batch size."""
    import onnxruntime

    graph = folder / "onnx" / "model.onnx"
    if not graph.exists():
        _export(file, folder, graph)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    encode = _tokenizer(file, folder)

    def run(texts: list[str], size: Any) -> np.ndarray:
        ids = encode(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        rows = np.empty((len(ids), 768), np.float32)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            width = max(len(ids[i]) for i in chosen)
            tokens, mask = np.zeros((2, len(chosen), width), np.int64)
            for row, i in enumerate(chosen):
                tokens[row, : len(ids[i])], mask[row, : len(ids[i])] = ids[i], 1
            hidden = session.run(None, {"input_ids": tokens, "attention_mask": mask})[0]
            rows[chosen] = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return rows

    return run


def nomic(file: Path, _: Path) -> Run:
    """The official client on gpt4all; the setting is how many texts it is given at a time."""
    from nomic import embed

    def run(texts: list[str], size: Any) -> np.ndarray:
        rows: list[Any] = []
        for start in range(0, len(texts), size):
            plain = [text.removeprefix("search_document: ") for text in texts[start : start + size]]
            rows += embed.text(
                plain, model="nomic-embed-text-v1.5", task_type="search_document", inference_mode="local",
                model_path=str(file.parent), allow_download=False, device="cpu", n_threads=_cores(),
            )["embeddings"]  # fmt: skip
            embed._embed4all.gpt4all.config.setdefault("filename", file.name)
        return np.array(rows, np.float32)

    return run


def llama_cpp(file: Path, _: Path) -> Run:
    """llama.cpp's Python binding; the setting is how many texts it is given at a time."""
    from llama_cpp import LLAMA_POOLING_TYPE_MEAN, Llama

    model = Llama(
        str(file), embedding=True, n_ctx=8192, n_batch=8192, n_ubatch=8192, pooling_type=LLAMA_POOLING_TYPE_MEAN,
        n_threads=_cores(), n_threads_batch=_cores(), verbose=False,
    )  # fmt: skip

    def run(texts: list[str], size: Any) -> np.ndarray:
        rows: list[Any] = []
        for start in range(0, len(texts), size):
            rows += model.embed(texts[start : start + size], normalize=False, truncate=True)
        return np.array(rows, np.float32)

    return run


CONTENDERS = {run.__name__: run for run in (ours, sentence_transformers, onnxruntime, nomic, llama_cpp)}
PACKAGES = {
    "ours": "torch",
    "sentence_transformers": "sentence-transformers",
    "onnxruntime": "onnxruntime",
    "nomic": "nomic",
    "llama_cpp": "llama-cpp-python",
}


def limit() -> dict[str, dict[str, float]]:
    """GF/s of the fastest product of each library here, over the model's own shapes, by number type."""
    import onnxruntime
    import torch

    found: dict[str, dict[str, float]] = {"float32": {}, "bfloat16": {}}
    shapes = [(rows, k, n) for rows in (256, 512, 1024) for k, n in ((768, 2304), (768, 3072), (3072, 768))]
    for rows, k, n in shapes:
        x, w = np.ones((rows, k), np.float32), np.ones((n, k), np.float32)
        turned = w.T.copy()
        session = onnxruntime.InferenceSession(_product(w), providers=["CPUExecutionProvider"])
        works = {
            "float32": _torch_products(torch.from_numpy(x), torch.from_numpy(w))
            | {
                "numpy (OpenBLAS)": lambda x=x, w=turned: x @ w,
                "onnxruntime": lambda s=session, x=x: s.run(None, {"x": x}),
            },
            "bfloat16": _torch_products(torch.from_numpy(x).bfloat16(), torch.from_numpy(w).bfloat16()),
        }
        for kind, some in works.items():
            for name, work in some.items():
                try:
                    work()
                except RuntimeError:  # no bfloat16 on this processor
                    continue
                best = min(_seconds(work) for _ in range(8))
                found[kind][name] = max(found[kind].get(name, 0.0), 2 * rows * k * n / best / 1e9)
    return {kind: some for kind, some in found.items() if some}


def _torch_products(x: Any, w: Any) -> dict[str, Callable[[], Any]]:
    import torch

    packed = torch.ops.mkldnn._reorder_linear_weight(w, len(x))
    return {
        "torch F.linear": lambda: torch.nn.functional.linear(x, w),
        "torch, oneDNN packed": lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""),
    }


def _product(weight: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, weight.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, weight.shape[0]])],
        [numpy_helper.from_array(np.ascontiguousarray(weight.T), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _generated(folder: Path, module: str) -> Any:
    sys.path.insert(0, str(folder / "project" / "src"))
    return __import__(f"my_project.{module}", fromlist=["_"])


def _tokenizer(file: Path, folder: Path) -> Callable[[list[str]], list[list[int]]]:
    weights = _generated(folder, "gguf").open_weights(file)
    tokenizer = _generated(folder, "tokenizer").build_tokenizer(weights.vocabulary)
    return lambda texts: [encoding.ids[:8192] for encoding in tokenizer.encode_batch_fast(texts)]


def _transformers_model(file: Path, folder: Path) -> Path:
    """Write the weights as a folder that transformers reads, once."""
    place = folder / "transformers"
    if not (place / "whole").exists():
        import torch
        from transformers import PreTrainedTokenizerFast

        weights = _generated(folder, "gguf").open_weights(file)
        engine = _generated(folder, "reference").ReferenceEngine(
            weights, device=torch.device("cpu"), dtype=torch.float32
        )
        engine.model.save_pretrained(place)
        tokenizer = _generated(folder, "tokenizer").build_tokenizer(weights.vocabulary)
        named = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **named).save_pretrained(place)
        (place / "whole").touch()
    return place


def _export(file: Path, folder: Path, graph: Path) -> None:
    """Export transformers' class with torch.onnx, free in batch size and length."""
    import torch
    from transformers import NomicBertModel

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            place = _transformers_model(file, folder)
            # Texts of this benchmark stay under 2,048 tokens; plain positions can be exported, dynamic ones can't.
            plain = {"rope_type": "default", "rope_theta": 1000.0}
            self.model = NomicBertModel.from_pretrained(place, rope_parameters=plain).eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden

    graph.parent.mkdir(parents=True, exist_ok=True)
    example = (torch.full((2, 24), 2000), torch.ones(2, 24, dtype=torch.long))
    free = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("length", min=2, max=2048)}
    with torch.inference_mode():
        torch.onnx.export(
            Hidden(), example, str(graph), input_names=["input_ids", "attention_mask"], dynamo=True,
            dynamic_shapes={"input_ids": free, "attention_mask": free}, external_data=True,
        )  # fmt: skip


def _finished(rows: np.ndarray) -> list[list[float]]:
    x = rows[:SHOWN].astype(np.float64)
    x -= x.mean(1, keepdims=True)
    return [[round(v, 9) for v in row] for row in (x / np.linalg.norm(x, axis=1, keepdims=True)).tolist()]


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _peak() -> int:
    """Peak memory of this process in bytes; 0 where the system doesn't tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Answer requests until there are no more."""
    name, file, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print don't disturb the answers

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    if name == "limit":
        answer(limit=limit())
        return
    if name == "prepare":  # what is made once, so that no start-up is charged with it
        onnxruntime(file, folder)
        return
    run = CONTENDERS[name](file, folder)
    first = json.loads(sys.stdin.readline())
    run(first["texts"], first["setting"])
    answer(startup=time.perf_counter() - STARTED, version=version(PACKAGES[name]))
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        rows = run(request["texts"], request["setting"])
        answer(seconds=time.perf_counter() - start, peak=_peak(), vectors=_finished(rows))


if __name__ == "__main__":
    main()
