"""The order of steps of `bless`: embed, judge without golden vectors, record what came out and what made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.adapters import golden, machine, probe, project, weights
from nomic_scaffold.checks.bars import bars_of, measured
from nomic_scaffold.checks.cases import Cases, NotSeenError, RaisedError, Subject
from nomic_scaffold.checks.embeddings import check_embeddings
from nomic_scaffold.checks.golden import KnownVectors, deviations_of, summary
from nomic_scaffold.checks.weights import check_weights
from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.evidence import EmbeddingsEvidence, MachineFacts, Unavailable
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.probe import ANY_RUNTIME, Golden, ProbeTexts, RuntimeChoice
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.report import CheckResult, Status
from nomic_scaffold.models.spec import ProjectSpec, Tolerance


@dataclass(frozen=True, kw_only=True)
class Blessing:
    """Vectors that are fit to be golden, and how far they are from what was known."""

    golden: Golden
    path: str
    """Where they belong, relative to the project."""
    against_own: str | None
    """How far they are from the project's present golden vectors, in plain words; None when there are none."""
    against_shipped: str | None
    """The same for what ships with the tool."""
    results: tuple[CheckResult, ...]


def prepare(
    root: Path, *, prefix: Path | None, timeout: float, on: RuntimeChoice = ANY_RUNTIME, progress: Progress
) -> Blessing:
    """Embed the probe's texts and see that the vectors are fit to be golden.

    Raises HashMismatchError when the model file is not the pinned one, UnavailableError when something could not be
    looked at, InputError when a check of the vectors failed.
    """
    spec = project.read_spec(root)
    environment = project.read_prefix(prefix.resolve()) if prefix else project.find_prefix(root)
    if environment is None:
        raise UnavailableError("the project has no finished environment", hint="nomic-scaffold install")
    _pinned(root, spec, progress)
    texts = golden.shipped_texts()
    evidence = _embed(environment, root, spec, texts, on=on, timeout=timeout, progress=progress)
    return judge_blessing(root, spec, evidence, texts=texts, facts=machine.facts())


def judge_blessing(
    root: Path, spec: ProjectSpec, evidence: EmbeddingsEvidence, *, texts: ProbeTexts, facts: MachineFacts
) -> Blessing:
    """See that vectors are fit to be golden; raises UnavailableError or InputError when they are not."""
    bars = bars_of(spec, device=evidence.device, dtype=evidence.dtype, own=None)
    subject = Subject(spec=spec, texts=texts, evidence=evidence, cases=Cases(evidence, spec.model.dimension), bars=bars)
    path = golden.own_path(device=evidence.device, dtype=evidence.dtype)
    shipped = next((one for one in golden.shipped_golden() if one.model_sha256 == spec.model.sha256), None)
    new = _golden(subject, facts, held_against=shipped or golden.read_own(root, golden.COMMON))
    # The project's own are judged against themselves: every check but the comparison with those of before.
    known = KnownVectors(shipped=shipped, own=new, own_path=path)
    judged = check_embeddings(spec, evidence, texts=texts, known=known, weights_pinned=True)
    _refuse(judged.results)
    return Blessing(
        golden=new,
        path=path,
        against_own=_against(subject, golden.read_own(root, path)),
        against_shipped=_against(subject, shipped),
        results=judged.results,
    )


def record(root: Path, blessing: Blessing) -> None:
    """Write the golden file, whole or not at all."""
    golden.write_own(root, blessing.path, blessing.golden)


def _pinned(root: Path, spec: ProjectSpec, progress: Progress) -> None:
    seen = weights.inspect(project.weights_path(root, spec), spec.model, progress=progress)
    for result in check_weights(spec.model, seen, known=weights.known_files()):
        if result.status is Status.FAIL:
            raise HashMismatchError(f"{result.title}: {result.detail}", hint=result.hint or None)
        if result.status is Status.UNKNOWN:
            raise UnavailableError(result.detail, hint=result.hint or None)


def _embed(
    prefix: Prefix,
    root: Path,
    spec: ProjectSpec,
    texts: ProbeTexts,
    *,
    on: RuntimeChoice,
    timeout: float,
    progress: Progress,
) -> EmbeddingsEvidence:
    progress.say("embedding the probe's texts in the environment, with the network blocked")
    evidence, _ = probe.run_probe(
        prefix,
        root=root,
        spec=spec,
        texts=texts,
        on=on,
        timeout=timeout,
        progress=progress,
    )
    if isinstance(evidence, Unavailable):
        raise UnavailableError(evidence.unavailable, hint=evidence.hint or "nomic-scaffold doctor")
    return evidence


def _refuse(results: tuple[CheckResult, ...]) -> None:
    for status, error in ((Status.FAIL, InputError), (Status.UNKNOWN, UnavailableError)):
        for result in results:
            if result.status is status:
                raise error(
                    f"these vectors are not fit to be golden: {result.code} {result.title}: {result.detail}",
                    hint=result.hint or "nomic-scaffold verify",
                )


def _golden(subject: Subject, facts: MachineFacts, *, held_against: Golden | None) -> Golden:
    """Write down the vectors, what made them, and the bars that a device other than a CPU calls for."""
    evidence, pin = subject.evidence, subject.spec.model
    made_by = {
        "tool": f"nomic-scaffold {__version__}",
        "made_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "runtime": evidence.runtime,
        "engine": evidence.engine,
        "device": evidence.device,
        "dtype": evidence.dtype,
        **({"operators": evidence.operators} if evidence.operators else {}),
        **_facts(facts),
        **dict(sorted(evidence.versions.items())),
    }
    try:
        vectors = subject.golden_encoded()
    except NotSeenError as error:
        raise UnavailableError(f"there are no vectors to bless: {error}", hint="nomic-scaffold verify") from error
    except RaisedError as error:
        raise InputError(f"there are no vectors to bless: {error}", hint="nomic-scaffold verify") from error
    return Golden(
        model_sha256=pin.sha256,
        dimension=pin.dimension,
        made_by=made_by,
        texts=subject.texts.golden,
        vectors=vectors,
        tokens=subject.golden_tokens(),
        tolerance=_tolerance(subject, held_against),
    )


def _tolerance(subject: Subject, known: Golden | None) -> Tolerance | None:
    """Measure the bars of a device by vectors that are known to be right; a CPU needs none."""
    evidence = subject.evidence
    if evidence.device == "cpu":
        return None
    if known is None or not _comparable(subject, known):
        raise UnavailableError(
            f"no vectors of this model file are known to measure {evidence.device} by",
            hint="nomic-scaffold bless --device cpu",
        )
    return measured(subject.spec, deviations_of(subject, known), device=evidence.device, dtype=evidence.dtype)


def _facts(facts: MachineFacts) -> dict[str, str]:
    return {
        name: " ".join(value) if isinstance(value, (list, tuple)) else str(value)
        for name, value in facts.model_dump(exclude_none=True).items()
        if value
    }


def _comparable(subject: Subject, known: Golden) -> bool:
    return known.model_sha256 == subject.spec.model.sha256


def _against(subject: Subject, known: Golden | None) -> str | None:
    if known is None:
        return None
    if not _comparable(subject, known):
        return "made with another model file; not comparable"
    deviations = deviations_of(subject, known)
    return summary(deviations, subject.bars) if deviations else "no text in common"
