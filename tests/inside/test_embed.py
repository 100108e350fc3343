"""`embed` itself: order, memory, refusals, warnings. The model is a fake whose vectors depend on the tokens only."""

import os
import re
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from my_project import TextError, UnreadableWarning, embed, embedding
from my_project.tokenizer import Encoded

CHINESE = "人工智能是未来的方向"


class Fake:
    """A runtime that is quick: a text's vector is a random one with its token ids for the seed."""

    name = engine = "fake"
    device, dtype = "cpu", "float32"
    max_tokens = 64

    def __init__(self) -> None:
        self.seen: list[Encoded] = []
        self.windows: list[int] = []

    def refusal(self, text: Encoded) -> str | None:
        return "is forbidden" if "forbidden" in text.text else None

    def pool(self, texts: Sequence[Encoded]) -> np.ndarray:
        self.seen += texts
        self.windows.append(len(texts))
        seeds = [abs(hash(text.ids)) for text in texts]
        return np.array([np.random.default_rng(seed).normal(3, 2, 768) for seed in seeds], np.float32)


@pytest.fixture
def fake() -> Iterator[Fake]:
    runtime = Fake()
    embedding._runtimes[("fake", None, None, None)] = runtime
    yield runtime
    del embedding._runtimes[("fake", None, None, None)]


def test_order_is_kept_and_each_text_has_its_own_vector(fake: Fake):
    texts = [f"text number {i}" for i in range(50)]
    vectors = embed(texts, runtime="fake")
    assert vectors.shape == (50, 768)
    assert vectors.dtype == np.float32
    for i in (0, 7, 49):
        assert np.array_equal(embed([texts[i]], runtime="fake")[0], vectors[i])
    assert len(np.unique(vectors, axis=0)) == 50


def test_a_row_is_centred_then_cut_then_of_unit_length(fake: Fake):
    whole, cut = embed(["water"], runtime="fake")[0], embed(["water"], runtime="fake", dimension=64)[0]
    assert abs(float(whole.astype(float).mean())) < 1e-8
    assert abs(float(np.linalg.norm(whole.astype(float))) - 1) < 1e-7
    assert cut.shape == (64,)
    assert np.allclose(cut, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-7)


@pytest.mark.parametrize("kind", [np.int64, np.uint16])
def test_numpys_whole_numbers_are_dimensions(fake: Fake, kind: type):
    assert embed(["water"], runtime="fake", dimension=kind(256)).shape == (1, 256)
    assert embed([], dimension=kind(64)).shape == (0, 64)


def test_the_task_is_put_before_the_text(fake: Fake):
    rows = [embed(["water"], task=task, runtime="fake")[0] for task in embedding.TASKS]
    assert len(np.unique(rows, axis=0)) == 4
    assert [text.task for text in fake.seen] == list(embedding.TASKS)


@pytest.mark.parametrize("nothing", [[], (), iter(())], ids=["list", "tuple", "generator"])
def test_no_text_gives_no_vector_and_loads_no_model(nothing: object):
    assert embed(nothing, runtime="there is none").shape == (0, 768)
    assert embed([], dimension=128).dtype == np.float32


def test_a_generator_is_read_as_needed_and_not_kept(fake: Fake):
    class Text(str):
        """A text that can be watched."""

    alive: list[weakref.ref[Text]] = []
    most = 0

    def texts() -> Iterator[Text]:
        nonlocal most
        for i in range(5000):
            text = Text(f"text {i}")
            alive.append(weakref.ref(text))
            if i % 500 == 0:
                fake.seen.clear()
                most = max(most, sum(one() is not None for one in alive))
            yield text

    assert embed(texts(), runtime="fake").shape == (5000, 768)
    assert max(fake.windows) <= 1024
    assert most <= 2 * 1024


def test_memory_is_bounded_by_the_result(fake: Fake):
    fake.pool = lambda texts: np.ones((len(texts), 768), np.float32) * np.arange(768, dtype=np.float32)  # type: ignore[method-assign]
    texts = (f"some text with the number {i} " + "word " * 30 for i in range(20_000))
    tracemalloc.start()
    embed(texts, runtime="fake", truncate=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = 20_000 * 768 * 4
    assert peak < 2 * result + 40e6


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a", ""], "texts[1] is empty"),
        (["a", "b", "\n\t \u00a0"], "texts[2] is empty"),
        (["\u200b\ufeff"], "texts[0] is empty"),
        (["a", None], "texts[1] is NoneType, not str"),
        ([b"bytes"], "texts[0] is bytes, not str"),
        (["a", "\ud83d"], "texts[1] is not valid Unicode"),
        (["a", "b", "forbidden"], "texts[2] is forbidden"),
        (["word " * 64], "texts[0] has 70 tokens; the fake runtime reads 64"),
        ((str(i) if i != 3000 else 3000 for i in range(4000)), "texts[3000] is int, not str"),
    ],
)
def test_a_text_that_cannot_be_embedded_is_named_by_its_index(fake: Fake, texts: object, words: str):
    with pytest.raises(TextError, match=re.escape(words)) as caught:
        embed(texts, runtime="fake")
    assert f"texts[{caught.value.index}]" in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "search"}, "task='search' is unknown"),
        ({"task": None}, "task=None is unknown"),
        ({"dimension": 769}, "dimension=769"),
        ({"dimension": 63}, "dimension=63"),
        ({"dimension": 256.0}, "dimension=256.0"),
        ({"dimension": True}, "dimension=True"),
        ({"dimension": np.int64(769)}, "dimension=np.int64(769)"),
        ({"dimension": "256"}, "dimension='256'"),
        ({"unknown": "maybe"}, "unknown='maybe'"),
        ({"runtime": "onnx"}, "runtime='onnx'"),
        ({"runtime": "nomic", "device": "cuda"}, "nomic runtime has only"),
        ({"runtime": "nomic", "dtype": "bfloat16"}, "nomic runtime has only"),
    ],
)
def test_an_argument_that_is_not_known_is_refused(options: dict[str, object], words: str):
    with pytest.raises(ValueError, match=re.escape(words)):
        embed(["a text"], **options)


@pytest.mark.parametrize("single", ["one text", b"one text"])
def test_a_single_string_is_refused_with_what_to_write(single: object):
    with pytest.raises(TypeError, match=re.escape("embed([text])")):
        embed(single)


def test_a_long_text_is_cut_at_the_limit_when_asked(fake: Fake):
    cut, first = embed(["word " * 64, "word " * 58], runtime="fake", truncate=True)
    assert len(fake.seen[0].ids) == 64
    assert fake.seen[0].ids[-1] == 102
    assert np.array_equal(cut, first)


def test_tokens_are_counted_as_the_model_gets_them():
    assert embedding.count_tokens(["water", "water earth"], task="clustering") == [6, 7]
    assert embedding.count_tokens([]) == []


def test_unreadable_text_is_warned_of_once_with_index_and_share(fake: Fake):
    with pytest.warns(UnreadableWarning) as caught:
        embed(["water", CHINESE, "earth", CHINESE], runtime="fake")
    (warning,) = caught
    assert "texts[1]" in str(warning.message)
    assert "60%" in str(warning.message)
    assert "1 more" in str(warning.message)
    assert warning.filename == __file__


def test_unreadable_text_can_be_refused_or_ignored(fake: Fake):
    with pytest.raises(TextError, match=r"texts\[1\].*60%"):
        embed(["water", CHINESE], runtime="fake", unknown="error")
    assert fake.seen == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed([CHINESE], runtime="fake", unknown="ignore")


def test_a_text_of_which_a_third_is_unknown_is_still_readable(fake: Fake):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(["water earth 龘"], runtime="fake")
    with pytest.warns(UnreadableWarning):
        embed(["water 龘"], runtime="fake")


def test_progress_goes_to_stderr_on_request(fake: Fake, capfd: pytest.CaptureFixture[str]):
    embed(["a", "b"], runtime="fake")
    assert capfd.readouterr() == ("", "")
    embed(["a", "b"], runtime="fake", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.findall(r"(\d+)/2 texts", err) == ["0", "2"]
    assert err.endswith("\n")


def test_progress_moves_while_few_texts_are_embedded(fake: Fake, capfd: pytest.CaptureFixture[str]):
    texts = [f"text number {i}" for i in range(600)]
    embed(texts, runtime="fake", progress=True)
    listed = [int(n) for n in re.findall(r"(\d+)/600 texts", capfd.readouterr().err)]
    assert listed == sorted(set(listed))
    assert (listed[0], listed[-1]) == (0, 600)
    assert len(listed) >= 6
    embed(["word " * 5000] * 30, runtime="fake", truncate=True, progress=True)
    assert capfd.readouterr().err.count("\r") >= 10  # long texts take long, however few they are


def test_progress_over_a_generator_counts_without_a_total(fake: Fake, capfd: pytest.CaptureFixture[str]):
    vectors = embed((f"text number {i}" for i in range(3000)), runtime="fake", progress=True)
    err = capfd.readouterr().err
    counts = [int(n) for n in re.findall(r"\rembedding (\d+) texts", err)]
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (0, 3000)
    assert len(counts) >= 20
    assert "/" not in err
    assert vectors.tobytes() == embed((f"text number {i}" for i in range(3000)), runtime="fake").tobytes()


def test_an_error_starts_on_a_line_of_its_own_under_the_bar(fake: Fake, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(TextError):
        embed(["a"] * 200 + [""], runtime="fake", progress=True)
    assert capfd.readouterr().err.endswith("192/201 texts\n")


PROJECT = Path(embedding.__file__).resolve().parents[2]
LOAD = "from my_project import embedding; print(embedding.unknown_share(['water']))"


def load(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")} | variables
    return subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=False)


def test_the_model_file_is_found_where_variables_say(tmp_path: Path):
    done = load(
        NOMIC_SCAFFOLD_PROJECT=str(PROJECT), NOMIC_SCAFFOLD_WEIGHTS=str(PROJECT / ".nomic-scaffold" / "weights")
    )
    assert (done.returncode, done.stdout) == (0, "0.0\n"), done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "is missing; run: nomic-scaffold weights pull"), (b"GGUF but another", "scaffold.toml pins f7af6f66")],
    ids=["missing", "other bytes"],
)
def test_a_model_file_that_is_not_the_pinned_one_is_not_used(tmp_path: Path, content: bytes | None, words: str):
    if content is not None:
        (tmp_path / "nomic-embed-text-v1.5.f16.gguf").write_bytes(content)
    done = load(NOMIC_SCAFFOLD_WEIGHTS=str(tmp_path))
    assert done.returncode == 1
    assert words in done.stderr
    assert str(tmp_path) in done.stderr


def test_a_package_outside_its_project_says_what_to_set(tmp_path: Path):
    done = load(NOMIC_SCAFFOLD_PROJECT=str(tmp_path))
    assert done.returncode == 1
    assert "set NOMIC_SCAFFOLD_PROJECT" in done.stderr
