"""The probe's cases, each decoded once; what is missing says why."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from nomic_scaffold.checks import vectors
from nomic_scaffold.checks.bars import Bars
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.models.evidence import CaseFailure, EmbeddingsEvidence, Matrix
from nomic_scaffold.models.probe import GoldenText, ProbeTexts, Task, repeated
from nomic_scaffold.models.report import CheckResult, Status
from nomic_scaffold.models.spec import ProjectSpec


class NotSeenError(Exception):
    """A case can't be judged: it wasn't run, or its vectors are not whole."""


class RaisedError(Exception):
    """A case raised where it must give vectors."""


class Cases:
    """Vectors by case id; rows must have `dimension` components, or n in a case named `dimension:n`."""

    def __init__(self, evidence: EmbeddingsEvidence, dimension: int) -> None:
        self._cases = evidence.cases
        self._dimension = dimension
        self._decoded: dict[str, tuple[list[float], ...]] = {}
        self._finite: set[str] = set()

    def named(self, prefix: str) -> tuple[str, ...]:
        """Ids of the cases that start with `prefix`, in the order of the evidence."""
        return tuple(case for case in self._cases if case.startswith(prefix))

    def matrix(self, case: str) -> Matrix:
        """Give a case as it was recorded.

        Raises NotSeenError when it wasn't run, RaisedError when embed() raised.
        """
        found = self._cases.get(case)
        match found:
            case None:
                raise NotSeenError(f"the probe did not run {case}")
            case CaseFailure():
                raise RaisedError(f"embed() raised {found.error} in {case}: {found.message}")
            case Matrix():
                return found

    def failure(self, case: str) -> CaseFailure | None:
        """Give how a case raised, or None when it gave vectors.

        Raises NotSeenError when it wasn't run.
        """
        found = self._cases.get(case)
        if found is None:
            raise NotSeenError(f"the probe did not run {case}")
        return found if isinstance(found, CaseFailure) else None

    def rows(self, case: str, count: int | None = None) -> tuple[list[float], ...]:
        """Give the finite vectors of a case; `count` is how many there must be.

        Raises NotSeenError or RaisedError when there are none to judge.
        """
        decoded = self.decoded(case, count)
        if case not in self._finite:
            if not all(map(vectors.finite, decoded)):
                raise NotSeenError(f"{case} has values that are not finite")
            self._finite.add(case)
        return decoded

    def recorded(self, case: str) -> tuple[list[float], ...]:
        """Give the vectors of a case, of whatever form they are."""
        matrix = self.matrix(case)
        if case not in self._decoded:
            try:
                self._decoded[case] = tuple(vectors.decode(row) for row in matrix.rows)
            except ValueError as error:
                raise NotSeenError(f"{case} is not readable: {error}") from error
        return self._decoded[case]

    def decoded(self, case: str, count: int | None = None) -> tuple[list[float], ...]:
        """Give the vectors of a case like `rows`, finite or not."""
        decoded = self.recorded(case)
        if count is not None and len(decoded) != count:
            raise NotSeenError(f"{case} has {len(decoded)} rows for {count} texts")
        width = self.width(case)
        wrong = next((len(row) for row in decoded if len(row) != width), None)
        if wrong is not None:
            raise NotSeenError(f"{case} has rows of {wrong} components, not {width}")
        return decoded

    def width(self, case: str) -> int:
        """Number of components that the rows of a case must have."""
        return int(case.removeprefix("dimension:")) if case.startswith("dimension:") else self._dimension

    def encoded(self, case: str, count: int) -> tuple[str, ...]:
        """Give the rows of a case as recorded, for comparing bits.

        Raises NotSeenError or RaisedError when there are none to judge.
        """
        self.rows(case, count)
        return self.matrix(case).rows


def vectors_digest(seen: EmbeddingsEvidence, *, prefix: str = "") -> str | None:
    """Hash the bytes of all vectors in the order of their cases' ids; None when there are none.

    With `prefix` "golden:" equal digests mean equal bits for the golden texts. Raises ValueError for what is no base64.
    """
    digest, count = hashlib.sha256(), 0
    for case, matrix in sorted(seen.cases.items()):
        if case.startswith(prefix) and isinstance(matrix, Matrix):
            for row in matrix.rows:
                digest.update(base64.b64decode(row, validate=True))
                count += 1
    return digest.hexdigest() if count else None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the checks of vectors look at."""

    spec: ProjectSpec
    texts: ProbeTexts
    evidence: EmbeddingsEvidence
    cases: Cases
    bars: Bars

    @property
    def by_task(self) -> dict[Task, tuple[GoldenText, ...]]:
        """Golden texts by task, in file order."""
        tasks: dict[Task, list[GoldenText]] = {}
        for text in self.texts.golden:
            tasks.setdefault(text.task, []).append(text)
        return {task: tuple(texts) for task, texts in tasks.items()}

    @property
    def repeated(self) -> dict[Task, tuple[GoldenText, ...]]:
        """Golden texts by task that are embedded more than once, in file order."""
        return {task: repeated(texts, self.evidence.runtime) for task, texts in self.by_task.items()}

    def golden_rows(self) -> dict[str, list[float]]:
        """Text id -> the finite vector that embed() gave for it in a batch.

        Raises NotSeenError or RaisedError when one is missing.
        """
        for task, texts in self.by_task.items():
            self.cases.rows(f"golden:{task}", len(texts))
        return self.golden_decoded()

    def golden_decoded(self) -> dict[str, list[float]]:
        """Give the vectors like `golden_rows`, finite or not."""
        return {
            text.id: row
            for task, texts in self.by_task.items()
            for text, row in zip(texts, self.cases.decoded(f"golden:{task}", len(texts)), strict=True)
        }

    def golden_tokens(self) -> dict[str, int]:
        """Text id -> number of its tokens, where the project's code counted them."""
        return {
            text.id: count
            for task, texts in self.by_task.items()
            for text, count in zip(texts, self.cases.matrix(f"golden:{task}").tokens, strict=False)
        }

    def golden_encoded(self) -> dict[str, str]:
        """Text id -> its vector's bits in base64, like `golden_rows`."""
        return {
            text.id: row
            for task, texts in self.by_task.items()
            for text, row in zip(texts, self.cases.encoded(f"golden:{task}", len(texts)), strict=True)
        }


Check = Callable[[Subject], CheckResult]


def judge(code: Code, check: Check, subject: Subject) -> CheckResult:
    """Run one check; what it can't see is unknown, what raised is a failure."""
    try:
        return check(subject)
    except NotSeenError as error:
        return code.result(Status.UNKNOWN, str(error))
    except RaisedError as error:
        return code.result(Status.FAIL, str(error))
