"""Make a project: template, locks, first commit; whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters import git, project, template
from nomic_scaffold.adapters.reference_locks import reference_locks
from nomic_scaffold.adapters.weights.known import read_manifests
from nomic_scaffold.disk import atomic
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.disk.staging import staged_folder
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats import adopt, environment_yml, lock_inputs, pylock_digest, scaffold_toml
from nomic_scaffold.formats.answers import warnings
from nomic_scaffold.models.answers import Answers
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec

_PYLOCK = "locks/pylock.toml"


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """What was made, and what its owner should know."""

    root: Path
    answers: Answers
    files: int
    locks: tuple[str, ...]
    """Paths of the derived files, relative to `root`."""
    missing: tuple[str, ...]
    """Locks that are not there yet, one plain sentence each; `nomic-scaffold lock` adds them."""
    notes: tuple[str, ...]
    """What else to know, one plain sentence each."""
    commit: git.FirstCommit | None


def new(
    destination: Path,
    answers: Answers,
    *,
    environment: adopt.Adopted | None = None,
    commit: bool = True,
    offline: bool = False,
    progress: Progress,
) -> NewProject:
    """Make the project of `answers` at `destination`, or leave nothing there.

    `environment` takes the place of the template's environment.yml. Raises UsageError for a destination that can't be.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - a link to be stays a link
    with staged_folder(destination, last=scaffold_toml.NAME) as root:
        progress.say(f"rendering the template of {answers.name}")
        template.render(root, answers)
        adopted = _adopt(root, environment) if environment else ()
        spec = project.read_spec(root)
        locks, missing = write_locks(root, spec, offline=offline, progress=progress)
        files = sum(1 for path in root.rglob("*") if path.is_file())
        done = _commit(root, destination, spec) if commit else None
    return NewProject(
        root=destination,
        answers=answers,
        files=files,
        locks=tuple(locks),
        missing=tuple(missing),
        notes=(*adopted, *warnings(answers)),
        commit=done,
    )


def write_locks(root: Path, spec: ProjectSpec, *, offline: bool, progress: Progress) -> tuple[list[str], list[str]]:
    """Write the derived files that are at hand; give their paths, and a sentence for each kind that is missing."""
    written = [*_golden(root, spec), *_weights(root, spec)]
    conda, missing = _conda_locks(root)
    written += conda
    try:
        written.append(_pypi_lock(root, spec, offline=offline, progress=progress))
    except ScaffoldError as error:
        # Without an index, or with one that has no such files, there is a project all the same.
        missing.append(f"{_PYLOCK} is not there yet: {error.message.split(' cause: ')[0]}")
    return sorted(written), missing


def _adopt(root: Path, environment: adopt.Adopted) -> tuple[str, ...]:
    path = root / environment_yml.NAME
    merged = adopt.merge(environment, path.read_text(encoding="utf-8"))
    atomic.write_text(path, merged.text)
    return merged.notes


def _golden(root: Path, spec: ProjectSpec) -> Iterator[str]:
    """Copy the golden vectors of the pinned model file, where the tool ships some."""
    for source in _shipped("golden", "*.json"):
        text = source.read_bytes()
        if json.loads(text).get("model_sha256") == spec.model.sha256:
            atomic.write_bytes(root / "locks" / "golden.json", text)
            yield "locks/golden.json"
            return


def _weights(root: Path, spec: ProjectSpec) -> Iterator[str]:
    """Write down where the pinned model file can be had, from the manifest that ships with the tool."""
    for known in read_manifests():
        files = tuple(file for file in known.files if file.sha256 == spec.model.sha256)
        if files:
            text = known.model_copy(update={"files": files}).model_dump_json(by_alias=True, indent=1)
            atomic.write_text(root / "locks" / "weights.json", text + "\n")
            yield "locks/weights.json"
            return


def _pypi_lock(root: Path, spec: ProjectSpec, *, offline: bool, progress: Progress) -> str:
    """Copy the shipped PyPI lock when it is for these requirements, else ask the user's index; give its path."""
    made_from = f'inputs-digest = "{pylock_digest.inputs_digest(spec.pypi_requirements, spec.pypi_python)}"'
    for source in _shipped("locks", "pylock.toml"):
        text = source.read_text(encoding="utf-8")
        if text.rstrip().endswith(made_from):
            atomic.write_text(root / _PYLOCK, text)
            return _PYLOCK
    from nomic_scaffold.adapters import pypi

    pypi.lock(
        spec.pypi_requirements,
        python=spec.pypi_python,
        destination=root / _PYLOCK,
        offline=offline,
        patient=False,
        progress=progress,
    )
    return _PYLOCK


def _conda_locks(root: Path) -> tuple[list[str], list[str]]:
    """Write the shipped locks of these inputs and platforms; give their paths, and what fits none."""
    wanted = lock_inputs.read(
        (root / environment_yml.NAME).read_text(encoding="utf-8"),
        (root / scaffold_toml.NAME).read_text(encoding="utf-8"),
    )
    made = reference_locks(wanted)
    if made is None:
        return [], ["conda-lock.yml is not there yet: no shipped lock is for these answers"]
    for name, text in made.items():
        atomic.write_text(root / name, text)
    return list(made), []


def _shipped(folder: str, pattern: str) -> list[Path]:
    try:
        return sorted(shipped(folder).glob(pattern))
    except FileNotFoundError:
        return []


def _commit(root: Path, destination: Path, spec: ProjectSpec) -> git.FirstCommit:
    around = git.enclosing_repository(destination)
    if around is not None:
        return git.FirstCommit(outcome="inside a repository", detail=str(around))
    return git.first_commit(root, f"Project made by nomic-scaffold {spec.tool_version}")
