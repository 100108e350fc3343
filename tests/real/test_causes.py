"""Every cause that `verify` can name, and every way to be a bad model, made to happen with the official weights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold.adapters.golden import shipped_golden, shipped_texts
from nomic_scaffold.checks.causes import CAUSES
from nomic_scaffold.checks.embeddings import EmbeddingsJudgement, check_embeddings
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.languages import check_languages
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Matrix, Unavailable
from nomic_scaffold.models.probe import GoldenText, LanguageTexts, ProbeTexts
from nomic_scaffold.models.report import CheckResult, Place, Status
from tests.support import synthetic
from tests.support.projects import PACKAGE, spec_of

pytestmark = pytest.mark.weights

CAUSE_OF = {
    "no prefix": "missing-prefix",
    "one prefix for all": "one-prefix-for-all",
    "swapped prefixes": "swapped-prefixes",
    "no LayerNorm": "missing-layer-norm",
    "no L2": "not-normalised",
    "cased": "cased-tokenizer",
    "accents kept": "unnormalised-text",
    "vocab_file": "vocabulary-not-loaded",
    "nothing reaches the model": "all-alike",
    "not put back": "shuffled-rows",
    "mask of zeros": "not-finite",
    "first token only": "other-computation",
    "float16": "other-precision",
    "bfloat16": "other-precision",
    "autocast": "other-precision",
    "Q8_0": "quantised-file",
    "Q4_0": "quantised-file",
    "random weights": "other-weights",
    "shuffled vocabulary": "other-weights",
    "cut off at 512": "cut-off",
}
OTHER_FILES = {"Q8_0", "Q4_0", "random weights", "shuffled vocabulary"}
"""Mistakes that come from a file which is not the pinned one, as its hash tells."""
BAD_MODELS = ("random weights", "shuffled vocabulary", "nothing reaches the model")
SHORT = frozenset(
    {
        "prefix-search-query",
        "prefix-search-document",
        "prefix-classification",
        "prefix-clustering",
        "english",
        "upper-case",
        "lower-case",
        "accents-composed",
        "accents-decomposed",
        "combining-marks",
        "one-character",
        "chinese",
        "korean",
        "hindi",
        "arabic",
        "russian",
        "german",
        "code-python",
        "numbers",
        "question",
        "question-upper",
        "review",
        "headline",
    }
)
"""Texts that are quick to embed, and of every kind that a cause goes by."""
LONG = "words-600"
FEW = frozenset(
    {"prefix-search-query", "prefix-search-document", "prefix-classification", "prefix-clustering"}
    | {"upper-case", "accents-decomposed", "chinese", "korean", "hindi", "code-python"}
)
"""Enough for mistakes that change every vector alike, and slow ones: a processor is slow at half precision."""
SLOW = ("float16", "bfloat16", "autocast", "Q8_0", "Q4_0")


@dataclass(frozen=True)
class Mistaken:
    """What the official weights give with each mistake."""

    root: Path
    rows: dict[str, dict[str, str]]
    """Mistake -> id of a text -> its vector in base64."""

    def evidence(self, mistake: str, texts: ProbeTexts) -> EmbeddingsEvidence:
        rows = self.rows[mistake]
        cases: dict[str, Matrix] = {}
        for task in dict.fromkeys(text.task for text in texts.golden):
            ids = [text.id for text in texts.golden if text.task == task]
            cases[f"golden:{task}"] = _matrix(rows[name] for name in ids)
        for language in texts.languages:
            for kind, items in _sentences(language).items():
                if items and items[0]["id"] in rows:
                    cases[f"{kind}:{language.code}"] = _matrix(rows[item["id"]] for item in items)
        known = synthetic.embeddings()
        share = {"en": 0.0, "zh": 0.68} if mistake == "right" else Unavailable(unavailable="not asked")
        return known.model_copy(update={"cases": cases, "unknown_share": share})

    def judge(self, mistake: str, *, weights_pinned: bool) -> EmbeddingsJudgement:
        texts = _texts(FEW if mistake in SLOW else SHORT | ({LONG} if mistake == "cut off at 512" else frozenset()))
        (golden,) = shipped_golden()
        return check_embeddings(
            spec_of(self.root),
            self.evidence(mistake, texts),
            texts=texts,
            known=KnownVectors(shipped=golden, own=None),
            weights_pinned=weights_pinned,
        )

    def judge_languages(self, mistake: str, code: str) -> dict[str, CheckResult]:
        texts = shipped_texts()
        spec = synthetic.spec(languages=(code,), model=spec_of(self.root).model)
        place = Place(file="scaffold.toml")
        results, _ = check_languages(spec, self.evidence(mistake, _texts(SHORT)), texts=texts, place=place)
        return {result.code: result for result in results}


def _matrix(rows: Iterable[str]) -> Matrix:
    listed = tuple(rows)
    return Matrix(shape=(len(listed), 768), dtype="float32", rows=listed)


def _texts(ids: frozenset[str]) -> ProbeTexts:
    texts = shipped_texts()
    return texts.model_copy(update={"golden": tuple(text for text in texts.golden if text.id in ids)})


def _item(name: str, text: str, task: str) -> dict[str, str]:
    return {"id": name, "text": text, "task": task}


def _sentences(language: LanguageTexts) -> dict[str, list[dict[str, str]]]:
    def named(kind: str, number: int) -> str:
        return f"{language.code}/{kind}/{number}"

    sides = [side for pair in language.pairs for side in (pair.a, pair.b)]
    return {
        "pairs": [_item(named("pair", i), side, "clustering") for i, side in enumerate(sides)],
        "questions": [_item(named("q", i), p.question, "search_query") for i, p in enumerate(language.passages)],
        "passages": [_item(named("p", i), p.passage, "search_document") for i, p in enumerate(language.passages)],
    }


def _items(texts: Iterable[GoldenText]) -> list[dict[str, str]]:
    return [_item(text.id, text.text, text.task) for text in texts]


@pytest.fixture(scope="module")
def mistaken(generated_project: Path, torch_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Mistaken:
    spec = spec_of(generated_project)
    languages = {language.code: language for language in shipped_texts().languages}
    english = [item for items in _sentences(languages["en"]).values() for item in items]
    chinese = [item for items in _sentences(languages["zh"]).values() for item in items]
    short = _items(_texts(SHORT).golden)
    few = _items(_texts(FEW).golden)
    asked = {m: [*(few if m in SLOW else short), *(english if m in BAD_MODELS else [])] for m in CAUSE_OF}
    asked["cut off at 512"] = [*short, *_items(_texts(frozenset({LONG})).golden)]
    asked["right"] = [*short, *english, *chinese]
    job = tmp_path_factory.mktemp("mistakes") / "job.json"
    job.write_text(
        json.dumps(
            {
                "package": str(generated_project / "src" / PACKAGE),
                "file": str(generated_project / ".nomic-scaffold" / "weights" / spec.model.file),
                "mistakes": asked,
            }
        ),
        encoding="utf-8",
    )
    script = Path(__file__).resolve().parents[1] / "support" / "wrong_model.py"
    done = subprocess.run(
        [torch_environment, "-B", script, job], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    lines = map(json.loads, done.stdout.splitlines())
    return Mistaken(root=generated_project, rows={line["mistake"]: line["rows"] for line in lines})


def test_without_a_mistake_there_is_no_cause(mistaken: Mistaken) -> None:
    judged = mistaken.judge("right", weights_pinned=True)
    assert judged.cause is None
    assert max(one.component for one in judged.deviations) < 2e-7


@pytest.mark.parametrize(("mistake", "cause"), CAUSE_OF.items(), ids=CAUSE_OF)
def test_a_mistake_with_the_official_weights_is_named(mistake: str, cause: str, mistaken: Mistaken) -> None:
    judged = mistaken.judge(mistake, weights_pinned=mistake not in OTHER_FILES)
    (golden,) = [result for result in judged.results if result.code == "EMB018"]
    assert golden.status is Status.FAIL
    assert judged.cause == CAUSES[cause]


def test_every_named_cause_is_made_to_happen() -> None:
    assert set(CAUSE_OF.values()) == set(CAUSES) - {"no-known-pattern"}


def test_an_eight_bit_file_is_told_from_coarse_arithmetic_without_knowing_its_hash(mistaken: Mistaken) -> None:
    judged = mistaken.judge("Q8_0", weights_pinned=True)
    assert judged.cause == CAUSES["quantised-file"]


CLIENT = """
import base64, json, sys
from nomic import embed
job = json.load(open(sys.argv[1], encoding="utf-8"))
for task in sorted({item["task"] for item in job["items"]}):
    items = [item for item in job["items"] if item["task"] == task]
    embed.free_embedding_model()
    done = embed.text([item["text"] for item in items], model="nomic-embed-text-v1.5", task_type=task,
                      inference_mode="local", model_path=job["folder"], allow_download=False, device="cpu")
    import numpy
    for item, row in zip(items, done["embeddings"]):
        packed = numpy.asarray(row, dtype="<f4").tobytes()
        print(json.dumps([item["id"], base64.b64encode(packed).decode()]))
"""


def test_the_official_client_without_our_normalising_is_named(
    generated_project: Path, nomic_environment: Path, tmp_path: Path
) -> None:
    texts = _texts(SHORT)
    model = generated_project / ".nomic-scaffold" / "weights" / spec_of(generated_project).model.file
    job = tmp_path / "job.json"
    asked = {"items": _items(texts.golden), "folder": str(model.parent)}
    job.write_text(json.dumps(asked), encoding="utf-8")
    done = subprocess.run(
        [nomic_environment, "-B", "-c", CLIENT, job], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    judged = Mistaken(root=generated_project, rows={"client": rows}).judge("client", weights_pinned=True)
    assert judged.cause == CAUSES["unnormalised-text"]
    off = {one.id for one in judged.deviations if one.component > 1e-6}
    assert {"korean", "hindi", "accents-decomposed"} <= off
    assert not off & {"english", "upper-case", "accents-composed", "chinese", "russian", "numbers"}


@pytest.mark.parametrize("mistake", BAD_MODELS)
def test_a_bad_model_fails_on_meaning_alone(mistake: str, mistaken: Mistaken) -> None:
    found = mistaken.judge_languages(mistake, "en")
    assert found["LNG003"].status is Status.FAIL


def test_the_official_model_understands_english_and_not_chinese(mistaken: Mistaken) -> None:
    english = mistaken.judge_languages("right", "en")
    assert {result.status for result in english.values()} == {Status.PASS}
    chinese = mistaken.judge_languages("right", "zh")
    assert chinese["LNG002"].status is Status.FAIL
    assert chinese["LNG003"].status is Status.FAIL
