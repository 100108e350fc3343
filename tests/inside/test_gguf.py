"""The reader of model files: what it reads, and that a damaged file is told apart by name."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from my_project.gguf import WeightsError, open_weights

STRING, ARRAY, U32, F32_VALUE = 8, 9, 4, 6
F32, F16, Q8_0 = 0, 1, 8


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(of: int, count: int, values: bytes) -> bytes:
    return struct.pack("<IQ", of, count) + values


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<{len(shape)}Q", *reversed(shape))
    return text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, offset)


def gguf(
    *,
    architecture: str = "nomic-bert",
    version: int = 3,
    kind: int = F16,
    rows: int = 2,
    entries: tuple[bytes, ...] = (),
    tensors: int = 2,
    alignment: int = 32,
) -> bytes:
    values = (
        entry("general.architecture", STRING, text(architecture)),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, 3, text("[CLS]") + text("▁the") + text("ing"))),
        entry("tokenizer.ggml.scores", ARRAY, array(F32_VALUE, 2, struct.pack("<2f", 1, 2))),
        *entries,
    )
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(values)) + b"".join(values)
    head += tensor("blk.3.ffn_gate.weight", (rows, 4), kind, 0) + tensor("token_embd_norm.bias", (3,), F32, 64)
    head += bytes(-len(head) % alignment)
    return head + np.arange(8, dtype="<f2").tobytes().ljust(64, b"\0") + np.arange(3, dtype="<f4").tobytes()


def test_tensors_have_their_official_names_and_types(tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(gguf())
    weights = open_weights(tmp_path / "a.gguf")
    gate = weights.tensor("encoder.layers.3.mlp.fc12.weight")
    assert gate.dtype == np.float16
    assert gate.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert weights.tensor("emb_ln.bias").tolist() == [0, 1, 2]
    assert weights.vocabulary == ["[CLS]", "the", "##ing"]


def test_another_alignment_is_respected(tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(gguf(alignment=128, entries=(entry("general.alignment", U32, b"\x80\0\0\0"),)))
    assert open_weights(tmp_path / "a.gguf").tensor("emb_ln.bias").tolist() == [0, 1, 2]


def test_nothing_is_copied_and_nothing_can_be_written(tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(gguf())
    bias = open_weights(tmp_path / "a.gguf").tensor("emb_ln.bias")
    assert not bias.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        bias[0] = 1


LONG_STRING = text("x")[:0] + struct.pack("<Q", 2**63)
WRONG = {
    "other architecture": (gguf(architecture="llama"), "holds a llama"),
    "other version": (gguf(version=2), "GGUF version 2"),
    "quantised": (gguf(kind=Q8_0), "quantised"),
    "cut in the header": (gguf()[:150], "cut off"),
    "cut in a tensor": (gguf()[:-4], "cut off"),
    "shape past the end": (gguf(rows=2**40), "cut off"),
    "endless string": (gguf(entries=(entry("x", STRING, LONG_STRING),)), "cut off"),
    "endless array": (gguf(entries=(entry("x", ARRAY, array(U32, 2**62, b"")),)), "cut off"),
    "unknown type": (gguf(entries=(entry("x", 99, b""),)), "unknown type 99"),
    "broken name": (gguf(entries=(entry("x", STRING, struct.pack("<Q", 1) + b"\xff"),)), "broken name"),
    "more tensors than there are": (gguf(tensors=2**60), "cut off|unknown|broken|quantised"),
    "neither format": (b"PK\3\4" + bytes(100), "neither GGUF nor safetensors"),
    "empty": (b"", "too short"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, case: str):
    content, words = WRONG[case]
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        open_weights(path)
    assert str(path) in str(caught.value)


def test_a_cut_anywhere_in_a_file_is_an_error(tmp_path: Path):
    path, whole = tmp_path / "cut.gguf", gguf()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            open_weights(path)


def safetensors(entries: dict[str, object], data: bytes) -> bytes:
    head = json.dumps(entries).encode()
    return struct.pack("<Q", len(head)) + head + data


def test_a_safetensors_file_has_the_same_interface(tmp_path: Path):
    place = {"dtype": "F32", "shape": [2, 2], "data_offsets": [4, 20]}
    data = b"skip" + np.arange(4, dtype="<f4").tobytes()
    (tmp_path / "a.safetensors").write_bytes(safetensors({"__metadata__": {"format": "pt"}, "x": place}, data))
    weights = open_weights(tmp_path / "a.safetensors")
    assert weights.tensor("x").tolist() == [[0, 1], [2, 3]]
    assert weights.vocabulary is None
    with pytest.raises(WeightsError, match="no tensor y"):
        weights.tensor("y")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (safetensors({"x": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}, b"\0"), "type I8"),
        (safetensors({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}, b"\0" * 35), "cut off"),
        (safetensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [-64, 4]}}, b"\0" * 35), "cut off"),
        (struct.pack("<Q", 2**40) + b"{" + b" " * 40, "cut off"),
        (struct.pack("<Q", 20) + b"{" + b" " * 40, "not JSON"),
        (safetensors({"x": {"shape": [1]}}, b"\0" * 35), "broken entry for x"),
    ],
    ids=["type", "cut", "before the start", "endless header", "no JSON", "entry"],
)
def test_a_damaged_safetensors_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        open_weights(path)
