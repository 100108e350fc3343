"""What the benchmark of embedding says of figures: ratios with their goals, met or not, and what nobody measured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import embedding


def result(**seconds: float | None) -> dict[str, Any]:
    """Make a run's result: seconds on mixed lengths by contender; None is one that failed."""
    labels = {
        "float32": "this project, float32",
        "bfloat16": "this project, bfloat16",
        "default": "sentence-transformers, batch 32 (default)",
        "best": "sentence-transformers, batch 1",
        "onnxruntime": "onnxruntime, sorted, batch 1",
        "llama": "llama-cpp-python, one by one",
    }
    measured = {}
    for name, taken in seconds.items():
        found = embedding.Measured(startup=1.5, peak=900_000_000, off=2e-7)
        if taken is None:
            found.failure = "pip can't install it here"
        else:
            found.seconds = {"mixed": taken, "short": taken / 2}
        measured[labels[name]] = vars(found)
    return {
        "machine": "a processor, 2 cores, Linux",
        "python": "3.11.7",
        "rounds": 3,
        "corpus": "0" * 64,
        "sets": {name: {"texts": 100, "tokens": 6000, "operations": 1.5e12} for name in ("mixed", "short", "long")},
        "limit": {
            "float32": {"torch, oneDNN packed": 400.0, "onnxruntime": 300.0},
            "bfloat16": {"torch F.linear": 900.0},
        },
        "versions": {"ours": "2.13.0"},
        "measured": measured,
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("float32, beside sentence-transformers' default", "6.25 times as fast | 6 | met"),
        ("bfloat16, beside sentence-transformers' default", "10.00 times as fast | 11 | not met"),
        ("float32, beside sentence-transformers at its best", "2.50 times as fast | 3 | not met"),
        ("float32, beside onnxruntime", "1.25 times as fast | 1.25 | met"),
        ("float32, beside llama-cpp-python", "not measured | 1 |"),
        ("float32, of the machine's fastest", "94% | 80% | met"),
        ("bfloat16, of the machine's fastest", "67%"),
    ],
)
def test_a_ratio_stands_beside_its_goal(line: str, words: str) -> None:
    found = result(float32=4.0, bfloat16=2.5, default=25.0, best=10.0, onnxruntime=5.0, llama=None)
    (written,) = [one for one in embedding.ratios(found).splitlines() if one.startswith(f"| {line}")]
    assert words in written


def test_the_report_names_what_was_not_measured_and_leaves_no_cell_to_guess() -> None:
    lines = embedding.report(result(float32=4.0, llama=None)).splitlines()
    assert "| llama-cpp-python, one by one | not measured: pip can't install it here | | | | | | | |" in lines
    (ours,) = [line for line in lines if line.startswith("| this project, float32 |")]
    assert ours == "| this project, float32 | 1,500 | 3,000 |  | 25.0 | 375 | 1.5 | 900 | 2.0e-07 |"
    assert "Fastest float32 product of each library, GF/s: torch, oneDNN packed 400, onnxruntime 300." in lines


def test_the_share_counts_operations_of_products_and_of_attention() -> None:
    assert embedding.operations([1]) == 226_492_416 + 36_864
    assert embedding.operations([2, 3]) == 5 * 226_492_416 + 13 * 36_864


def test_the_largest_difference_is_of_one_component() -> None:
    assert embedding.furthest([[0.0, 1.0], [2.0, 0.0]], [[0.0, 1.5], [2.0, 0.25]]) == 0.5
