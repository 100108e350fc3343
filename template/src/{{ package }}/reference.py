"""The reference engine: transformers' own NomicBert, one text at a time; slow, and held against the fast engine.

It shares no line of the forward pass with `packed.py`, so that two independent implementations must agree. The class
is part of transformers since 5.5: no remote code is run, and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import NomicBertConfig, NomicBertModel

from .gguf import Weights

LAYERS, EPSILON, TRAINED_TOKENS = 12, 1e-12, 2048
_NAMES = {  # transformers' name -> the official one; qkv is one matrix there
    "self_attn.o_proj": "attn.out_proj",
    "mlp.up_proj": "mlp.fc11",
    "mlp.gate_proj": "mlp.fc12",
    "mlp.down_proj": "mlp.fc2",
    "post_attention_layernorm": "norm1",
    "post_mlp_layernorm": "norm2",
}


class ReferenceEngine:
    """transformers' NomicBertModel on one device."""

    name = "reference"

    def __init__(self, weights: Weights, *, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        rotary = {"rope_type": "dynamic", "rope_theta": 1000.0, "factor": 2.0}
        words, hidden = weights.tensor("embeddings.word_embeddings.weight").shape
        config = NomicBertConfig(
            vocab_size=words,
            hidden_size=hidden,
            num_hidden_layers=LAYERS,
            max_position_embeddings=TRAINED_TOKENS,
            layer_norm_eps=EPSILON,
            rope_parameters=rotary,
        )
        self.model = NomicBertModel(config).to(dtype).eval()
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(torch.from_numpy(np.array(_tensor(weights, name))))
            if name.endswith("post_mlp_layernorm.bias"):
                weights.let_go()
        self.model.to(device)

    @torch.inference_mode()
    def pool(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Run token id sequences; the mean over each one's tokens (N, 768), in the order given."""
        pooled = np.empty((len(sequences), self.model.config.hidden_size), np.float32)
        for index, ids in enumerate(sequences):
            self._forget_length()
            hidden = self.model(input_ids=torch.tensor([list(ids)], device=self.device)).last_hidden_state
            pooled[index] = hidden[0].float().cpu().numpy().mean(axis=0, dtype=np.float64)
        return pooled

    def _forget_length(self) -> None:
        """Put the rotary positions back: dynamic scaling in transformers remembers the longest text seen so far."""
        rotary = self.model.rotary_emb
        rotary.max_seq_len_cached = rotary.original_max_seq_len
        rotary.inv_freq = rotary.original_inv_freq


def _tensor(weights: Weights, name: str) -> NDArray[np.floating]:
    """Find the weights of a parameter of transformers' model in the official file."""
    module, _, kind = name.rpartition(".")
    if not module.startswith("layers."):
        return weights.tensor(f"{'emb_ln' if module == 'embeddings.LayerNorm' else module}.{kind}")
    _, layer, part = module.split(".", 2)
    prefix = f"encoder.layers.{layer}"
    if part in _NAMES:
        return weights.tensor(f"{prefix}.{_NAMES[part]}.{kind}")
    third = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].index(part)
    return np.split(weights.tensor(f"{prefix}.attn.Wqkv.{kind}"), 3)[third]
