"""Read the pinned model file without copying it: GGUF version 3 or safetensors, memory-mapped.

Both formats are a short header followed by raw tensors:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ARCHITECTURE = "nomic-bert"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_GGUF_TYPES = {0: "<f4", 1: "<f2"}
_SAFETENSORS_TYPES = {"F32": "<f4", "F16": "<f2"}
_OFFICIAL = {  # GGUF name -> name in the official safetensors file
    "token_embd": "embeddings.word_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "emb_ln",
    "attn_qkv": "attn.Wqkv",
    "attn_output": "attn.out_proj",
    "attn_output_norm": "norm1",
    "ffn_up": "mlp.fc11",
    "ffn_gate": "mlp.fc12",  # the one under SiLU
    "ffn_down": "mlp.fc2",
    "layer_output_norm": "norm2",
}


class WeightsError(ValueError):
    """The model file is damaged, or is not one that this code can run."""


@dataclass(frozen=True)
class Weights:
    """An open model file; its arrays are read-only views of the file."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, np.ndarray]
    """Official safetensors name -> float16 or float32 array."""
    vocabulary: list[str] | None
    """The lines of the official vocab.txt; None where the file carries none (safetensors)."""

    def tensor(self, name: str) -> np.ndarray:
        """Give one tensor by its official name, e.g. `encoder.layers.0.attn.Wqkv.weight` (2304, 768)."""
        if name not in self.tensors:
            raise WeightsError(f"{self.path}: has no tensor {name}")
        return self.tensors[name]

    def let_go(self) -> None:
        """Let the system take back the memory that holds parts of the file; they are read again when used again."""
        base: Any = next(iter(self.tensors.values()), None)
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            base.madvise(mmap.MADV_DONTNEED)


def open_weights(path: Path | str) -> Weights:
    """Open a GGUF or safetensors file of the nomic-bert architecture; raises WeightsError that names the file."""
    path = Path(path)
    if path.stat().st_size < 24:
        raise WeightsError(f"{path}: is too short to be a model file ({path.stat().st_size} bytes)")
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    if bytes(mapped[:4]) == b"GGUF":
        return _open_gguf(path, mapped)
    if bytes(mapped[8:9]) == b"{":
        return _open_safetensors(path, mapped)
    raise WeightsError(f"{path}: is neither GGUF nor safetensors (starts with {bytes(mapped[:4])!r})")


class _Header:
    """A cursor over the GGUF header that never leaves the file."""

    def __init__(self, path: Path, mapped: np.memmap) -> None:
        self.path, self.mapped, self.at = path, mapped, 0

    def take(self, count: int) -> bytes:
        if count > self.mapped.size - self.at:
            raise WeightsError(f"{self.path}: is cut off: its header wants {count} bytes at {self.at}")
        self.at += count
        return self.mapped[self.at - count : self.at].tobytes()

    def scalar(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def string(self) -> str:
        length = self.scalar("<Q")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise WeightsError(f"{self.path}: has a broken name in its header near byte {self.at}") from error

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            of, count = self.scalar("<I"), self.scalar("<Q")
            if of == _STRING:
                return [self.string() for _ in range(count)]
            if of in _SCALARS:
                return np.frombuffer(self.take(count * struct.calcsize(_SCALARS[of])), dtype=_SCALARS[of])
            kind = of
        if kind not in _SCALARS:
            raise WeightsError(f"{self.path}: has a value of unknown type {kind} near byte {self.at}")
        return self.scalar(_SCALARS[kind])


def _open_gguf(path: Path, mapped: np.memmap) -> Weights:
    header = _Header(path, mapped)
    header.take(4)
    version, tensor_count, value_count = (header.scalar(code) for code in ("<I", "<Q", "<Q"))
    if version != 3:
        raise WeightsError(f"{path}: is GGUF version {version}; this code reads version 3")
    metadata = {}
    for _ in range(value_count):
        name = header.string()
        metadata[name] = header.value(header.scalar("<I"))
    if metadata.get("general.architecture") != ARCHITECTURE:
        raise WeightsError(f"{path}: holds a {metadata.get('general.architecture')}; this code runs {ARCHITECTURE}")
    found = []
    for _ in range(tensor_count):
        name = header.string()
        dimensions = header.scalar("<I")
        shape = [header.scalar("<Q") for _ in range(dimensions)][::-1]
        found.append((name, shape, header.scalar("<I"), header.scalar("<Q")))
    alignment = int(metadata.get("general.alignment") or 32)
    start = -(-header.at // alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in found:
        if kind not in _GGUF_TYPES:
            raise WeightsError(
                f"{path}: {name} is quantised (GGUF type {kind}), which changes every vector; pin the f16 or f32 file"
            )
        tensors[_official_name(name)] = _view(path, mapped, name, _GGUF_TYPES[kind], shape, start + offset)
    tokens = metadata.pop("tokenizer.ggml.tokens", None)
    return Weights(path, metadata, tensors, None if tokens is None else [_official_token(t) for t in tokens])


def _open_safetensors(path: Path, mapped: np.memmap) -> Weights:
    (length,) = struct.unpack("<Q", mapped[:8].tobytes())
    if length > mapped.size - 8:
        raise WeightsError(f"{path}: is cut off: its header wants {length} bytes")
    try:
        entries = json.loads(mapped[8 : 8 + length].tobytes())
    except ValueError as error:
        raise WeightsError(f"{path}: has a header that is not JSON") from error
    metadata = entries.pop("__metadata__", {})
    tensors = {}
    for name, entry in entries.items():
        try:
            kind, shape, offset = entry["dtype"], entry["shape"], entry["data_offsets"][0]
        except (KeyError, TypeError, IndexError) as error:
            raise WeightsError(f"{path}: has a broken entry for {name} in its header") from error
        if kind not in _SAFETENSORS_TYPES:
            raise WeightsError(f"{path}: {name} is of type {kind}; this code reads F32 and F16")
        if offset < 0:
            raise WeightsError(f"{path}: is cut off: {name} begins before the data")
        tensors[name] = _view(path, mapped, name, _SAFETENSORS_TYPES[kind], shape, 8 + length + offset)
    return Weights(path, metadata, tensors, None)


def _view(path: Path, mapped: np.memmap, name: str, kind: str, shape: list[int], start: int) -> np.ndarray:
    size = math.prod(shape) * np.dtype(kind).itemsize
    if start + size > mapped.size:
        raise WeightsError(f"{path}: is cut off: {name} wants {size} bytes at {start}, the file has {mapped.size}")
    return mapped[start : start + size].view(kind).reshape(shape).view(np.ndarray)


def _official_name(name: str) -> str:
    """Turn a GGUF tensor's name into the official one: `blk.3.ffn_up.weight` -> `encoder.layers.3.mlp.fc11.weight`."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if match is None or match[2] not in _OFFICIAL:
        return name
    layer = "" if match[1] is None else f"encoder.layers.{match[1]}."
    return f"{layer}{_OFFICIAL[match[2]]}.{match[3]}"


def _official_token(token: str) -> str:
    """Turn llama.cpp's spelling of a token into that of vocab.txt: `▁the` -> `the`, `ing` -> `##ing`."""
    if token.startswith("[") and token.endswith("]") and len(token) > 2:
        return token
    return token[1:] if token.startswith("▁") else "##" + token
