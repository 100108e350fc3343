"""Make a project: template, locks, first commit; whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomic_scaffold import __version__
from nomic_scaffold.adapters import git, lock_files, template
from nomic_scaffold.adapters.reference_locks import reference_locks
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.disk.staging import staged_folder
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats import adopt, environment_yml, lock_inputs, pylock_digest, scaffold_toml
from nomic_scaffold.formats.answers import warnings
from nomic_scaffold.models.answers import Answers
from nomic_scaffold.models.progress import Progress

_PYLOCK = "locks/pylock.toml"
Pins = dict[str, Any]
"""scaffold.toml, read but not validated: the template's tests do that, and pydantic takes its time."""
Locker = Callable[[Path], tuple[Sequence[str], Sequence[str]]]
"""Locks what waits in a project; gives the paths that it wrote, and a sentence for each lock that is still missing."""


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
    lock: Locker | None = None,
    progress: Progress,
) -> NewProject:
    """Make the project of `answers` at `destination`, or leave nothing there.

    `environment` takes the place of the template's environment.yml. `lock` is asked for what does not ship with the
    tool; that it fails leaves a project without it. Raises UsageError for a destination that can't be.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - a link to be stays a link
    with staged_folder(destination, last=scaffold_toml.NAME) as root:
        progress.say(f"rendering the template of {answers.name}")
        template.render(root, answers)
        adopted = _adopt(root, environment) if environment else ()
        pins = tomllib.loads(_read(root / scaffold_toml.NAME))
        locks, missing = write_locks(root, pins, offline=offline, progress=progress)
        if missing and lock is not None:
            locks, missing = _complete(root, locks, missing, lock)
        files = sum(1 for path in root.rglob("*") if path.is_file())
        done = _commit(root, destination) if commit else None
    return NewProject(
        root=destination,
        answers=answers,
        files=files,
        locks=tuple(locks),
        missing=tuple(missing),
        notes=(*adopted, *warnings(answers)),
        commit=done,
    )


def write_locks(root: Path, pins: Pins, *, offline: bool, progress: Progress) -> tuple[list[str], list[str]]:
    """Write the derived files that are at hand; give their paths, and a sentence for each that is missing."""
    written = [*_golden(root, pins), *_weights(root, pins)]
    conda, missing = _conda_locks(root)
    written += conda
    try:
        written.append(_pypi_lock(root, pins, offline=offline, progress=progress))
    except ScaffoldError as error:
        # Without an index, or with one that has no such files, there is a project all the same.
        missing.append(f"{_PYLOCK} is not there yet: {error.message.split(' cause: ')[0]}")
    return sorted(written), missing


def _complete(root: Path, locks: list[str], missing: list[str], lock: Locker) -> tuple[list[str], list[str]]:
    """Lock what waits; without a network, or with answers that have no solution, there is a project all the same."""
    try:
        written, waiting = lock(root)
    except ScaffoldError as error:
        return locks, [*missing, error.message]
    finally:
        shutil.rmtree(root / lock_files.STATE, ignore_errors=True)
    return sorted({*locks, *written}), list(waiting)


def _adopt(root: Path, environment: adopt.Adopted) -> tuple[str, ...]:
    merged = adopt.merge(environment, _read(root / environment_yml.NAME))
    _write(root / environment_yml.NAME, merged.text)
    return merged.notes


def _golden(root: Path, pins: Pins) -> Iterator[str]:
    """Copy the golden vectors of the pinned model file, where the tool ships some."""
    for source in _shipped("golden", "*.json"):
        text = _read(source)
        if json.loads(text).get("model_sha256") == pins["model"]["sha256"]:
            _write(root / "locks" / "golden.json", text)
            yield "locks/golden.json"
            return


def _weights(root: Path, pins: Pins) -> Iterator[str]:
    """Write down where the pinned model file can be had, from the manifest that ships with the tool."""
    for source in _shipped("manifests", "*.toml"):
        manifest = tomllib.loads(_read(source))
        files = [file for file in manifest["files"] if file["sha256"] == pins["model"]["sha256"]]
        if files:
            text = json.dumps({**manifest, "files": files}, ensure_ascii=False, indent=1)
            _write(root / "locks" / "weights.json", text + "\n")
            yield "locks/weights.json"
            return


def _pypi_lock(root: Path, pins: Pins, *, offline: bool, progress: Progress) -> str:
    """Copy the shipped PyPI lock when it is for these requirements, else ask the user's index; give its path."""
    requirements, python = pins["pypi"]["requirements"], pins["pypi"]["python"]
    for source in _shipped("locks", "pylock.toml"):
        text = _read(source)
        if pylock_digest.recorded(text) == pylock_digest.inputs_digest(tuple(requirements), python):
            _write(root / _PYLOCK, text)
            return _PYLOCK
    from nomic_scaffold.adapters import pypi

    pypi.lock(
        requirements, python=python, destination=root / _PYLOCK, offline=offline, patient=False, progress=progress
    )
    return _PYLOCK


def _conda_locks(root: Path) -> tuple[list[str], list[str]]:
    """Write the shipped locks of these inputs and platforms; give their paths, and what is missing."""
    wanted = lock_inputs.read(_read(root / environment_yml.NAME), _read(root / scaffold_toml.NAME))
    made = reference_locks(wanted)
    if made is None:
        sentence = "`nomic-scaffold lock` solves it, `nomic-scaffold --offline lock` from the records of earlier locks"
        return [], [f"conda-lock.yml is not there yet: no shipped lock is for these answers; {sentence}"]
    for name, text in made.items():
        _write(root / name, text)
    waiting = ", ".join(dict.fromkeys(item.text for inputs in wanted for item in inputs.pip))
    if waiting:
        sentence = "install works without it; `nomic-scaffold lock` adds it where a package index answers"
        return list(made), [f"the pip section of environment.yml is not locked yet ({waiting}); {sentence}"]
    return list(made), []


def _shipped(folder: str, pattern: str) -> list[Path]:
    try:
        return sorted(shipped(folder).glob(pattern))
    except FileNotFoundError:
        return []


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Write a file of the stage, which nobody sees until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _commit(root: Path, destination: Path) -> git.FirstCommit:
    around = git.enclosing_repository(destination)
    if around is not None:
        return git.FirstCommit(outcome="inside a repository", detail=str(around))
    return git.first_commit(root, f"Project made by nomic-scaffold {__version__}")
