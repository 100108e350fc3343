"""The official tokenizer (bert-base-uncased WordPiece), built from the vocabulary of the pinned model file.

Built with the `tokenizers` library on purpose: transformers 5 ignores `vocab_file`, and
`BertTokenizerFast(vocab_file="vocab.txt")` returns, without a word, a tokenizer that turns every text into `[UNK]`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
"""Of the official vocab.txt: huggingface.co/nomic-ai/nomic-embed-text-v1.5, revision e9b6763023c6."""
SPECIAL_TOKENS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
UNKNOWN, CLS, SEP = SPECIAL_TOKENS["[UNK]"], SPECIAL_TOKENS["[CLS]"], SPECIAL_TOKENS["[SEP]"]
LONGEST_WORD = 100
"""Characters of a word; a longer one is one [UNK]."""


class VocabularyError(ValueError):
    """The vocabulary is not the official one."""


@dataclass(frozen=True)
class Encoded:
    """One text as the model sees it."""

    text: str
    """As it was given, without the task prefix."""
    task: str
    ids: tuple[int, ...]
    """[CLS], the task prefix, the text, [SEP]."""
    start: int
    """Where the text's own ids begin."""
    unknown_share: float
    """Share of the text's own tokens (no prefix, [CLS], [SEP]) that are [UNK]; 0 where it has none."""


def build_tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    """Build the official tokenizer; raises VocabularyError unless the vocabulary is the official one, byte for byte."""
    digest = hashlib.sha256("".join(f"{token}\n" for token in vocabulary).encode()).hexdigest()
    if digest != VOCABULARY_SHA256:
        raise VocabularyError(
            f"the vocabulary ({len(vocabulary)} tokens, sha256 {digest}) is not the official one ({VOCABULARY_SHA256})"
        )
    words = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)  # cleans, strips accents, lower-cases
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.decoder = decoders.WordPiece()
    # Written out in a text these become the special tokens themselves, as in the official tokenizer.json.
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], task: str) -> list[Encoded]:
    """Turn texts into token ids, each with its task prefix (`search_query: ` and so on)."""
    start = len(tokenizer.encode(f"{task}: ", add_special_tokens=False).ids) + 1
    encodings = tokenizer.encode_batch_fast([f"{task}: {text}" for text in texts])
    encoded = []
    for text, encoding in zip(texts, encodings, strict=True):
        own = encoding.ids[start:-1]
        share = own.count(UNKNOWN) / len(own) if own else 0.0
        encoded.append(Encoded(text, task, tuple(encoding.ids), start, share))
    return encoded
