"""A folder that is made whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nomic_scaffold.disk.staging import staged_folder
from nomic_scaffold.errors import UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(stage: Path) -> None:
    for name in ("a.txt", "last.txt", "z.txt"):
        (stage / name).write_text("new")


def stage_and(meanwhile: Callable[[], object], destination: Path) -> None:
    with staged_folder(destination, last="last.txt") as stage:
        fill(stage)
        meanwhile()


def test_an_error_inside_leaves_nothing_not_even_the_parents_it_would_have(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        stage_and(fail, tmp_path / "a/b/c")
    assert names(tmp_path) == []


def test_what_somebody_else_wrote_in_the_meantime_is_theirs(tmp_path: Path) -> None:
    """Files that were moved before it are taken back."""
    with pytest.raises(UsageError, match="somebody else wrote z"):
        stage_and(lambda: (tmp_path / "z.txt").write_text("theirs"), tmp_path)
    assert names(tmp_path) == ["z.txt"]
    assert (tmp_path / "z.txt").read_text() == "theirs"


def test_a_destination_made_in_the_meantime_is_theirs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't write in"):
        stage_and(lambda: (tmp_path / "x/theirs").mkdir(parents=True), tmp_path / "x")
    assert names(tmp_path / "x") == ["theirs"]
    assert names(tmp_path) == ["x"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights of their own there")
def test_a_link_to_an_empty_folder_is_that_folder_and_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with staged_folder(tmp_path / "link", last="last.txt") as stage:
        fill(stage)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["a.txt", "last.txt", "z.txt"]
    (tmp_path / "lost").symlink_to("nowhere")
    with pytest.raises(UsageError, match="a link to nowhere"), staged_folder(tmp_path / "lost", last="last.txt"):
        pass
    assert names(tmp_path) == ["link", "lost", "real"]
