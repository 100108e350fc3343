"""Run by a Python with torch and transformers: embed texts with the official weights, and with one step done wrong.

    python wrong_model.py JOB.json > vectors.jsonl

The job names the folder of the generated package (its file reader and tokenizer are used), the model file, the texts
and the mistakes. Written against transformers' own class, so that it shares no code with the engines under test.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers.models.nomic_bert import NomicBertConfig, NomicBertModel

SWAPPED = {"search_query": "search_document", "search_document": "search_query"}


class Official:
    """The model as its authors mean it; a mistake changes one step."""

    def __init__(self, package: Path, file: Path) -> None:
        parent = types.ModuleType("generated")
        parent.__path__ = [str(package)]
        sys.modules["generated"] = parent
        self.tokenizers = importlib.import_module("generated.tokenizer")
        self.weights = importlib.import_module("generated.gguf").open_weights(file)
        self.state = _state(self.weights)
        self.seen: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def model(self, mistake: str) -> NomicBertModel:
        state = self.state
        if mistake == "random weights":
            torch.manual_seed(0)
            return NomicBertModel(_config(state), add_pooling_layer=False).eval()
        if mistake == "shuffled vocabulary":
            rows = torch.randperm(30522, generator=torch.Generator().manual_seed(0))
            words = state["embeddings.word_embeddings.weight"]
            state = state | {"embeddings.word_embeddings.weight": torch.cat([words[rows], words[30522:]])}
        if mistake in QUANTISED:
            state = {k: QUANTISED[mistake](v) if v.ndim == 2 and "layers" in k else v for k, v in state.items()}
        model = NomicBertModel(_config(state), add_pooling_layer=False).eval()
        model.load_state_dict(state)
        return model.to({"float16": torch.float16, "bfloat16": torch.bfloat16}.get(mistake, torch.float32))

    def ids(self, text: str, task: str, mistake: str) -> list[int]:
        task = SWAPPED.get(task, task) if mistake == "swapped prefixes" else task
        task = "search_document" if mistake == "one prefix for all" else task
        whole = text if mistake == "no prefix" else f"{task}: {text}"
        if mistake == "nothing reaches the model":
            whole = ""
        if mistake == "vocab_file":
            return self.transformers_tokenizer(whole)
        tokenizer = self.tokenizers.build_tokenizer(self.weights.vocabulary)
        if mistake in {"cased", "accents kept"}:
            from tokenizers.normalizers import BertNormalizer

            tokenizer.normalizer = BertNormalizer(lowercase=mistake != "cased", strip_accents=False)
        found = tokenizer.encode(whole).ids
        return [*found[:511], found[-1]] if mistake == "cut off at 512" and len(found) > 512 else found

    def transformers_tokenizer(self, text: str) -> list[int]:
        from transformers import BertTokenizerFast

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vocab.txt"
            path.write_text("\n".join(self.weights.vocabulary) + "\n", encoding="utf-8")
            return list(BertTokenizerFast(vocab_file=str(path))(text)["input_ids"])

    @torch.no_grad()
    def embed(self, items: list[dict[str, str]], mistake: str) -> dict[str, np.ndarray]:
        kind = mistake if mistake in MODELS else "official"
        model: NomicBertModel | None = None
        found = {}
        for item in items:
            ids = tuple(self.ids(item["text"], item["task"], mistake))
            if (kind, ids) not in self.seen:
                model = model or self.model(mistake)
                with torch.autocast("cpu", torch.bfloat16, enabled=mistake == "autocast"):
                    hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
                self.seen[kind, ids] = hidden.float()
            found[item["id"]] = finish(self.seen[kind, ids], mistake)
        return out_of_order(items, found) if mistake == "not put back" else found


def finish(hidden: torch.Tensor, mistake: str) -> np.ndarray:
    mask = torch.ones(len(hidden), 1)
    if mistake == "mask of zeros":
        mask *= 0
    mean = (hidden * mask).sum(0) / mask.sum()
    if mistake == "first token only":
        mean = hidden[0]
    if mistake != "no LayerNorm":
        mean = torch.nn.functional.layer_norm(mean, (768,))
    if mistake != "no L2":
        mean = torch.nn.functional.normalize(mean, dim=0)
    return mean.numpy()


def out_of_order(items: list[dict[str, str]], found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sort each task's texts by length, and forget to put the rows back."""
    wrong = {}
    for task in {item["task"] for item in items}:
        ids = [item["id"] for item in items if item["task"] == task]
        length = {item["id"]: len(item["text"]) for item in items}
        wrong |= dict(zip(ids, (found[i] for i in sorted(ids, key=length.__getitem__)), strict=True))
    return wrong


def _blocks(levels: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Round as llama.cpp's blocks of Q8_0 and Q4_0 do: 32 values in whole steps of one float16 scale.

    No quantised file is read or written: the official weights go through the rounding, and stay float32. Q4_0 here has
    the same steps up and down, -7 to 7, where llama.cpp takes -8 to 7 by the sign of the largest value.
    """

    def quantise(tensor: torch.Tensor) -> torch.Tensor:
        blocks = tensor.reshape(-1, 32)
        scale = (blocks.abs().amax(1, keepdim=True) / levels).half().float().clamp(min=1e-12)
        return (torch.round(blocks / scale).clamp(-levels, levels) * scale).reshape(tensor.shape)

    return quantise


QUANTISED = {"Q8_0": _blocks(127), "Q4_0": _blocks(7)}
MODELS = {*QUANTISED, "float16", "bfloat16", "autocast", "random weights", "shuffled vocabulary"}
"""Mistakes that make another model; the others share the official one's hidden states."""


def _config(state: dict[str, torch.Tensor]) -> NomicBertConfig:
    return NomicBertConfig(vocab_size=len(state["embeddings.word_embeddings.weight"]))


def _state(weights: object) -> dict[str, torch.Tensor]:
    """Rename the official tensors to those of transformers' class."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(weights.tensor(name), dtype=np.float32).copy())

    state = {
        "embeddings.word_embeddings.weight": tensor("embeddings.word_embeddings.weight"),
        "embeddings.token_type_embeddings.weight": tensor("embeddings.token_type_embeddings.weight"),
        "embeddings.LayerNorm.weight": tensor("emb_ln.weight"),
        "embeddings.LayerNorm.bias": tensor("emb_ln.bias"),
    }
    names = {
        "self_attn.o_proj": "attn.out_proj",
        "mlp.up_proj": "mlp.fc11",
        "mlp.gate_proj": "mlp.fc12",
        "mlp.down_proj": "mlp.fc2",
        "post_attention_layernorm": "norm1",
        "post_mlp_layernorm": "norm2",
    }
    for n in range(12):
        at, official = f"layers.{n}.", f"encoder.layers.{n}."
        for part, rows in zip("qkv", tensor(official + "attn.Wqkv.weight").chunk(3), strict=True):
            state[f"{at}self_attn.{part}_proj.weight"] = rows.clone()
        for ours, theirs in names.items():
            state[f"{at}{ours}.weight"] = tensor(f"{official}{theirs}.weight")
            if "norm" in ours:
                state[f"{at}{ours}.bias"] = tensor(f"{official}{theirs}.bias")
    return state


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    official = Official(Path(job["package"]), Path(job["file"]))
    for mistake, items in job["mistakes"].items():
        rows = official.embed(items, mistake)
        encoded = {name: base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for name, row in rows.items()}
        print(json.dumps({"mistake": mistake, "rows": encoded}), flush=True)


if __name__ == "__main__":
    main()
