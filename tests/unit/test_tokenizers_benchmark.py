"""What the benchmark of tokenizers says of figures: a line for each kind that somebody reads otherwise."""

from __future__ import annotations

import itertools

from benchmarks import tokenizers
from tests.support.strings import RANGES, strings


def test_kinds_that_somebody_reads_otherwise_have_a_line_and_the_others_are_named() -> None:
    groups = {"English": ["a", "b"], "Korean": ["c", "d", "e"]}
    off: dict[str, list[float | None]] = {"gpt4all": [None, None, 0.15, None, 0.2], "llama": [None] * 5}
    lines = tokenizers.table(groups, off, {"ollama": "it is not on this machine"}).splitlines()
    assert lines[2] == "| Korean | 3 | 2 otherwise, 1 - cos up to 0.2 | the same |"
    assert "Read by all as officially (2 texts): English." in lines
    assert lines[-1] == "Not measured: ollama (it is not on this machine)."
    assert not any(line.startswith("| English") for line in lines)


def test_the_ranges_hold_all_of_unicode_without_controls_and_surrogates_and_strings_stay_in_theirs() -> None:
    spans = sorted(RANGES.values())
    assert (spans[0][0], spans[-1][1]) == (0x20, 0x110000)
    gaps = [(a[1], b[0]) for a, b in itertools.pairwise(spans) if a[1] != b[0]]
    assert gaps == [(0xD800, 0xE000)]
    for low, high in spans:
        drawn = strings([(low, high)], 20, longest=40)
        assert drawn == strings([(low, high)], 20, longest=40)
        assert all(c == " " or low <= ord(c) < high for text in drawn for c in text)
    assert 30 < max(len(text) for text in strings(spans, 200, longest=40)) <= 40


def test_every_kind_has_texts() -> None:
    kinds = tokenizers.kinds()
    assert all(kinds.values())
    assert {"English", "Korean", "the golden texts"} <= kinds.keys()
