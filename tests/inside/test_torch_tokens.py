"""Token ids over a large corpus: ours, from the GGUF, and the `tokenizers` library's own on the official vocab.txt."""

import hashlib
import random
import sys
import unicodedata
from pathlib import Path

import pytest
from my_project import embedding
from my_project.tokenizer import SPECIAL_TOKENS, encode
from tokenizers import BertWordPieceTokenizer

OFFICIAL_VOCABULARY = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> BertWordPieceTokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    content = "".join(f"{token}\n" for token in embedding._weights().vocabulary or []).encode()
    assert hashlib.sha256(content).hexdigest() == OFFICIAL_VOCABULARY
    path.write_bytes(content)
    return BertWordPieceTokenizer(str(path), lowercase=True)


def standard_library() -> list[str]:
    """Paragraphs of the running Python's own source: prose, code, and tables of many scripts."""
    texts = []
    for path in sorted(Path(random.__file__).parent.rglob("*.py"))[:1500]:
        texts += path.read_text(encoding="utf-8", errors="ignore").split("\n\n")
    return texts


def all_of_unicode() -> list[str]:
    """Every assigned character between letters, sixteen to a text."""
    characters = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
    known = [c for c in characters if unicodedata.category(c) not in ("Cn", "Co")]
    return ["a".join(known[n : n + 16]) for n in range(0, len(known), 16)]


def random_strings(count: int) -> list[str]:
    draw = random.Random(5)
    alphabets = [range(32, 127), range(0x80, 0x250), range(0x300, 0x370), range(0x20, 0x3000), range(0x20, 0xD800)]
    return ["".join(chr(draw.choice(draw.choice(alphabets))) for _ in range(draw.randint(1, 60))) for _ in range(count)]


@pytest.mark.parametrize(
    ("texts", "least"),
    [(standard_library, 30_000), (all_of_unicode, 9_000), (lambda: random_strings(20_000), 20_000)],
    ids=["standard library", "all of Unicode", "random strings"],
)
def test_the_ids_are_the_official_ones(official: BertWordPieceTokenizer, texts, least: int):
    # The class knows special tokens as plain vocabulary; the official tokenizer.json makes them tokens of their own.
    corpus = [text for text in texts() if not any(token in text for token in SPECIAL_TOKENS)]
    assert len(corpus) >= least
    ours = encode(embedding._tokenizer(), corpus, "search_document")
    theirs = official.encode_batch([f"search_document: {text}" for text in corpus])
    wrong = [t for t, a, b in zip(corpus, ours, theirs, strict=True) if list(a.ids) != b.ids]
    assert wrong == []
