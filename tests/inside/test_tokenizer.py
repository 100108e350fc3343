"""The tokenizer that is built from the model file is the official one."""

import hashlib
import json

import pytest
from my_project import embedding, tokenizer

TOKENIZER_JSON = "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66"
"""sha256 of the official tokenizer.json, 711,396 bytes."""


@pytest.fixture(scope="module")
def built() -> tokenizer.Tokenizer:
    return embedding._tokenizer()


def test_it_is_the_official_tokenizer_json_byte_for_byte(built: tokenizer.Tokenizer):
    text = json.dumps(json.loads(built.to_str()), indent=2, ensure_ascii=False).encode()
    assert (len(text), hashlib.sha256(text).hexdigest()) == (711396, TOKENIZER_JSON)


def test_the_vocabulary_of_the_model_file_is_the_official_one():
    vocabulary = embedding._weights().vocabulary
    assert vocabulary is not None
    text = "".join(f"{token}\n" for token in vocabulary).encode()
    assert (len(text), hashlib.sha256(text).hexdigest()) == (231508, tokenizer.VOCABULARY_SHA256)


@pytest.mark.parametrize("wrong", [[], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]], ids=["empty", "five tokens"])
def test_another_vocabulary_is_refused(wrong: list[str]):
    with pytest.raises(tokenizer.VocabularyError, match="not the official one"):
        tokenizer.build_tokenizer(wrong)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Crème BRÛLÉE", ["cr", "##eme", "br", "##ule", "##e"]),
        ("Cre\u0300me BRU\u0302LE\u0301E", ["cr", "##eme", "br", "##ule", "##e"]),
        ("水水", ["水", "水"]),
        ("龘", ["[UNK]"]),
        ("x" * 100, ["xx", *["##xx"] * 49]),
        ("x" * 101, ["[UNK]"]),
        ("a [SEP] b", ["a", "[SEP]", "b"]),
        ("[sep] [ SEP ]", ["[", "sep", "]", "[", "sep", "]"]),
        ("a\u0000b\u200bc", ["abc"]),
        ("\u00a0 \t", []),
    ],
)
def test_texts_become_the_official_tokens(built: tokenizer.Tokenizer, text: str, tokens: list[str]):
    (encoded,) = tokenizer.encode(built, [text], "search_query")
    words = [built.id_to_token(number) for number in encoded.ids]
    assert words == ["[CLS]", "search", "_", "query", ":", *tokens, "[SEP]"]
    assert words[encoded.start : -1] == tokens


@pytest.mark.parametrize(("text", "share"), [("water boils", 0.0), ("龘", 1.0), ("water 龘", 0.5), ("", 0.0)])
def test_the_share_of_unknown_tokens_leaves_out_the_prefix(built: tokenizer.Tokenizer, text: str, share: float):
    assert tokenizer.encode(built, [text], "clustering")[0].unknown_share == share
