"""Measure which languages the pinned model reads: `nox -s bench -- languages` writes the table of the page below.

Needs the official model file and an environment with torch; both are made once, in the tests' cache.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nomic_scaffold.adapters.golden import shipped_texts  # noqa: E402
from nomic_scaffold.adapters.probe import run_probe  # noqa: E402
from nomic_scaffold.checks.cases import Cases, NotSeenError  # noqa: E402
from nomic_scaffold.checks.similarity import margin_of, missed_of  # noqa: E402
from nomic_scaffold.models.evidence import EmbeddingsEvidence, Unavailable  # noqa: E402
from tests.support.environments import TORCH, environment  # noqa: E402
from tests.support.projects import make_generated_project, prefix_of, spec_of  # noqa: E402
from tests.support.weights import official_file  # noqa: E402

PAGE = ROOT / "docs" / "explanation" / "what-the-model-reads.md"
START, END = "<!-- table: benchmarks/languages.py -->\n", "<!-- end -->\n"


def main() -> None:
    """Embed the texts of every language, and write what came out into the page."""
    texts = shipped_texts()
    python = environment("torch", TORCH)
    with tempfile.TemporaryDirectory() as folder:
        root = make_generated_project(Path(folder) / "my-project", official_file())
        codes = [language.code for language in texts.languages]
        few = texts.model_copy(update={"golden": ()})
        evidence, _ = run_probe(
            prefix_of(python), root=root, spec=spec_of(root), texts=few, languages=codes, timeout=3600
        )
    if isinstance(evidence, Unavailable):
        sys.exit(evidence.unavailable)
    table = rows(evidence)
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(START)[0], page.partition(END)[2]
    PAGE.write_text(before + START + table + END + after, encoding="utf-8")
    print(table)


def rows(evidence: EmbeddingsEvidence) -> str:
    """Give one line for each language, most readable first."""
    assert isinstance(evidence.unknown_share, dict)
    cases = Cases(evidence, 768)
    lines = []
    for language in shipped_texts().languages:
        share = evidence.unknown_share[language.code]
        try:
            margin = margin_of(language, cases)
            right = len(language.passages) - len(missed_of(language, cases))
            cells = (
                f"{margin.lowest_related:.3f}",
                f"{margin.highest_unrelated:.3f}",
                f"{margin.value:+.3f}",
                f"{right} of {len(language.passages)}",
            )
            order = (-margin.value, share)
        except NotSeenError:
            cells, order = ("", "", "", ""), (9.0, share)
        lines.append((order, f"| {language.name} | {share:.2f} | {' | '.join(cells)} |\n"))
    head = "| | share of `[UNK]` | lowest related | highest unrelated | margin | questions answered |\n"
    return head + "|---|---|---|---|---|---|\n" + "".join(line for _, line in sorted(lines))


if __name__ == "__main__":
    main()
