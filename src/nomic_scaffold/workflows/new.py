"""Make a project: template, locks, first commit; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters import git, project, pypi, template
from nomic_scaffold.disk import atomic
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.disk.staging import staged_folder
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats import adopt, environment_yml, manifest, scaffold_toml
from nomic_scaffold.models.answers import Answers
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """What was made, and what its owner should know."""

    root: Path
    answers: Answers
    files: int
    locks: tuple[str, ...]
    """Paths of the derived files, relative to `root`."""
    notes: tuple[str, ...]
    """What was not done or was changed, one plain sentence each, with the command that does it."""
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
    destination = destination.absolute()
    with staged_folder(destination, last=scaffold_toml.NAME) as root:
        progress.say(f"rendering the template of {answers.name}")
        template.render(root, answers)
        notes = list(_adopt(root, environment)) if environment else []
        spec = project.read_spec(root)
        locks, missing = write_locks(root, spec, offline=offline, progress=progress)
        notes += missing
        done = None
        if commit:
            around = git.enclosing_repository(destination)
            if around is None:
                done = git.first_commit(root, f"Project made by nomic-scaffold {spec.tool_version}")
            else:
                done = git.FirstCommit(outcome="inside a repository", detail=str(around))
        files = sum(1 for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts)
    return NewProject(
        root=destination, answers=answers, files=files, locks=tuple(locks), notes=tuple(notes), commit=done
    )


def write_locks(root: Path, spec: ProjectSpec, *, offline: bool, progress: Progress) -> tuple[list[str], list[str]]:
    """Write the derived files that are at hand; give their paths, and a sentence for each kind that is missing."""
    written = [*_golden(root, spec), *_weights(root, spec)]
    missing = []
    if conda := _reference_locks(root, spec):
        written += conda
    else:
        missing.append("no reference lock is for these answers: nomic-scaffold lock solves and writes conda-lock.yml")
    try:
        pypi.lock(
            spec.pypi_requirements,
            python=spec.pypi_python,
            destination=root / "locks" / "pylock.toml",
            offline=offline,
            patient=False,
            progress=progress,
        )
        written.append("locks/pylock.toml")
    except ScaffoldError as error:
        # Without an index, or with an answer that it has no files for, there is a project all the same.
        why = error.message.split(" cause: ")[0].split("; ")[0]
        missing.append(f"locks/pylock.toml is not there yet ({why}): nomic-scaffold lock adds it")
    return sorted(written), missing


def _golden(root: Path, spec: ProjectSpec) -> Iterator[str]:
    """Copy the golden vectors of the pinned model file, where the tool ships some."""
    for source in _shipped_files("golden", "*.json"):
        text = source.read_bytes()
        if json.loads(text).get("model_sha256") == spec.model.sha256:
            atomic.write_bytes(root / "locks" / "golden.json", text)
            yield "locks/golden.json"
            return


def _weights(root: Path, spec: ProjectSpec) -> Iterator[str]:
    """Write down where the pinned model file can be had, from the manifest that ships with the tool."""
    for source in _shipped_files("manifests", "*.toml"):
        known = manifest.parse(source.read_text(encoding="utf-8"), path=source.name)
        files = tuple(file for file in known.files if file.sha256 == spec.model.sha256)
        if files:
            text = known.model_copy(update={"files": files}).model_dump_json(by_alias=True, indent=1)
            atomic.write_text(root / "locks" / "weights.json", text + "\n")
            yield "locks/weights.json"
            return


def _shipped_files(folder: str, pattern: str) -> list[Path]:
    try:
        return sorted(shipped(folder).glob(pattern))
    except FileNotFoundError:
        return []


def _reference_locks(root: Path, spec: ProjectSpec) -> list[str]:
    """Copy the reference locks whose inputs are this project's; give their paths, or none when one doesn't fit."""
    return []


def _adopt(root: Path, environment: adopt.Adopted) -> Iterator[str]:
    path = root / environment_yml.NAME
    merged = adopt.merge(environment, path.read_text(encoding="utf-8"))
    atomic.write_text(path, merged.text)
    yield from merged.notes
