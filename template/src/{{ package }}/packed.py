"""The fast engine: nomic-embed-text's forward pass over packed sequences, without padding one text to another.

The model (https://arxiv.org/abs/2402.01613, section 3) is BERT with rotary positions instead of learned ones, a gated
SiLU in the feed-forward part, no biases in the matrices, and LayerNorm after each half of a layer. In one batch the
tokens of all texts stand below each other in one matrix (rows, 768); only attention and the mean see texts.

**Same bits.** On one machine a text gets the same bits alone or in any batch, with any number of threads, where the
matrices run on oneDNN (x86-64). What it takes, each found by trying:

* a row of a oneDNN product does not depend on how many rows there are, except that one row alone has a kernel of its
  own: rows are filled up to a multiple of 32 (which also keeps the number of compiled kernels, and memory, small);
* SiLU, products and sums that follow a matrix happen inside oneDNN's kernel: torch's own loops compute the last few
  elements of a thread's share by other code than the rest, so that the number of threads shows;
* rotary positions use only single multiplications and additions, which round in one way only;
* attention sees texts of equal length at a time, in float32: for half precision torch's kernel chooses by batch size;
* the mean is a sum per text, row after row, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .gguf import Weights

LAYERS, HIDDEN, INNER, HEADS, HEAD = 12, 768, 3072, 12, 64
EPSILON = 1e-12
TRAINED_TOKENS = 2048
"""Longer texts get dynamic NTK scaling of the rotary positions."""
ROTARY_BASE, ROTARY_FACTOR = 1000.0, 2.0
TOKEN_BUDGET = 1024
"""Tokens of a batch; larger ones fall out of the processor's cache."""
ROWS = 32
"""Batches are filled up to a multiple of this many rows."""


class Operators:
    """The model's heavy operators by torch's public ones, x (rows, in), w (out, in): any device, any type."""

    name = "plain"

    def pack(self, weight: Tensor) -> Tensor:
        return weight.clone()

    def times(self, x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def silu(self, x: Tensor, w: Tensor) -> Tensor:
        return F.silu(F.linear(x, w))

    def scaled(self, x: Tensor, w: Tensor, factor: Tensor) -> Tensor:
        return F.linear(x, w) * factor

    def added(self, x: Tensor, w: Tensor, term: Tensor) -> Tensor:
        return F.linear(x, w) + term

    def attend(self, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
        """Softmax attention of each text over itself, (rows, 12, 64); neighbours of equal length in one call."""
        mixed = v.new_zeros(v.shape)
        start = 0
        for length, group in groupby(lengths):
            count = len(list(group))
            rows = slice(start, start + count * length)
            heads = (t[rows].view(count, length, HEADS, HEAD).transpose(1, 2) for t in (q, k, v))
            mixed[rows] = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(-1, HEADS, HEAD)
            start = rows.stop
        return mixed


class PackedOperators(Operators):
    """Matrix products by oneDNN on weights that are reordered once, as torch.compile's freezing does; CPU only.

    Faster than MKL behind F.linear, on AMD by two to three times, and the bits of a row depend on that row alone.
    """

    name = "onednn"

    def pack(self, weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(weight, TOKEN_BUDGET)

    def times(self, x: Tensor, w: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")

    def silu(self, x: Tensor, w: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, w, None, "swish", [], "")

    def scaled(self, x: Tensor, w: Tensor, factor: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, factor, w, None, "mul")

    def added(self, x: Tensor, w: Tensor, term: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, term, w, None, "add")


class Layer:
    """One of the model's twelve layers: attention, then feed-forward, each added to its input and normalised."""

    def __init__(self, weights: Weights, number: int, operators: Operators, device: torch.device, dtype: torch.dtype):
        passage = np.empty(INNER * HIDDEN, np.float32)  # one for all, else freed ones stay in the process

        def tensor(name: str) -> Tensor:
            array = weights.tensor(f"encoder.layers.{number}.{name}")
            np.copyto(part := passage[: array.size].reshape(array.shape), array)
            return torch.from_numpy(part).to(device, dtype)

        self.operators = operators
        self.qkv, self.out, self.up, self.gate, self.down = (
            operators.pack(tensor(f"{name}.weight"))
            for name in ("attn.Wqkv", "attn.out_proj", "mlp.fc11", "mlp.fc12", "mlp.fc2")
        )
        self.norm1 = tensor("norm1.weight").clone(), tensor("norm1.bias").clone()
        self.norm2 = tensor("norm2.weight").clone(), tensor("norm2.bias").clone()
        weights.let_go()

    def __call__(self, h: Tensor, lengths: Sequence[int], cos: Tensor, sin: Tensor) -> None:
        """Put what the layer makes of h (rows, 768) into its place."""
        qkv = self.operators.times(h, self.qkv).view(-1, 3 * HEADS, HEAD)
        qk, v = qkv[:, : 2 * HEADS].float(), qkv[:, 2 * HEADS :].float()
        for part, c, s in zip(*(t.split(TOKEN_BUDGET) for t in (qk, cos, sin)), strict=True):
            turned = part.roll(HEAD // 2, -1).mul_(s)
            part.mul_(c).add_(turned)
        mixed = self.operators.attend(qk[:, :HEADS], qk[:, HEADS:], v, lengths).view(-1, HIDDEN).to(h.dtype)
        del qkv, qk, v  # 75 MB for 8,192 tokens
        for part, attended in zip(h.split(TOKEN_BUDGET), mixed.split(TOKEN_BUDGET), strict=True):
            part.copy_(self.feed_forward(attended, part))

    def feed_forward(self, attended: Tensor, h: Tensor) -> Tensor:
        h = F.layer_norm(self.operators.added(attended, self.out, h), (HIDDEN,), *self.norm1, EPSILON)
        inner = self.operators.scaled(h, self.up, self.operators.silu(h, self.gate))
        return F.layer_norm(self.operators.added(inner, self.down, h), (HIDDEN,), *self.norm2, EPSILON)


@lru_cache(maxsize=2)
def rotary(length: int) -> tuple[Tensor, Tensor]:
    """Give cos and signed sin (length, 64) for a text of that many tokens; the first half of each sin is negative.

    Past 2,048 tokens the base grows with the text's own length (dynamic NTK scaling), whatever its neighbours.
    """
    base = ROTARY_BASE
    if length > TRAINED_TOKENS:
        growth = ROTARY_FACTOR * length / TRAINED_TOKENS - (ROTARY_FACTOR - 1)
        base *= growth ** (HEAD / (HEAD - 2))
    frequency = 1.0 / base ** (torch.arange(0, HEAD, 2, dtype=torch.float32) / HEAD)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency).double()
    cos, sin = angle.cos().float(), angle.sin().float()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


class FastEngine:
    """The whole model on one device, its weights taken from the file one layer at a time."""

    name = "fast"

    def __init__(self, weights: Weights, operators: Operators, *, device: torch.device, dtype: torch.dtype) -> None:
        def tensor(name: str) -> Tensor:
            return torch.from_numpy(np.array(weights.tensor(name))).float()

        self.device, self.dtype = device, dtype
        self.words = weights.tensor("embeddings.word_embeddings.weight")  # stays in the file, looked up row by row
        self.type = tensor("embeddings.token_type_embeddings.weight")[0]
        self.norm = tensor("emb_ln.weight"), tensor("emb_ln.bias")
        self.layers = [Layer(weights, number, operators, device, dtype) for number in range(LAYERS)]

    @torch.inference_mode()
    def pool(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Run token id sequences; the mean over each one's tokens (N, 768), in the order given."""
        pooled = np.empty((len(sequences), HIDDEN), np.float32)
        batch: list[int] = []
        tokens = 0
        for index in sorted(range(len(sequences)), key=lambda i: len(sequences[i])):
            if batch and tokens + len(sequences[index]) > TOKEN_BUDGET:
                pooled[batch] = self._means([sequences[i] for i in batch])
                batch, tokens = [], 0
            batch.append(index)
            tokens += len(sequences[index])
        if batch:
            pooled[batch] = self._means([sequences[i] for i in batch])
        return pooled

    def _means(self, batch: list[Sequence[int]]) -> NDArray[np.float64]:
        lengths = [len(ids) for ids in batch]
        filling = -sum(lengths) % ROWS
        words = self.words[np.concatenate([*batch, np.zeros(filling, int)])]
        h = torch.from_numpy(words).float().add_(self.type)
        h = F.layer_norm(h, (HIDDEN,), *self.norm, EPSILON).to(self.device, self.dtype)
        tables = [(c[:n], s[:n]) for n in lengths for c, s in (rotary(max(n, TRAINED_TOKENS)),)]
        tables += [(c[:filling], s[:filling]) for c, s in (rotary(TRAINED_TOKENS),)]
        cos, sin = (torch.cat(t).to(self.device)[:, None] for t in zip(*tables, strict=True))
        for layer in self.layers:
            layer(h, lengths, cos, sin)
        rows = h.float().cpu().numpy()
        ends = np.cumsum(lengths)
        sums = [rows[end - n : end].sum(axis=0, dtype=np.float64) for end, n in zip(ends, lengths, strict=True)]
        return np.array(sums) / np.array(lengths)[:, None]
