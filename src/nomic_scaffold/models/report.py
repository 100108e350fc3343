"""What was judged: results with permanent codes, and the figures that a reader wants to see."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import Field

from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.evidence import MachineFacts


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


def worst(statuses: Iterable[Status]) -> Status:
    """Give the status that decides: a failure, else what could not be seen, else a warning, else a pass."""
    seen = set(statuses)
    return next((s for s in (Status.FAIL, Status.UNKNOWN, Status.WARN) if s in seen), Status.PASS)


class Group(StrEnum):
    """What can be asked of `verify` on its own, with `--only` and `--skip`."""

    LOCK = "lock"
    ENVIRONMENT = "environment"
    WEIGHTS = "weights"
    EMBEDDINGS = "embeddings"
    LANGUAGES = "languages"
    PRIVACY = "privacy"
    IMAGE = "image"


PREFIXES: dict[str, Group] = {
    "LCK": Group.LOCK,
    "ENV": Group.ENVIRONMENT,
    "WGT": Group.WEIGHTS,
    "EMB": Group.EMBEDDINGS,
    "LNG": Group.LANGUAGES,
    "PRV": Group.PRIVACY,
    "IMG": Group.IMAGE,
}
"""First three letters of a code -> the group that it belongs to."""


class Place(Boundary):
    """The line of a project's file that a result is about."""

    file: str
    line: int | None = None


class CheckResult(Boundary):
    """One check, judged."""

    code: str
    """Permanent, e.g. `EMB003`; documented in docs/reference/checks.md."""
    title: str
    status: Status
    detail: str = ""
    hint: str = ""
    """The next command to type, when there is one."""
    place: Place | None = None

    @property
    def group(self) -> Group:
        """The group that the code belongs to."""
        return PREFIXES[self.code[:3]]


class Similarity(Boundary):
    """The similarity matrix of related and unrelated sentences."""

    labels: tuple[str, ...]
    cosine: tuple[tuple[float, ...], ...]
    """(N, N); texts 2i and 2i+1 are a related pair."""


class Deviation(Boundary):
    """How far one golden text is off."""

    id: str
    task: str = ""
    why: str = ""
    """What this text would catch."""
    cosine_distance: float
    component: float
    bit_identical: bool


class Cause(Boundary):
    """The likeliest reason why vectors are not the golden ones."""

    id: str
    """Permanent, e.g. `cased-tokenizer`; documented in docs/reference/checks.md."""
    sentence: str
    hint: str


class LanguageRow(Boundary):
    """What was seen of one language."""

    code: str
    name: str
    asked: bool
    """The project's scaffold.toml names it."""
    unknown_share: float | None
    """Share of the tokens of its sentences that are [UNK]; None where that could not be measured."""
    margin: float | None = None
    """Lowest related pair minus highest unrelated pair."""
    recall: float | None = None
    """Share of questions whose own passage came first."""
    readable: bool | None
    """The share of [UNK] is below the bar; None when it could not be measured."""
    understood: bool | None = None
    """Related pairs are told from unrelated ones and questions find their passages; None when nobody looked."""


class Link(Boundary):
    """One link of the chain: spec, lock, packages, files, weights, vectors."""

    name: str
    value: str
    """A hash or a count."""
    status: Status


class Figures(Boundary):
    """Numbers behind the results, for pictures."""

    similarity: Similarity | None = None
    deviations: tuple[Deviation, ...] = ()
    tolerance_cosine: float | None = None
    tolerance_component: float | None = None
    languages: tuple[LanguageRow, ...] = ()
    chain: tuple[Link, ...] = ()
    cause: Cause | None = None
    made_by: dict[str, str] = Field(default_factory=dict)
    """What made the vectors: runtime, engine, device, dtype, library versions."""
    golden_meaning: str = ""
    """Whether the deviations from the golden vectors are normal, in plain words; empty when there are none."""
    golden_made_by: dict[str, str] = Field(default_factory=dict)
    """What made the golden vectors that they were held against."""


class Report(Boundary):
    """Everything that `verify` says."""

    schema_version: Literal[1] = 1
    subject: str
    tool_version: str
    made_at: str
    machine: MachineFacts
    results: tuple[CheckResult, ...]
    figures: Figures = Figures()

    def of(self, group: Group) -> tuple[CheckResult, ...]:
        """The results of one group, in order."""
        return tuple(result for result in self.results if result.group is group)

    def groups(self) -> tuple[Group, ...]:
        """The groups that were asked for, in the order of the chain."""
        return tuple(group for group in Group if self.of(group))

    def count(self, *statuses: Status) -> int:
        """How many results have one of these statuses."""
        return sum(result.status in statuses for result in self.results)

    def exit_code(self, *, strict: bool = False) -> ExitCode:
        """0 when all passed; 1 when one failed; else 6 when one could not be looked at, or nothing was."""
        seen = {result.status for result in self.results}
        if Status.FAIL in seen or (strict and Status.WARN in seen):
            return ExitCode.CHECK_FAILED
        if Status.UNKNOWN in seen or not seen:
            return ExitCode.UNAVAILABLE
        return ExitCode.OK
