"""The order of steps of `verify`: gather what the groups need, judge it by pure checks, give a report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.adapters import golden, lock_files, machine, probe, project, pypi, weights
from nomic_scaffold.adapters.conda.archive import cache_root
from nomic_scaffold.adapters.conda.inspect import describe
from nomic_scaffold.adapters.conda.inspect import inspect as inspect_conda
from nomic_scaffold.adapters.conda.wheels import Wheels
from nomic_scaffold.checks.codes import CODES
from nomic_scaffold.checks.environment_conda import MEND
from nomic_scaffold.checks.golden import KnownVectors
from nomic_scaffold.checks.judge import JUDGED, Expected, judge
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.errors import InputError, UsageError
from nomic_scaffold.formats import environment_yml, pylock, scaffold_toml
from nomic_scaffold.formats.toml_lines import line_of
from nomic_scaffold.models.evidence import (
    EmbeddingsEvidence,
    EnvironmentEvidence,
    Evidence,
    LockEvidence,
    PrivacyEvidence,
    Unavailable,
    WeightsEvidence,
)
from nomic_scaffold.models.lock import LockedPackage, LockPaths, PypiLock
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.probe import ANY_RUNTIME, RuntimeChoice
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.report import Group, Place, Report
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform

TIMEOUT = 900.0
"""Seconds that the probe may take; on two idle cores it takes well under 60."""
PROBED = frozenset({Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY})
"""Groups that need the probe."""
NO_PREFIX = Unavailable(unavailable="the project has no finished environment", hint="nomic-scaffold install")


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A report, and the evidence that it was judged from."""

    report: Report
    evidence: Evidence


def chosen(*, only: Collection[Group], skip: Collection[Group]) -> tuple[Group, ...]:
    """Give the groups to judge, in order; raises UsageError when none is left."""
    groups = tuple(group for group in JUDGED if (not only or group in only) and group not in skip)
    if not groups:
        raise UsageError("--only and --skip leave nothing to verify", hint=f"groups: {', '.join(JUDGED)}")
    return groups


def verify(
    root: Path,
    *,
    only: Collection[Group] = (),
    skip: Collection[Group] = (),
    prefix: Path | None = None,
    deep: bool = False,
    evidence: Evidence | None = None,
    timeout: float = TIMEOUT,
    on: RuntimeChoice = ANY_RUNTIME,
    offline: bool = False,
    progress: Progress,
) -> Verified:
    """Verify the project at `root`; with `evidence` judge that and look at nothing of this machine.

    Raises InputError for a broken project; whatever else can't be looked at is unknown in the report.
    """
    groups = chosen(only=only, skip=skip)
    spec = project.read_spec(root)
    if evidence is None:
        evidence = gather(
            root,
            spec,
            groups=groups,
            prefix=prefix,
            deep=deep,
            timeout=timeout,
            on=on,
            offline=offline,
            progress=progress,
        )
    expected = replace(expect(root, spec, evidence), mend=_mend(prefix))
    return Verified(report=judge(expected, evidence, groups=groups), evidence=evidence)


def gather(
    root: Path,
    spec: ProjectSpec,
    *,
    groups: Collection[Group],
    prefix: Path | None,
    deep: bool,
    timeout: float,
    on: RuntimeChoice = ANY_RUNTIME,
    offline: bool = False,
    progress: Progress,
) -> Evidence:
    """Look at what the groups need."""
    found = prefix_at(prefix) if prefix else project.find_prefix(root) or NO_PREFIX
    seen_weights: WeightsEvidence | Unavailable | None = None
    environment: EnvironmentEvidence | Unavailable | None = None
    embeddings: EmbeddingsEvidence | Unavailable | None = None
    privacy: PrivacyEvidence | Unavailable | None = None
    locks = _locks(root) if Group.LOCK in groups else None
    if Group.WEIGHTS in groups:
        seen_weights = weights.inspect(project.weights_path(root, spec), spec.model, progress=progress)
    if Group.ENVIRONMENT in groups:
        environment = _environment(found, root, deep=deep, offline=offline, progress=progress)
    if PROBED.intersection(groups):
        embeddings, privacy = _probe(found, root, spec, on=on, timeout=timeout, progress=progress)
    return Evidence(
        tool_version=__version__,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine.facts(),
        lock=locks,
        environment=environment,
        weights=seen_weights,
        embeddings=embeddings,
        privacy=privacy,
    )


def expect(root: Path, spec: ProjectSpec, evidence: Evidence) -> Expected:
    """Read what the project at `root` ought to be."""
    shipped = next((one for one in golden.shipped_golden() if one.model_sha256 == spec.model.sha256), None)
    own, path = None, golden.own_path(device="cpu", dtype="float32")
    if isinstance(evidence.embeddings, EmbeddingsEvidence):
        path = golden.own_path(device=evidence.embeddings.device, dtype=evidence.embeddings.dtype)
    own = golden.read_own(root, path)
    names = (environment_yml.NAME, scaffold_toml.NAME)
    inputs = lock_files.read_inputs(root)
    return Expected(
        spec=spec,
        texts=golden.shipped_texts(),
        known_vectors=KnownVectors(shipped=shipped, own=own, own_path=path),
        pypi_lock=_pypi_lock(root, evidence),
        conda_packages=_conda_packages(root, evidence),
        known_files=weights.known_files(),
        digests={name: sha256_file(root / name) for name in names},
        places=places(root, evidence),
        locks=lock_files.read_locks(root, inputs),
        lock_findings=lock_files.check(root),
    )


def places(root: Path, evidence: Evidence) -> dict[Group, Place]:
    """Find the lines of the project's files that each group is about."""
    text = (root / scaffold_toml.NAME).read_text(encoding="utf-8")

    def at(*keys: str) -> Place:
        return Place(file=scaffold_toml.NAME, line=line_of(text, list(keys)))

    made_of_wheels = isinstance(evidence.environment, EnvironmentEvidence) and evidence.environment.provider == "pypi"
    return {
        Group.WEIGHTS: at("model", "sha256"),
        Group.EMBEDDINGS: at("model", "file"),
        Group.LANGUAGES: at("project", "languages"),
        Group.ENVIRONMENT: at("pypi", "requirements") if made_of_wheels else _dependencies(root),
        Group.PRIVACY: at("project", "package"),
    }


def _dependencies(root: Path) -> Place:
    lines = (root / environment_yml.NAME).read_text(encoding="utf-8").splitlines()
    found = (number for number, line in enumerate(lines, 1) if line.startswith("dependencies:"))
    return Place(file=environment_yml.NAME, line=next(found, None))


def explanations() -> dict[str, str]:
    """Give the paragraph of each code, for formats that show it."""
    return {code: declared.explanation for code, declared in CODES.items()}


def _locks(root: Path) -> LockEvidence:
    """Hash the locks that are there; what they hold is judged from the project itself."""
    inputs = lock_files.read_inputs(root)
    names = [LockPaths(accelerator=a).lock for a in dict.fromkeys(item.accelerator for item in inputs)]
    found = [name for name in (*names, f"locks/{pylock.NAME}") if (root / name).is_file()]
    return LockEvidence(files={name: sha256_file(root / name) for name in found})


def prefix_at(path: Path) -> Prefix | Unavailable:
    """Describe the environment at `path`, whoever made it."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - as `install`: files hold the name that it was made under
    found = project.read_prefix(place) or describe(place)
    if found is None:
        why = "is no finished environment" if place.exists() else "is not there"
        return Unavailable(unavailable=f"{path} {why}", hint=_mend(path))
    return found


def _mend(path: Path | None) -> str:
    """Give the command that makes or mends the environment."""
    return MEND if path is None else f"{MEND} --prefix {shlex.quote(str(path))}"


def _environment(
    prefix: Prefix | Unavailable, root: Path, *, deep: bool, offline: bool, progress: Progress
) -> EnvironmentEvidence | Unavailable:
    if isinstance(prefix, Unavailable):
        return prefix
    if prefix.provider == "conda":
        try:
            platform = Platform(machine.facts().platform)
            packages = lock_files.locked_packages(root, prefix.accelerator, platform)
        except (InputError, ValueError) as error:
            return Unavailable(unavailable=f"no lock to hold the environment against: {error}")
        return inspect_conda(
            prefix,
            packages=packages,
            platform=platform,
            deep=deep,
            fetch_missing=not offline,
            wheels=Wheels(
                cache=cache_root(),
                folders=(root / "locks" / pylock.WHEELS,),
                bring=partial(weights.bring_wheels, progress=progress) if deep and not offline else None,
            ),
            progress=progress,
        )
    return pypi.inspect(prefix, root, progress=progress)


def _probe(
    prefix: Prefix | Unavailable,
    root: Path,
    spec: ProjectSpec,
    *,
    on: RuntimeChoice,
    timeout: float,
    progress: Progress,
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    if isinstance(prefix, Unavailable):
        return prefix, prefix
    if not project.weights_path(root, spec).is_file():
        gone = Unavailable(unavailable=f"{spec.model.file} is not there", hint="nomic-scaffold weights pull")
        return gone, gone
    progress.say("embedding the probe's texts in the environment, with the network blocked")
    return probe.run_probe(
        prefix,
        root=root,
        spec=spec,
        texts=golden.shipped_texts(),
        on=on,
        timeout=timeout,
        progress=progress,
    )


def _conda_packages(root: Path, evidence: Evidence) -> tuple[LockedPackage, ...] | Unavailable:
    """Read what the lock has for the machine and the accelerator that the evidence is of."""
    seen = evidence.environment
    if not isinstance(seen, EnvironmentEvidence) or seen.provider != "conda":
        return ()
    try:
        return lock_files.locked_packages(root, Accelerator(seen.accelerator), Platform(evidence.machine.platform))
    except (InputError, ValueError) as error:
        return Unavailable(unavailable=str(error), hint="nomic-scaffold lock")


def _pypi_lock(root: Path, evidence: Evidence) -> PypiLock | Unavailable:
    if not isinstance(evidence.environment, EnvironmentEvidence) or evidence.environment.provider != "pypi":
        return Unavailable(unavailable="the environment is not made of wheels")  # reading it costs as much as a look
    try:
        return project.read_pylock(root)
    except InputError as error:
        return Unavailable(unavailable=error.message, hint=error.hint or "nomic-scaffold lock")
