"""Judge everything that was seen, and assemble the report: results of each group, figures, and the chain."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.cases import vectors_digest
from nomic_scaffold.checks.embeddings import EmbeddingsJudgement, check_embeddings
from nomic_scaffold.checks.environment_conda import MEND, check_conda_environment
from nomic_scaffold.checks.environment_pypi import check_pypi_environment
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.languages import check_languages
from nomic_scaffold.checks.lock import check_lock
from nomic_scaffold.checks.privacy import check_privacy
from nomic_scaffold.checks.weights import check_weights
from nomic_scaffold.formats.lock_check import Finding
from nomic_scaffold.models.evidence import (
    EmbeddingsEvidence,
    EnvironmentEvidence,
    Evidence,
    LockEvidence,
    Unavailable,
    WeightsEvidence,
)
from nomic_scaffold.models.lock import LockedPackage, LockSet, PypiLock
from nomic_scaffold.models.probe import ProbeTexts
from nomic_scaffold.models.report import CheckResult, Figures, Group, LanguageRow, Link, Place, Report, Status, worst
from nomic_scaffold.models.spec import ProjectSpec

NOT_ASKED = Unavailable(unavailable="the evidence does not hold it: it was gathered without")
JUDGED = tuple(group for group in Group if group is not Group.IMAGE)
"""What `verify` judges; an image is judged by running `verify` inside it."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a project ought to be."""

    spec: ProjectSpec
    texts: ProbeTexts
    known_vectors: KnownVectors
    pypi_lock: PypiLock | Unavailable
    conda_packages: tuple[LockedPackage, ...] | Unavailable = ()
    """What the conda lock has for the platform and the accelerator of the environment that was seen."""
    known_files: Mapping[str, str] = field(default_factory=dict)
    """sha256 -> words for model files that we recognise."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Files that the project is specified by -> sha256."""
    places: Mapping[Group, Place] = field(default_factory=dict)
    """Where a reader looks when a check of the group did not pass and says no place itself."""
    locks: LockSet | None = None
    """The project's locks; they are judged from its files, never from evidence."""
    lock_findings: tuple[Finding, ...] = ()
    """Why the locks are not fresh."""
    mend: str = MEND
    """The command that mends the environment that was looked at."""


def judge(expected: Expected, evidence: Evidence, *, groups: Collection[Group] = JUDGED) -> Report:
    """Judge the groups that were asked for."""
    spec = expected.spec
    results: list[CheckResult] = []
    weights = evidence.weights or NOT_ASKED
    vectors = EmbeddingsJudgement(results=())
    rows: tuple[LanguageRow, ...] = ()
    if Group.LOCK in groups:
        locks = expected.locks or LockSet(locks={}, explicit={})
        results += check_lock(locks, expected.lock_findings)
    if Group.ENVIRONMENT in groups:
        results += _environment(expected, evidence.environment or NOT_ASKED)
    if Group.WEIGHTS in groups:
        results += check_weights(spec.model, weights, known=expected.known_files)
    if Group.EMBEDDINGS in groups:
        vectors = check_embeddings(
            spec,
            evidence.embeddings or NOT_ASKED,
            texts=expected.texts,
            known=expected.known_vectors,
            weights_pinned=_pinned(spec, weights),
        )
        results += vectors.results
    if Group.LANGUAGES in groups:
        place = expected.places.get(Group.LANGUAGES, Place(file="scaffold.toml"))
        told, rows = check_languages(spec, evidence.embeddings or NOT_ASKED, texts=expected.texts, place=place)
        results += told
    if Group.PRIVACY in groups:
        results += check_privacy(evidence.privacy or NOT_ASKED)
    placed = tuple(_placed(result, expected.places) for result in results)
    seen = evidence.embeddings
    return Report(
        subject=_subject(spec, evidence),
        tool_version=evidence.tool_version,
        made_at=evidence.made_at,
        machine=evidence.machine,
        results=placed,
        figures=Figures(
            similarity=vectors.similarity,
            deviations=vectors.deviations,
            tolerance_cosine=vectors.bars.cosine_distance if vectors.bars else None,
            tolerance_component=vectors.bars.component if vectors.bars else None,
            languages=rows,
            chain=_chain(expected, evidence, placed),
            cause=vectors.cause,
            golden_meaning=vectors.golden_meaning,
            made_by=_made_by(seen) if isinstance(seen, EmbeddingsEvidence) else {},
            golden_made_by=vectors.golden_made_by,
        ),
    )


def _environment(expected: Expected, evidence: EnvironmentEvidence | Unavailable) -> tuple[CheckResult, ...]:
    if isinstance(evidence, Unavailable):
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, evidence.unavailable, hint=evidence.hint or expected.mend),)
    if evidence.provider == "conda":
        packages = expected.conda_packages
        if isinstance(packages, Unavailable):
            hint = packages.hint or "nomic-scaffold lock"
            return (codes.ENV_LOOKED.result(Status.UNKNOWN, packages.unavailable, hint=hint),)
        return check_conda_environment(packages, evidence, mend=expected.mend)
    if isinstance(expected.pypi_lock, Unavailable):
        lock = expected.pypi_lock
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, lock.unavailable, hint=lock.hint or "nomic-scaffold lock"),)
    return check_pypi_environment(expected.pypi_lock, evidence)


def _pinned(spec: ProjectSpec, weights: WeightsEvidence | Unavailable) -> bool | None:
    return None if isinstance(weights, Unavailable) or weights.sha256 is None else weights.sha256 == spec.model.sha256


def _subject(spec: ProjectSpec, evidence: Evidence) -> str:
    parts = [evidence.machine.platform]
    if isinstance(evidence.environment, EnvironmentEvidence):
        parts.append(f"{evidence.environment.provider} environment")
    if isinstance(evidence.embeddings, EmbeddingsEvidence):
        parts.append(f"{evidence.embeddings.runtime} runtime")
    return f"{spec.name} ({', '.join(parts)})"


def _placed(result: CheckResult, places: Mapping[Group, Place]) -> CheckResult:
    place = places.get(result.group)
    if result.place is not None or place is None or result.status is Status.PASS:
        return result
    return result.model_copy(update={"place": place})


def _made_by(seen: EmbeddingsEvidence) -> dict[str, str]:
    about = {"runtime": seen.runtime, "engine": seen.engine, "device": seen.device, "dtype": seen.dtype}
    if seen.runtime == "torch":
        promise = "promised" if seen.same_bits else "not promised"
        about["operators"] = seen.operators or "transformers' own"
        about["same bits"] = f"{promise}: {seen.why}" if seen.why else promise
    return about | dict(sorted(seen.versions.items()))


def _chain(expected: Expected, evidence: Evidence, results: tuple[CheckResult, ...]) -> tuple[Link, ...]:
    """Give the links that were looked at, each with its hash or its numbers and the verdict of its checks."""

    def status(group: Group) -> Status | None:
        found = [result.status for result in results if result.group is group]
        return worst(found) if found else None

    links: list[tuple[str, str | None, Status | None]] = []
    if expected.digests:
        links.append(("spec", "; ".join(f"{n} sha256 {h}" for n, h in expected.digests.items()), Status.PASS))
    if isinstance(evidence.lock, LockEvidence) and (locked := status(Group.LOCK)):
        links.append(("lock", "; ".join(f"{n} sha256 {h}" for n, h in evidence.lock.files.items()), locked))
    weights, seen, environment = evidence.weights, evidence.embeddings, evidence.environment
    if isinstance(environment, EnvironmentEvidence):
        count = f"{len(environment.packages)} packages, {environment.provider}, Python {environment.python}"
        links.append(("packages", count, status(Group.ENVIRONMENT)))
        read = (
            f", {environment.bytes_read:,} bytes hashed"
            if environment.depth == "deep"
            else ", by their sizes and times"
        )
        links.append(("files", f"{environment.files:,} files{read}", status(Group.ENVIRONMENT)))
    if isinstance(weights, WeightsEvidence):
        hashed = f"sha256 {weights.sha256}" if weights.sha256 else "is not there"
        links.append(("weights", f"{weights.file} {hashed}", status(Group.WEIGHTS)))
    if isinstance(seen, EmbeddingsEvidence):
        digest = vectors_digest(seen, prefix="golden:")
        links.append(("vectors", f"sha256 {digest}" if digest else None, status(Group.EMBEDDINGS)))
    return tuple(Link(name=n, value=v, status=s) for n, v, s in links if v is not None and s is not None)
