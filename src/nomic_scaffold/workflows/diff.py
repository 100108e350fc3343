"""The order of steps of `diff`: read both sides, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nomic_scaffold.adapters import git, lock_files
from nomic_scaffold.errors import InputError, UsageError
from nomic_scaffold.formats import conda_lock, lock_diff, lock_sizes
from nomic_scaffold.models.lock import SIZES_PATH, LockedPackage, LockPaths
from nomic_scaffold.models.lock_diff import LockDiff
from nomic_scaffold.models.variant import Accelerator

LAST = "HEAD"
WORKING = "working tree"
_Read = Callable[[str], str | None]


def diff(old: str | None, new: str | None, *, root: Callable[[], Path]) -> LockDiff:
    """Compare the locks of two places: a commit, a lock file, or a folder; default: last commit and working tree.

    `root` gives the project and is asked only where one is needed. Raises UsageError for a place that is none, and
    InputError for a lock that can't be read.
    """
    sides = [_side(place, root) for place in (old or LAST, new)]
    return lock_diff.compare(sides[0], sides[1], names=(old or LAST, new or WORKING))


def _side(place: str | None, root: Callable[[], Path]) -> lock_diff.Side:
    if place is None:
        return _project(_reader(root()), WORKING)
    path = Path(place)
    if path.is_file():
        sizes = lock_sizes.parse(lock_files.derived_text(path.parent / "sizes.json") or "")
        sizes = sizes or lock_sizes.parse(lock_files.derived_text(path.parent / SIZES_PATH) or "")
        return _lock(lock_files.read_text(path), place, None, sizes)
    if path.is_dir():
        return _project(_reader(path), place)
    project = root()
    if git.commit(project, place) is None:
        raise UsageError(
            f"{place!r} is no commit, lock file or folder here", hint="nomic-scaffold diff main, or two files"
        )
    return _project(lambda name: git.show(project, place, name), place)


def _reader(folder: Path) -> _Read:
    return lambda name: lock_files.derived_text(folder / name)


def _project(read: _Read, place: str) -> lock_diff.Side:
    sizes = lock_sizes.parse(read(SIZES_PATH) or "")
    found: dict[str, list[LockedPackage]] = {}
    for accelerator in Accelerator:
        name = LockPaths(accelerator=accelerator).lock
        text = read(name)
        if text is not None:
            found |= _lock(text, name if place == WORKING else f"{place}:{name}", accelerator, sizes)
    return found


def _lock(
    text: str, path: str, accelerator: Accelerator | None, sizes: dict[str, int]
) -> dict[str, list[LockedPackage]]:
    try:
        lock = conda_lock.parse(text, path=path, accelerator=accelerator)
    except InputError as error:
        raise InputError(error.message, hint=error.hint or "nomic-scaffold lock writes it anew") from error
    return {
        f"{platform}-{lock.accelerator}": [
            replace(package, size=sizes.get(package.sha256 or "")) for package in lock.on(platform)
        ]
        for platform in lock.platforms
    }
