"""What `new` does with locks that do not ship with the tool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nomic_scaffold.adapters.lock_files import STATE
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats.answers import resolve
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.workflows.new import Locker, NewProject, new

WAITS = (
    "the pip section of environment.yml is not locked yet (nomic[local] ==3.9.*); install works without it; "
    "`nomic-scaffold lock` adds it where a package index answers"
)


def made(folder: Path, lock: Locker | None) -> NewProject:
    return new(folder, resolve({}, folder="mine"), commit=False, lock=lock, progress=Silent())


def test_what_ships_is_there_without_anybody_locking(tmp_path: Path) -> None:
    project = made(tmp_path / "mine", None)
    assert {"conda-lock.yml", "locks/cuda.conda-lock.yml", "locks/sizes.json"} <= set(project.locks)
    assert project.missing == (WAITS,)


def test_the_locker_is_asked_for_what_waits(tmp_path: Path) -> None:
    def lock(root: Path) -> tuple[Sequence[str], Sequence[str]]:
        assert (root / "conda-lock.yml").exists()
        (root / STATE).mkdir()
        (root / "locks" / "more.txt").write_text("more")
        return ["locks/more.txt"], []

    project = made(tmp_path / "mine", lock)
    assert project.missing == ()
    assert "locks/more.txt" in project.locks
    assert (tmp_path / "mine" / "locks" / "more.txt").exists()
    assert not (tmp_path / "mine" / STATE).exists()


def test_a_locker_that_fails_leaves_a_project_and_says_why(tmp_path: Path) -> None:
    def lock(root: Path) -> tuple[Sequence[str], Sequence[str]]:
        raise UnavailableError("the channel sleeps")

    project = made(tmp_path / "mine", lock)
    assert project.missing == (WAITS, "the channel sleeps")
    assert (tmp_path / "mine" / "conda-lock.yml").exists()


@pytest.mark.parametrize("waiting", [[], ["still waiting"]])
def test_what_still_waits_is_told(tmp_path: Path, waiting: list[str]) -> None:
    assert made(tmp_path / "mine", lambda _: ([], waiting)).missing == tuple(waiting)


def test_other_answers_are_not_solved_offline_and_that_is_said(tmp_path: Path) -> None:
    answers = resolve({"python": "3.12"}, folder="mine")
    project = new(tmp_path / "mine", answers, commit=False, offline=True, progress=Silent())
    assert not (tmp_path / "mine" / "conda-lock.yml").exists()
    assert any("nomic-scaffold --offline lock" in sentence for sentence in project.missing)
