"""On one machine the fast engine gives a text the same bits in any company, any order, with any number of threads."""

import random
from collections.abc import Iterator

import pytest
import torch
from my_project import embed, embedding
from my_project.packed import FastEngine

EDGES = [2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257, 700, 2049]
THREADS = [1, 2, 3, 7, 16]
EMULATED_THREADS = THREADS[:-1]
"""bfloat16 that is emulated splits long sums between 16 threads and more."""


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def engine(request: pytest.FixtureRequest) -> FastEngine:
    runtime = embedding.open_runtime("torch", dtype=request.param)
    if not runtime.same_bits:
        pytest.skip(f"this processor has no promise of same bits in {request.param}: {runtime.why}")
    return runtime._engine


def threads_of(engine: FastEngine) -> list[int]:
    return THREADS if engine.dtype == torch.float32 else EMULATED_THREADS


def drawn(draw: random.Random, lengths: list[int]) -> list[list[int]]:
    return [[101, *(draw.randrange(1000, 30000) for _ in range(n - 2)), 102] for n in lengths]


@pytest.mark.usefixtures("threads")
def test_hundreds_of_texts_in_hundreds_of_batches(engine: FastEngine, monkeypatch: pytest.MonkeyPatch):
    """Four layers have every operator of twelve: the time goes into more texts. The next test takes all."""
    monkeypatch.setattr(engine, "layers", engine.layers[:4])
    draw = random.Random(6)
    texts = drawn(draw, [draw.randint(2, 24) for _ in range(188)] + [draw.randint(25, 300) for _ in range(12)])
    torch.set_num_threads(1)
    alone = [engine.pool([text])[0].tobytes() for text in texts]
    for _ in range(200):
        chosen = draw.sample(range(len(texts)), draw.choice([2, 3, 5, 12]))
        torch.set_num_threads(draw.choice(threads_of(engine)))
        for index, vector in zip(chosen, engine.pool([texts[i] for i in chosen]), strict=True):
            assert vector.tobytes() == alone[index], f"{len(texts[index])} tokens, {torch.get_num_threads()} threads"


@pytest.mark.usefixtures("threads")
def test_every_kind_of_length(engine: FastEngine):
    draw = random.Random(7)
    texts = drawn(draw, EDGES)
    torch.set_num_threads(1)
    alone = [engine.pool([text])[0].tobytes() for text in texts]
    for count in (2, threads_of(engine)[-1]):
        torch.set_num_threads(count)
        order = draw.sample(range(len(texts)), len(texts))
        for index, vector in zip(order, engine.pool([texts[i] for i in order]), strict=True):
            assert vector.tobytes() == alone[index], f"{len(texts[index])} tokens, {count} threads"


@pytest.mark.usefixtures("threads")
def test_embed_keeps_them():
    if not embedding.open_runtime("torch").same_bits:
        pytest.skip("this processor has no promise of same bits")
    texts = [f"{word} boils at {n} degrees" * (n % 5 + 1) for n in range(12) for word in ("Water", "Iron")]
    whole = embed(texts, dimension=256)
    torch.set_num_threads(2)
    assert embed(texts[::-1], dimension=256)[::-1].tobytes() == whole.tobytes()
    assert embed(texts * 3, dimension=256, progress=True)[: len(texts)].tobytes() == whole.tobytes()  # other batches
    assert all(embed([text], dimension=256).tobytes() == row.tobytes() for text, row in zip(texts, whole, strict=True))
