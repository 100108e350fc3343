"""The texts and vectors that ship with the tool hold what the checks and the documentation say they hold."""

from __future__ import annotations

import hashlib
import math
import unicodedata

import pytest

from nomic_scaffold.adapters.golden import shipped_golden, shipped_texts
from nomic_scaffold.adapters.probe import cases
from nomic_scaffold.checks.vectors import decode
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.models.probe import TASKS, Golden, ProbeTexts, repeated

PAIRED = ("en", "zh", "es", "hi", "ar", "pt", "ru", "ja", "fr", "de")
SAME = [
    ("upper-case", "lower-case"),
    ("upper-case", "english"),
    ("accents-composed", "accents-decomposed"),
    ("question", "question-upper"),
]


@pytest.fixture(scope="module")
def texts() -> ProbeTexts:
    return shipped_texts()


@pytest.fixture(scope="module")
def golden() -> Golden:
    (found,) = shipped_golden()
    return found


def test_golden_vectors_belong_to_the_texts_and_to_the_official_file(texts: ProbeTexts, golden: Golden) -> None:
    assert golden.texts == texts.golden
    assert golden.model_sha256 == "f7af6f66802f4df86eda10fe9bbcfc75c39562bed48ef6ace719a251cf1c2fdb"
    assert golden.vectors.keys() == golden.tokens.keys() == {text.id for text in texts.golden}
    assert len(golden.vectors) == len(texts.golden) >= 40
    assert golden.made_by["engine"].startswith("transformers")


def test_golden_vectors_are_of_unit_length_and_different(golden: Golden) -> None:
    rows = {name: decode(row) for name, row in golden.vectors.items()}
    assert {len(row) for row in rows.values()} == {768}
    for name, row in rows.items():
        assert abs(math.hypot(*row) - 1) < 1e-6, name
        assert abs(sum(row)) < 1e-5, name  # centred by LayerNorm
    same = {frozenset(pair) for pair in SAME} | {frozenset(("english", "lower-case"))}
    names = list(rows)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert (rows[a] == rows[b]) == (frozenset((a, b)) in same), (a, b)


@pytest.mark.parametrize(("a", "b"), SAME)
def test_texts_that_the_tokenizer_takes_for_the_same_have_the_same_vector(golden: Golden, a: str, b: str) -> None:
    by_id = {text.id: text.text for text in golden.texts}
    assert by_id[a] != by_id[b]
    assert golden.vectors[a] == golden.vectors[b]


def test_the_kinds_of_text_that_go_wrong_elsewhere_are_there(texts: ProbeTexts, golden: Golden) -> None:
    by_id = {text.id: text.text for text in texts.golden}
    assert {text.task for text in texts.golden if text.text == "What is Deep Learning?"} == set(TASKS)
    assert unicodedata.is_normalized("NFD", by_id["accents-decomposed"])
    assert not unicodedata.is_normalized("NFC", by_id["accents-decomposed"])
    assert len(by_id["one-character"]) == 1
    assert len(by_id["word-of-100"]) == 100
    assert (len(by_id["words-600"].split()), len(by_id["words-1900"].split())) == (600, 1900)
    assert 1900 < golden.tokens["words-1900"] <= 2048
    for code, script in {
        "korean": "HANGUL",
        "hindi": "DEVANAGARI",
        "full-width": "FULLWIDTH",
        "chinese": "CJK UNIFIED",
    }.items():
        assert any(unicodedata.name(c, "").startswith(script) for c in by_id[code])
    assert any(unicodedata.category(c) == "Cc" for c in by_id["control-characters"])


def test_languages_have_the_same_pairs_and_questions(texts: ProbeTexts) -> None:
    by_code = {language.code: language for language in texts.languages}
    assert len(by_code) == len(texts.languages) >= 25
    english = by_code["en"]
    for code, language in by_code.items():
        assert len(language.sentences) >= 4
        if code in PAIRED:
            assert [pair.id for pair in language.pairs] == [pair.id for pair in english.pairs]
            assert [passage.id for passage in language.passages] == [passage.id for passage in english.passages]
            assert len(language.pairs) == len(language.passages) == 12
            sentences = [side for pair in language.pairs for side in (pair.a, pair.b)]
            assert len(set(sentences)) == 24
        else:
            assert not language.pairs


def test_characters_that_nobody_sees_are_written_as_escapes() -> None:
    """An editor that drops or normalises them would change a text without a word."""
    for name in ("probe/texts.json", "golden/nomic-embed-text-v1.5.json"):
        text = shipped(*name.split("/")).read_text(encoding="utf-8")
        bad = {
            c for c in text if unicodedata.category(c) in {"Cf", "Co", "Cn", "Zl", "Zp"} or "\u0300" <= c <= "\u036f"
        }
        assert bad == set()


def test_shipped_texts_change_only_on_purpose() -> None:
    """Projects hold golden vectors of these texts; a changed text needs new vectors and a line in changes/."""
    digest = hashlib.sha256("\0".join(f"{t.id}\1{t.task}\1{t.text}" for t in shipped_texts().golden).encode())
    assert digest.hexdigest()[:16] == "cde6f564a2765d45"


@pytest.mark.parametrize("runtime", ["torch", "nomic"])
def test_long_texts_are_embedded_once_and_the_others_in_every_way(texts: ProbeTexts, runtime: str) -> None:
    asked = {c["id"]: c for c in cases(texts.golden, texts.languages[:1]) if runtime in c["runtimes"]}
    again = [text for task in TASKS for text in repeated([t for t in texts.golden if t.task == task], runtime)]
    for task in TASKS:
        whole = [text.text for text in texts.golden if text.task == task]
        some = [text.text for text in again if text.task == task]
        assert some
        assert asked[f"golden:{task}"]["texts"] == whole
        assert runtime == "nomic" or asked[f"reference:{task}"]["texts"] == asked[f"threads:{task}"]["texts"] == some
        assert asked[f"again:{task}"]["texts"] == asked[f"shuffled:{task}"]["texts"] == some
        assert asked[f"shuffled:{task}"]["options"] == {"backwards": True}
    assert asked["dimension:256"]["texts"] == [text.text for text in again if text.task == "search_document"]
    assert {name for name in asked if name.startswith("single:")} == {f"single:{text.id}" for text in again}
    assert {name for name in asked if name.startswith("pairs:")} == {"pairs:en"}


def test_torch_repeats_all_but_the_long_texts_and_nomic_some_of_every_kind(texts: ProbeTexts) -> None:
    def ids(runtime: str) -> set[str]:
        return {text.id for task in TASKS for text in repeated([t for t in texts.golden if t.task == task], runtime)}

    assert {text.id for text in texts.golden} - ids("torch") == {"words-600", "words-1900"}
    assert ids("nomic") <= ids("torch")
    assert 10 <= len(ids("nomic")) <= 15
    assert {f"prefix-{task.replace('_', '-')}" for task in TASKS} <= ids("nomic")
    assert {"accents-decomposed", "chinese", "hindi"} <= ids("nomic")
