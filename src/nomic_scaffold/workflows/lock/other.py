"""What `lock` does beside locking: judge any lock, and merge for git."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nomic_scaffold.adapters import git, lock_files
from nomic_scaffold.disk import atomic
from nomic_scaffold.formats import lock_merge
from nomic_scaffold.models.lock import LockSet

if TYPE_CHECKING:
    from nomic_scaffold.models.report import CheckResult


def lint(paths: Sequence[Path]) -> tuple[CheckResult, ...]:
    """Judge lock files of any tool, each by itself: one may be a CPU lock and the next a CUDA one."""
    from nomic_scaffold.checks.lock import check_lock

    locks = {str(path): lock_files.read_lock(path, name=str(path)) for path in paths}
    return check_lock(LockSet(locks=locks, explicit={}), None)


def merge(base: Path, ours: Path, theirs: Path, *, path: str) -> bool:
    """Merge three versions of the file at `path` into `ours`, as git asks its drivers to.

    What `lock` can't write again (weights, golden vectors, another tool's lock) is merged as git does without a driver:
    False when that leaves a conflict, which is then marked in the file.
    """
    texts = [lock_files.derived_text(item) or "" for item in (base, ours, theirs)]
    merged = lock_merge.merge(path, *texts)
    if merged is None:
        return git.merge_file(base, ours, theirs)
    atomic.write_text(ours, merged)
    return True
