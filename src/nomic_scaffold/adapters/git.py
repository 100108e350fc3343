"""What is asked of git: the first commit of a new project, what was committed, and a merge of texts."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CONFIG = {
    "init.defaultBranch": "main",
    "core.autocrlf": "false",
    "core.excludesFile": os.devnull,
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.fsync": "none",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "user.useConfigOnly": "true",
    "advice.defaultBranchName": "false",
}
_NEUTRAL = {"user.name": "nomic-scaffold", "user.email": "nomic-scaffold@localhost"}
_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_TEMPLATE_DIR")


@dataclass(frozen=True, kw_only=True)
class FirstCommit:
    """How the first commit went."""

    outcome: Literal["committed", "committed as nobody", "no git", "inside a repository", "failed"]
    detail: str = ""
    """The repository around, or what git said."""


def enclosing_repository(folder: Path) -> Path | None:
    """Find the repository that tracks `folder` (which need not exist yet); None when none does."""
    git = shutil.which("git")
    folder = folder.parent.resolve() / folder.name
    for parent in folder.parents:
        if (parent / ".git").exists():
            if git and _run(git, parent, "check-ignore", "--quiet", "--", str(folder / "any")).returncode == 0:
                return None
            return parent
    return None


def first_commit(root: Path, message: str) -> FirstCommit:
    """Make `root` a repository and commit all of it: no hooks, no signing, nobody's template or ignore file.

    Without a configured user the commit is made under a neutral name.
    """
    git = shutil.which("git")
    if git is None:
        return FirstCommit(outcome="no git")
    for step in (["init", "--quiet", "--template="], ["add", "--all"]):
        if (done := _run(git, root, *step)).returncode:
            return _failed(root, done)
    commit = ["commit", "--quiet", "--no-verify", "--message", message]
    if _run(git, root, *commit).returncode == 0:
        return FirstCommit(outcome="committed")
    if (done := _run(git, root, *commit, config=_NEUTRAL)).returncode:
        return _failed(root, done)
    return FirstCommit(outcome="committed as nobody")


def revision(root: Path) -> str | None:
    """Give the commit that `root` is at, 40 hex digits, and `-dirty` when files differ from it; None without one."""
    git = shutil.which("git")
    if git is None:
        return None
    done = _run(git, root, "rev-parse", "HEAD")
    if done.returncode:
        return None
    changed = _run(git, root, "status", "--porcelain", "--", ".").stdout.strip()
    return done.stdout.strip() + ("-dirty" if changed else "")


def commit(root: Path, name: str) -> str | None:
    """Give the commit that `name` (a branch, tag, hash, `HEAD~2`) stands for; None when there is none."""
    git = shutil.which("git")
    if git is None or name.startswith("-"):
        return None
    done = _run(git, root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.stdout.strip() if done.returncode == 0 else None


def show(root: Path, name: str, path: str) -> str | None:
    """Give the text of a file, by its path in `root`, as it was at a commit; None when it was not there."""
    git, found = shutil.which("git"), commit(root, name)
    if git is None or found is None:
        return None
    done = _run(git, root, "show", f"{found}:./{path}")
    return done.stdout if done.returncode == 0 else None


def merge_file(base: Path, ours: Path, theirs: Path) -> bool:
    """Merge three texts into `ours` as git does by itself; False when that leaves markers."""
    git = shutil.which("git")
    if git is None:
        return False
    labels = [part for label in ("ours", "base", "theirs") for part in ("-L", label)]
    files = [str(path.resolve()) for path in (ours, base, theirs)]
    return _run(git, ours.parent, "merge-file", "--quiet", *labels, *files).returncode == 0


def _failed(root: Path, done: subprocess.CompletedProcess[str]) -> FirstCommit:
    shutil.rmtree(root / ".git", ignore_errors=True)
    return FirstCommit(outcome="failed", detail=(done.stderr.strip().splitlines() or ["no reason given"])[-1])


def _run(
    git: str, folder: Path, *arguments: str, config: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    settings = [part for key, value in {**_CONFIG, **(config or {})}.items() for part in ("-c", f"{key}={value}")]
    environment = {key: value for key, value in os.environ.items() if key not in _LOCAL}
    return subprocess.run(
        [git, *settings, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
