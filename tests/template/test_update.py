"""`copier update` brings a later template into a project, and never touches a lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nomic_scaffold import __version__
from nomic_scaffold.cli.main import run
from tests.template.conftest import copy_template

PUBLIC = "https://github.com/nomic-scaffold/nomic-scaffold.git"


@pytest.fixture
def git_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git user, and the template's public address leading to a repository of this test."""
    config = tmp_path / "gitconfig"
    config.write_text(
        '[user]\n\tname = Ada\n\temail = ada@example.com\n[protocol "file"]\n\tallow = always\n'
        f'[url "{(tmp_path / "template").as_posix()}"]\n\tinsteadOf = {PUBLIC}\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_later_template_is_merged_with_what_people_changed(git_user: None, tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    copy_template(template)
    git(template, "init", "--quiet")
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "one")
    git(template, "tag", f"v{__version__}")

    assert run(["--offline", "new", "mine", "--defaults", "--language", "de", "--author", "Ada"]) == 0
    mine = tmp_path / "mine"
    environment = mine / "environment.yml"
    environment.write_text(
        environment.read_text(encoding="utf-8").replace("- numpy", "- polars\n  - numpy"), encoding="utf-8"
    )
    git(mine, "commit", "--quiet", "--all", "--message", "polars")
    locks = {
        path: path.read_bytes() for path in [mine / "conda-lock.yml", *(mine / "locks").rglob("*")] if path.is_file()
    }
    assert locks

    questions = template / "copier.yml"
    questions.write_text(
        questions.read_text(encoding="utf-8").replace(f'"{__version__}"', '"99.0.0"'), encoding="utf-8"
    )
    dockerfile = next((template / "template").glob("Dockerfile*"))
    dockerfile.write_text(dockerfile.read_text(encoding="utf-8") + "# better\n", encoding="utf-8")
    git(template, "commit", "--quiet", "--all", "--message", "two")
    git(template, "tag", "v99.0.0")

    done = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--defaults", "--quiet"],
        cwd=mine,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (mine / "Dockerfile").read_text(encoding="utf-8").endswith("# better\n")
    assert 'version = "99.0.0"' in (mine / "scaffold.toml").read_text(encoding="utf-8")
    answers = (mine / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "_commit: v99.0.0" in answers
    assert 'languages: ["de"]' in answers
    assert "gh:nomic-scaffold/nomic-scaffold" in answers
    assert "- polars" in environment.read_text(encoding="utf-8")
    assert not list(mine.rglob("*.rej"))
    assert {path: path.read_bytes() for path in locks} == locks
