"""A model made of random numbers that behaves like a good one, and its evidence: every check can be broken at will."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from nomic_scaffold.adapters.golden import shipped_texts
from nomic_scaffold.checks.cases import vectors_digest
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.judge import Expected, judge
from nomic_scaffold.checks.vectors import centred, decode, encode, unit
from nomic_scaffold.models.evidence import (
    CaseFailure,
    EmbeddingsEvidence,
    Evidence,
    MachineFacts,
    Matrix,
    PrivacyEvidence,
    Unavailable,
    WeightsEvidence,
)
from nomic_scaffold.models.probe import Golden, GoldenText, LanguageTexts, Pair, Passage, ProbeTexts, Task, repeated
from nomic_scaffold.models.report import CheckResult, Group, Place, Report, Status
from nomic_scaffold.models.spec import ModelPin, ProjectSpec, Tolerance

DIMENSION = 64
SHORT = 32
SHA256 = "5a" * 32

PIN = ModelPin(
    repository="made/up",
    revision="0" * 40,
    file="model.gguf",
    sha256=SHA256,
    size=1000,
    dimension=DIMENSION,
    max_tokens=8192,
)
SPEC = ProjectSpec(
    name="my-project",
    package="my_project",
    tool_version="0.1.0",
    channels=("conda-forge",),
    requirements=("python 3.13.*",),
    pip_requirements=(),
    variants=(),
    model=PIN,
    languages=("en",),
    tolerance=Tolerance(cosine_distance=1e-9, component=1e-6),
    python="3.13",
    pypi_requirements=("nomic[local]==3.9.*",),
    pypi_python="3.11",
    image_budgets={},
)
MACHINE = MachineFacts(
    platform="linux-64",
    os="Linux 6.1",
    processor="A Processor",
    instruction_sets=("avx2", "avx512f"),
    cores=2,
    python="3.13.1",
)

_DOCUMENT: Task = "search_document"
GOLDEN_TEXTS = (
    *(GoldenText(id=f"plain-{i}", text=text, task=_DOCUMENT, why="plain text") for i, text in enumerate(
        ["the cat sat on the mat", "rain is expected this evening", "a list is sorted in place", "water boils sooner"]
    )),
    GoldenText(id="case-lower", text="what is deep learning?", task=_DOCUMENT, why="lower case"),
    GoldenText(id="case-upper", text="WHAT IS DEEP LEARNING?", task=_DOCUMENT, why="upper case"),
    GoldenText(id="capital", text="Contracts end on Monday", task=_DOCUMENT, why="capital letters"),
    GoldenText(id="korean", text="오늘은 날씨가 좋다", task=_DOCUMENT, why="Hangul decomposes"),
    GoldenText(id="hindi", text="आज मौसम अच्छा है", task=_DOCUMENT, why="combining marks"),
    GoldenText(id="nfd", text=unicodedata.normalize("NFD", "le café est fermé"), task=_DOCUMENT, why="decomposed"),
    GoldenText(id="long", text="so " * 600, task=_DOCUMENT, why="600 words"),
    *(
        GoldenText(id=f"task-{task}", text="what is deep learning?", task=task, why="task prefix")
        for task in ("search_query", "classification", "clustering")
    ),
    GoldenText(id="query-2", text="how do plants eat", task="search_query", why="a second query"),
    GoldenText(id="cluster-2", text="plants eat light", task="clustering", why="a second clustering text"),
)  # fmt: skip


def language(code: str, name: str, count: int = 4) -> LanguageTexts:
    """Sentences about `count` subjects; a sentence's second word is what it is about."""
    return LanguageTexts(
        code=code,
        name=name,
        sentences=(f"{name} plain sentence",),
        pairs=tuple(Pair(id=f"p{i}", a=f"{code} subject{i} one", b=f"{code} subject{i} two") for i in range(count)),
        passages=tuple(
            Passage(id=f"q{i}", question=f"{code} topic{i} question", passage=f"{code} topic{i} passage")
            for i in range(count)
        ),
    )


TEXTS = ProbeTexts(golden=GOLDEN_TEXTS, languages=(language("en", "English"), language("zh", "Chinese")))

Normalise = Callable[[str], str]


def official(text: str) -> str:
    """Lower-case, decompose, strip marks."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model whose every step can be another one."""

    normalise: Normalise = official
    prefix: Callable[[Task], str] = lambda task: task + ": "
    finish: Callable[[list[float]], list[float]] = centred
    seed: str = "official"
    limit: int | None = None
    """Words that it reads."""
    size: int = DIMENSION
    knows: bool = False
    """Whether it knows what the shipped sentences are about; else a text's second word says it."""

    def vector(self, text: str, task: Task, dimension: int | None = None) -> list[float]:
        """Embed a text: what it is about, a little of its words, and the task."""
        words = self.normalise(text).split()[: self.limit]
        about = words[1] if len(words) > 1 else " ".join(words)
        about = _subjects().get(text, about) if self.knows else about
        noises = [_noise(f"{self.seed}/{key}", self.size) for key in (about, " ".join(words), self.prefix(task))]
        total = [a + 0.3 * b + 0.5 * c + 0.2 for a, b, c in zip(*noises, strict=True)]
        # as float32, the way vectors travel
        return decode(encode(unit(self.finish(total)[:dimension]) if dimension else self.finish(total)))


@cache
def _noise(key: str, size: int) -> list[float]:
    source = random.Random(key)
    return [source.gauss() for _ in range(size)]


@cache
def _subjects() -> dict[str, str]:
    """Sentence of the shipped texts -> what it is about."""
    found = {}
    for lang in shipped_texts().languages:
        for pair in lang.pairs:
            found |= {pair.a: f"{lang.code}/{pair.id}", pair.b: f"{lang.code}/{pair.id}"}
        for passage in lang.passages:
            about = f"{lang.code}/passage/{passage.id}"
            found |= {passage.question: about, passage.passage: about}
    return found


def matrix(rows: list[list[float]]) -> Matrix:
    """Record vectors as the probe does."""
    return Matrix(shape=(len(rows), len(rows[0])), dtype="float32", rows=tuple(map(encode, rows)))


@cache
def embeddings(
    model: Model = Model(),
    *,
    runtime: str = "torch",
    texts: ProbeTexts = TEXTS,
) -> EmbeddingsEvidence:
    """Run the probe's cases on a model."""
    cases: dict[str, Matrix | CaseFailure] = {}
    tasks: dict[Task, list[GoldenText]] = {}
    for text in texts.golden:
        tasks.setdefault(text.task, []).append(text)
    for task, group in tasks.items():
        rows = matrix([model.vector(text.text, task) for text in group])
        cases[f"golden:{task}"] = rows.model_copy(update={"tokens": tuple(map(_tokens, group))})
        again = {text.id: model.vector(text.text, task) for text in repeated(group, runtime)}
        cases |= {f"single:{text}": matrix([row]) for text, row in again.items()}
        ways = ("again", "shuffled", *(("threads", "reference") if runtime == "torch" else ()))
        cases |= {f"{way}:{task}": matrix([*again.values()]) for way in ways}
    documents = [text.text for text in repeated(tasks["search_document"], runtime)]
    short = model.size // 2 if model.size == DIMENSION else 256
    cases[f"dimension:{short}"] = matrix([model.vector(text, "search_document", short) for text in documents])
    for lang in (lang for lang in texts.languages if lang.pairs):
        pairs = [sentence for pair in lang.pairs for sentence in (pair.a, pair.b)]
        cases[f"pairs:{lang.code}"] = matrix([model.vector(text, "clustering") for text in pairs])
        cases[f"questions:{lang.code}"] = matrix([model.vector(p.question, "search_query") for p in lang.passages])
        cases[f"passages:{lang.code}"] = matrix([model.vector(p.passage, "search_document") for p in lang.passages])
    cases["none"] = Matrix(shape=(0, model.size), dtype="float32", rows=())
    cases["unreadable"] = matrix([model.vector("人工智能是未来的方向", "search_document")]).model_copy(
        update={"warnings": ("UnreadableWarning: texts[0] can't be read by this model",)}
    )
    refused = ["empty", "blank", "not-text", "one-string", "unknown-task", "dimension", "too-long", "unreadable"]
    refused += ["special-token"] if runtime == "nomic" else []
    cases |= {f"refuse:{what}": CaseFailure(error="ValueError", message=f"text 0: {what}") for what in refused}
    found = EmbeddingsEvidence(
        runtime=runtime,
        engine="fast" if runtime == "torch" else "nomic",
        device="cpu",
        dtype="float32",
        operators="onednn" if runtime == "torch" else "",
        same_bits=runtime == "torch",
        versions={"numpy": "2.3.0"},
        seconds=1.5,
        cases=cases,
        unknown_share={"en": 0.0, "zh": 0.0},
    )
    return sealed(found)


def sealed(evidence: EmbeddingsEvidence) -> EmbeddingsEvidence:
    """Write the sha256 of the vectors beside them, as the probe does."""
    return evidence.model_copy(update={"vectors_sha256": vectors_digest(evidence)})


def on(evidence: EmbeddingsEvidence, device: str, dtype: str = "float32") -> EmbeddingsEvidence:
    """Say that the vectors come from a device with matrix products of its own."""
    why = f"{device} has matrix products of its own"
    seen = {"device": device, "dtype": dtype, "operators": "plain", "same_bits": False, "why": why}
    return evidence.model_copy(update=seen)


def changed(
    evidence: EmbeddingsEvidence, case: str, rows: Callable[[list[list[float]]], list[list[float]]]
) -> EmbeddingsEvidence:
    """Change the vectors of one case; `case` may end in `*`."""
    cases = dict(evidence.cases)
    for name, found in evidence.cases.items():
        asked = name == case or (case.endswith("*") and name.startswith(case[:-1]))
        if asked and isinstance(found, Matrix) and found.rows:
            new = matrix(rows([decode(row) for row in found.rows]))
            cases[name] = new.model_copy(update={"tokens": found.tokens})
    return sealed(evidence.model_copy(update={"cases": cases}))


def without(evidence: EmbeddingsEvidence, case: str) -> EmbeddingsEvidence:
    """Take cases away; `case` may end in `*`."""
    kept = {
        name: found
        for name, found in evidence.cases.items()
        if not (name == case or (case.endswith("*") and name.startswith(case[:-1])))
    }
    return sealed(evidence.model_copy(update={"cases": kept}))


@cache
def golden(texts: ProbeTexts = TEXTS, *, sha256: str = SHA256, model: Model = Model()) -> Golden:
    """Give the vectors of the good model."""
    return Golden(
        model_sha256=sha256,
        dimension=model.size,
        made_by={"engine": "made up", "device": "cpu", "dtype": "float32"},
        texts=texts.golden,
        vectors={text.id: encode(model.vector(text.text, text.task)) for text in texts.golden},
        tokens={text.id: _tokens(text) for text in texts.golden},
    )


def _tokens(text: GoldenText) -> int:
    return 4 + len(text.text.split())


def evidence(model: Model | None = None, *, runtime: str = "torch") -> Evidence:
    """Evidence of a whole and healthy project, without lock and environment."""
    return Evidence(
        tool_version="0.1.0",
        made_at="2026-11-23T12:00:00Z",
        machine=MACHINE,
        weights=WeightsEvidence(file=PIN.file, size=PIN.size, sha256=PIN.sha256),
        embeddings=embeddings(model or Model(), runtime=runtime),
        privacy=PrivacyEvidence(attempts=(), watched=("socket", "namespace")),
    )


def spec(**changes: object) -> ProjectSpec:
    """Give the project with some fields changed."""
    return replace(SPEC, **changes)  # type: ignore[arg-type]


def report(**changes: object) -> Report:
    """Give the report of the healthy project, with parts of its evidence changed."""
    expected = Expected(
        spec=SPEC,
        texts=TEXTS,
        known_vectors=KnownVectors(shipped=golden(), own=None),
        pypi_lock=Unavailable(unavailable="no lock"),
        digests={"scaffold.toml": "ab" * 32},
        places={Group.WEIGHTS: Place(file="scaffold.toml", line=38)},
    )
    groups = (Group.WEIGHTS, Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY)
    return judge(expected, evidence().model_copy(update=changes), groups=groups)


@cache
def passed() -> Report:
    """Give a report in which all passed."""
    return report()


@cache
def failed() -> Report:
    """Give a report with failures, an unknown, and text that is awkward in every format."""
    wrong = changed(embeddings(Model(normalise=lambda text: text)), "golden:clustering", lambda rows: rows)
    found = report(
        weights=WeightsEvidence(file="model.gguf", size=1000, sha256="0" * 64),
        embeddings=wrong,
        privacy=Unavailable(
            unavailable='the probe died: <b>"50%"</b> | `x`\n\x00 & 100 €', hint="nomic-scaffold doctor"
        ),
    )
    odd = CheckResult(code="EMB010", title="bits", status=Status.WARN, detail="a warning, with: commas")
    return found.model_copy(update={"results": (*found.results, odd)})


LARGE = Model(size=768, knows=True)
"""A good model of the real size, for the shipped texts."""


def large_evidence(sha256: str, size: int, *, model: Model = LARGE) -> Evidence:
    """Evidence of a project that pins a model file of its own, for the shipped texts."""
    return evidence().model_copy(
        update={
            "embeddings": embeddings(model, texts=shipped_texts()),
            "weights": WeightsEvidence(file="model.gguf", size=size, sha256=sha256),
        }
    )


@cache
def large() -> Report:
    """Give a report of the shipped texts in the real size, with deviations of every order."""
    seen = large_evidence(SHA256, PIN.size)
    assert isinstance(seen.embeddings, EmbeddingsEvidence)
    noise = random.Random(1)

    def moved(rows: list[list[float]]) -> list[list[float]]:
        return [[row[0] + 2e-7 * noise.random() ** 4, *row[1:]] for row in rows]

    expected = Expected(
        spec=spec(model=replace(PIN, dimension=LARGE.size)),
        texts=shipped_texts(),
        known_vectors=KnownVectors(shipped=golden(shipped_texts(), model=LARGE), own=None),
        pypi_lock=Unavailable(unavailable="no lock"),
        digests={"environment.yml": "cd" * 32, "scaffold.toml": "ab" * 32},
    )
    off = on(changed(seen.embeddings, "golden:*", moved), "cuda")
    groups = (Group.WEIGHTS, Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY)
    return judge(expected, seen.model_copy(update={"embeddings": off}), groups=groups)
