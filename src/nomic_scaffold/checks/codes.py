"""Every check code, declared once; codes are permanent. docs/reference/checks.md is made from this list."""

from __future__ import annotations

from dataclasses import dataclass

from nomic_scaffold.models.report import CheckResult, Place, Status


@dataclass(frozen=True, kw_only=True)
class Code:
    """One thing that `verify` can say."""

    code: str
    title: str
    explanation: str
    """What it means when this fails, and what to do; one paragraph for docs/reference/checks.md."""

    def result(self, status: Status, detail: str = "", *, hint: str = "", place: Place | None = None) -> CheckResult:
        """Make a result of this code."""
        return CheckResult(code=self.code, title=self.title, status=status, detail=detail, hint=hint, place=place)


CODES: dict[str, Code] = {}
"""Code -> its declaration, in the order of declaration."""


def declare(code: str, title: str, explanation: str) -> Code:
    """Declare a code; a second declaration of the same code is a bug."""
    assert code not in CODES, f"{code} is declared twice"
    CODES[code] = Code(code=code, title=title, explanation=explanation)
    return CODES[code]


# Declarations, one block per area.
