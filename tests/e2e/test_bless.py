"""`bless`: what it takes for vectors to become golden, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

from nomic_scaffold.adapters import golden, project
from nomic_scaffold.adapters.golden import shipped_texts
from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.evidence import EmbeddingsEvidence
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.spec import Tolerance
from nomic_scaffold.workflows.bless import Blessing, judge_blessing, prepare, record
from tests.support import synthetic
from tests.support.weights import make_project

CONTENT = b"a model file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def good() -> EmbeddingsEvidence:
    return synthetic.embeddings(synthetic.LARGE, texts=shipped_texts())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", CONTENT)


def bless(root: Path, evidence: EmbeddingsEvidence) -> Blessing:
    spec = project.read_spec(root)
    return judge_blessing(root, spec, evidence, texts=shipped_texts(), facts=synthetic.MACHINE)


def test_good_vectors_become_golden_with_what_made_them(root: Path, good: EmbeddingsEvidence) -> None:
    blessing = bless(root, good)
    assert blessing.against_own is None
    record(root, blessing)
    kept = golden.read_own(root, "locks/golden.json")
    assert kept is not None
    assert kept == blessing.golden
    assert kept.model_sha256 == SHA256
    assert kept.vectors["english"] == synthetic.encode(synthetic.LARGE.vector(kept.texts[4].text, "search_document"))
    for name in ("tool", "made_at", "runtime", "engine", "device", "dtype", "operators", "numpy", "platform"):
        assert kept.made_by[name]
    assert kept.made_by["processor"] == "A Processor"
    assert kept.made_by["cores"] == "2"
    assert kept.made_by["instruction_sets"] == "avx2 avx512f"
    assert kept.tokens.keys() == kept.vectors.keys()
    assert kept.tokens["english"] > 4
    assert kept.tolerance is None


def test_the_new_ones_are_held_against_the_old(root: Path, good: EmbeddingsEvidence) -> None:
    record(root, bless(root, good))
    assert bless(root, good).against_own == "bit-identical"
    moved = synthetic.changed(good, "*", lambda rows: [[row[0] + 2e-7, *row[1:]] for row in rows])
    told = bless(root, moved).against_own
    assert told is not None
    assert told.startswith("largest difference of one component 2.")


def test_another_type_has_a_file_of_its_own(root: Path, good: EmbeddingsEvidence) -> None:
    assert bless(root, good.model_copy(update={"dtype": "bfloat16"})).path == "locks/golden.cpu-bfloat16.json"


def nudged(evidence: EmbeddingsEvidence, by: float, case: str = "*") -> EmbeddingsEvidence:
    return synthetic.changed(evidence, case, lambda rows: [[row[0] + by, *row[1:]] for row in rows])


def test_a_device_gets_bars_from_its_deviation_from_what_is_known(root: Path, good: EmbeddingsEvidence) -> None:
    far = synthetic.on(nudged(good, 4e-6), "cuda:1")
    with pytest.raises(UnavailableError, match="no vectors of this model file are known to measure cuda:1 by") as info:
        bless(root, far)
    assert info.value.hint == "nomic-scaffold bless --device cpu"
    record(root, bless(root, good))
    blessing = bless(root, far)
    assert blessing.path == "locks/golden.cuda-float32.json"
    bars = blessing.golden.tolerance
    assert bars is not None
    assert bars.component == pytest.approx(1.2e-5, rel=0.05)
    record(root, blessing)
    assert golden.read_own(root, blessing.path) == blessing.golden


def test_a_device_is_never_held_to_less_than_a_cpu(root: Path, good: EmbeddingsEvidence) -> None:
    record(root, bless(root, good))
    same = bless(root, synthetic.on(good, "mps")).golden.tolerance
    assert same == Tolerance(component=1e-6, cosine_distance=1e-9)


@pytest.mark.parametrize(
    ("by", "case"), [(4e-3, "golden:*"), (4e-6, "single:*")], ids=["no rounding", "not even like itself"]
)
def test_a_device_that_computes_wrongly_is_refused(by: float, case: str, root: Path, good: EmbeddingsEvidence) -> None:
    record(root, bless(root, good))
    wrong = synthetic.changed(good, case, lambda rows: [synthetic.unit([row[0] + by, *row[1:]]) for row in rows])
    with pytest.raises(InputError, match=r"not fit to be golden: EMB0(06|07)"):
        bless(root, synthetic.on(wrong, "mps"))


def test_vectors_that_fail_a_check_are_refused(root: Path, good: EmbeddingsEvidence) -> None:
    unrelated = synthetic.changed(good, "pairs:en", lambda rows: rows[1:] + rows[:1])
    with pytest.raises(InputError, match="not fit to be golden: EMB016"):
        bless(root, unrelated)


def test_vectors_that_were_not_seen_whole_are_refused(root: Path, good: EmbeddingsEvidence) -> None:
    with pytest.raises(UnavailableError, match="not fit to be golden: EMB006"):
        bless(root, synthetic.without(good, "again:*"))
    nan = synthetic.changed(good, "golden:clustering", lambda rows: [[math.nan] * len(row) for row in rows])
    with pytest.raises(UnavailableError, match="no vectors to bless"):
        bless(root, nan)


@pytest.mark.parametrize(
    ("content", "error"), [(None, UnavailableError), (b"another file", HashMismatchError)], ids=["missing", "changed"]
)
def test_another_model_file_than_the_pinned_one_is_refused(
    content: bytes | None, error: type[Exception], root: Path
) -> None:
    witness = project.environment_path(root, "pypi") / ".nomic-scaffold.json"
    witness.parent.mkdir(parents=True)
    witness.write_text(json.dumps({"provider": "pypi", "accelerator": "cpu"}))
    if content is not None:
        place = project.weights_path(root, project.read_spec(root))
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
    with pytest.raises(error):
        prepare(root, prefix=None, timeout=10, progress=Silent())
    assert not (root / "locks").exists()
