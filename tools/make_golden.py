"""Make the golden vectors that ship with the tool, from the official weights and transformers' own implementation.

    python tools/make_golden.py nomic-embed-text-v1.5.f16.gguf

Needs torch, transformers >= 5.5, tokenizers and numpy. Nothing of ours takes part but the reader of the file and the
construction of the tokenizer, which is held against the sha256 of the official tokenizer.json.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.metadata
import json
import platform
import sys
import types
from pathlib import Path

import numpy as np
import torch
from transformers import NomicBertConfig, NomicBertModel

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template" / "src" / "{{ package }}"
TEXTS = ROOT / "src" / "nomic_scaffold" / "_data" / "probe" / "texts.json"
GOLDEN = ROOT / "src" / "nomic_scaffold" / "_data" / "golden"
TOKENIZER_SHA256 = "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"
"""Of the official tokenizer.json: huggingface.co/nomic-ai/nomic-embed-text-v1.5, revision e9b6763023c6."""
LONGEST = 2048
"""Tokens; beyond, rotary positions are scaled and no two implementations agree on how."""

sys.dont_write_bytecode = True  # nothing but source belongs in the template
package = types.ModuleType("generated")
package.__path__ = [str(TEMPLATE)]
sys.modules["generated"] = package

from generated.gguf import open_weights  # noqa: E402
from generated.tokenizer import build_tokenizer  # noqa: E402


def main() -> None:
    """Embed every golden text of the probe, alone, in float32, and write the vectors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="the official GGUF file (f16 or f32)")
    parser.add_argument("--out", type=Path, help="default: the file that ships with the tool")
    arguments = parser.parse_args()
    weights = open_weights(arguments.weights)
    tokenizer = build_tokenizer(weights.vocabulary or [])
    written = json.dumps(json.loads(tokenizer.to_str()), indent=2, ensure_ascii=False)
    assert hashlib.sha256(written.encode()).hexdigest() == TOKENIZER_SHA256, "not the official tokenizer"
    model = load(weights.tensors)
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))["golden"]
    vectors, tokens = {}, {}
    for text in texts:
        ids = tokenizer.encode(f"{text['task']}: {text['text']}").ids
        assert len(ids) <= LONGEST, f"{text['id']} has {len(ids)} tokens"
        row = finish(run(model, ids))
        vectors[text["id"]] = base64.b64encode(row.astype("<f4").tobytes()).decode()
        tokens[text["id"]] = len(ids)
    with arguments.weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    golden = {
        "schema_version": 1,
        "model_sha256": digest,
        "dimension": 768,
        "made_by": made_by(),
        "texts": texts,
        "vectors": vectors,
        "tokens": tokens,
    }
    out = arguments.out or GOLDEN / f"{arguments.weights.name.partition('.f')[0]}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: {len(vectors)} vectors of {digest[:12]}")


def load(tensors: dict[str, np.ndarray]) -> NomicBertModel:
    """Make transformers' native class of the official tensors, in float32; it converts the names itself."""
    state = {name: torch.from_numpy(tensor.astype(np.float32)) for name, tensor in tensors.items()}
    config = NomicBertConfig(vocab_size=len(state["embeddings.word_embeddings.weight"]))
    model, report = NomicBertModel.from_pretrained(None, config=config, state_dict=state, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@torch.no_grad()
def run(model: NomicBertModel, ids: list[int]) -> np.ndarray:
    """Give the mean over the tokens (768,) of one text alone, in float64."""
    return model(torch.tensor([ids])).last_hidden_state[0].double().mean(0).numpy()


def finish(pooled: np.ndarray) -> np.ndarray:
    """LayerNorm without weights, then unit length."""
    centred = pooled - pooled.mean()
    row = centred / np.sqrt(np.square(centred).mean() + 1e-5)
    return row / np.linalg.norm(row)


def made_by() -> dict[str, str]:
    """Say what computed the vectors."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}
    return {
        "command": "python tools/make_golden.py",
        "engine": "transformers NomicBertModel, batch of one",
        "device": "cpu",
        "dtype": "float32",
        "python": platform.python_version(),
        **versions,
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


if __name__ == "__main__":
    main()
