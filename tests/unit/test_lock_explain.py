"""What rattler says of a failed solve, shortened; the texts are rattler 0.28's own."""

from __future__ import annotations

import pytest

from nomic_scaffold.adapters.conda import explain
from nomic_scaffold.models.lock import Requirement

PREFIX = "Cannot solve the request because of: "
NO_VIABLE = """\
tokenizers <0.20 cannot be installed because there are no viable options:
├─ tokenizers 0.19.1 would require
│  └─ python >=3.10,<3.11.0a0, for which no candidates were found.
└─ tokenizers 0.15.0 | 0.15.2 | 0.19.1 would require
   └─ python >=3.11,<3.12.0a0, for which no candidates were found.
"""
CUTOFF = """\
The following packages are incompatible
└─ transformers >=5.5 cannot be installed because there are no viable options:
   └─ transformers 5.9.0 | 5.10.1 | ... | 5.15.0 is excluded because the package is uploaded after the cutoff date of 2026-05-01 23:59:59
"""  # noqa: E501
CONFLICT = """\
The following packages are incompatible
├─ python 3.12.* can be installed with any of the following options:
│  └─ python 3.12.12 | 3.12.13
└─ tokenizers >=0.22 cannot be installed because there are no viable options:
   └─ tokenizers 0.22.1 would require
      └─ python >=3.13,<3.14.0a0, which conflicts with the versions reported above.
"""


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        pytest.param(
            "No candidates were found for numpy <1.2.\n", "No candidates were found for numpy <1.2", id="no candidates"
        ),
        pytest.param(
            NO_VIABLE,
            "tokenizers <0.20 cannot be installed because there are no viable options; "
            "python >=3.10,<3.11.0a0, for which no candidates were found",
            id="no viable options",
        ),
        pytest.param(
            CUTOFF,
            "transformers >=5.5 cannot be installed because there are no viable options; transformers 5.9.0 | 5.10.1 | "
            "... | 5.15.0 is excluded because the package is uploaded after the cutoff date of 2026-05-01 23:59:59",
            id="cutoff",
        ),
        pytest.param(
            CONFLICT,
            "tokenizers >=0.22 cannot be installed because there are no viable options; "
            "python >=3.13,<3.14.0a0, which conflicts with the versions reported above",
            id="conflict",
        ),
        pytest.param("", "there is no solution", id="nothing said"),
        pytest.param("something new", "something new", id="words that nobody knows yet"),
    ],
)
def test_the_sentence_that_matters(told: str, sentence: str) -> None:
    assert explain.sentence(PREFIX + told) == sentence


def test_requirements_at_the_top_are_named() -> None:
    texts = ["python 3.12.*", "tokenizers >=0.22", "token", "numpy"]
    requirements = [Requirement(text=text, manager="conda", file="environment.yml", line=1) for text in texts]
    assert [item.text for item in explain.named(PREFIX + CONFLICT, requirements)] == texts[:2]
