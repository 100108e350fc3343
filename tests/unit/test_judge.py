from __future__ import annotations

import pytest

from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.judge import Expected, judge
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.evidence import Evidence, Unavailable, WeightsEvidence
from nomic_scaffold.models.report import Group, Place, Report, Status
from tests.support import synthetic

LOOKED = (Group.WEIGHTS, Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY)
EXPECTED = Expected(
    spec=synthetic.SPEC,
    texts=synthetic.TEXTS,
    known_vectors=KnownVectors(shipped=synthetic.golden(), own=None),
    pypi_lock=Unavailable(unavailable="no lock"),
    digests={"scaffold.toml": "ab" * 32},
    places={Group.WEIGHTS: Place(file="scaffold.toml", line=38)},
)


def report(evidence: Evidence | None = None, *, groups: tuple[Group, ...] = LOOKED) -> Report:
    return judge(EXPECTED, evidence or synthetic.evidence(), groups=groups)


def test_a_healthy_project_passes_whole() -> None:
    found = report()
    assert {r.status for r in found.results} == {Status.PASS}
    assert found.groups() == LOOKED
    assert found.exit_code() is ExitCode.OK
    assert [link.name for link in found.figures.chain] == ["spec", "weights", "vectors"]
    assert found.figures.similarity is not None
    assert len(found.figures.deviations) == len(synthetic.GOLDEN_TEXTS)
    assert [row.code for row in found.figures.languages] == ["en", "zh"]


@pytest.mark.parametrize("group", LOOKED)
def test_a_group_is_judged_alone(group: Group) -> None:
    assert report(groups=(group,)).groups() == (group,)


@pytest.mark.parametrize("group", LOOKED)
def test_a_part_that_nobody_gathered_is_unknown_and_exit_6(group: Group) -> None:
    part = "embeddings" if group is Group.LANGUAGES else group.value
    found = report(synthetic.evidence().model_copy(update={part: None}), groups=(group,))
    assert Status.UNKNOWN in {r.status for r in found.results}
    assert Status.PASS not in {r.status for r in found.results}
    assert found.exit_code() is ExitCode.UNAVAILABLE


def test_a_part_that_could_not_be_gathered_says_why() -> None:
    gone = Unavailable(unavailable="the probe was killed by signal 9")
    found = report(synthetic.evidence().model_copy(update={"embeddings": gone, "privacy": gone}))
    unknown = [r for r in found.results if r.status is Status.UNKNOWN]
    assert {r.detail for r in unknown} == {"the probe was killed by signal 9"}
    assert found.exit_code() is ExitCode.UNAVAILABLE


def test_a_failure_outweighs_what_could_not_be_seen() -> None:
    wrong = WeightsEvidence(file="model.gguf", size=1000, sha256="0" * 64)
    found = report(synthetic.evidence().model_copy(update={"weights": wrong, "privacy": None}))
    assert found.exit_code() is ExitCode.CHECK_FAILED


def test_the_hash_of_the_file_decides_between_two_causes() -> None:
    def coarse(rows: list[list[float]]) -> list[list[float]]:
        return [synthetic.unit([x + (1e-4 if i % 2 else -1e-4) for i, x in enumerate(row)]) for row in rows]

    evidence = synthetic.evidence()
    off = evidence.model_copy(update={"embeddings": synthetic.changed(synthetic.embeddings(), "golden:*", coarse)})
    wrong = WeightsEvidence(file="model.gguf", size=1000, sha256="0" * 64)
    causes = [report(off).figures.cause, report(off.model_copy(update={"weights": wrong})).figures.cause]
    assert [cause.id for cause in causes if cause] == ["other-precision", "quantised-file"]


def test_what_did_not_pass_is_shown_at_a_line_of_the_project() -> None:
    wrong = WeightsEvidence(file="model.gguf", size=1000, sha256="0" * 64)
    found = report(synthetic.evidence().model_copy(update={"weights": wrong}))
    (failed,) = [r for r in found.results if r.status is Status.FAIL]
    assert failed.place == Place(file="scaffold.toml", line=38)


def test_nothing_judged_is_no_pass() -> None:
    assert report(groups=()).exit_code() is ExitCode.UNAVAILABLE


def test_evidence_survives_a_file() -> None:
    evidence = synthetic.evidence()
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert report(again) == report(evidence)
