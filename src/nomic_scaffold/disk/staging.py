"""Make a whole folder beside its place and move it there at the end, so that nobody sees half of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nomic_scaffold.errors import UsageError

_PREFIX, _SUFFIX = ".nomic-scaffold-", ".new"
_SETTLED = 2.0
"""Seconds after which a stage has surely taken its lock."""


@contextmanager
def staged_folder(destination: Path, *, last: str) -> Iterator[Path]:
    """Give an empty folder that becomes `destination` when the block ends well, and vanishes otherwise.

    A new destination appears by one rename, its missing parents with it. An existing empty one is filled by renames,
    the file `last` at the end. What a killed run left beside it is removed. Raises UsageError when `destination` is a
    file, is not empty, or can't be written.
    """
    destination, home, existing = _place(destination)
    first, *rest = ("", *()) if existing else destination.relative_to(home).parts
    with _refusals(home):
        for leftover in _leftovers(home):
            shutil.rmtree(leftover, ignore_errors=True)
        check_destination(destination)
        stage = Path(tempfile.mkdtemp(dir=home, prefix=_PREFIX, suffix=_SUFFIX))
    try:
        with _held(stage):
            stage.chmod(0o777 & ~_umask())
            root = stage.joinpath(*rest)
            root.mkdir(parents=True, exist_ok=True)
            yield root
        with _refusals(home):
            if existing:
                _move_into(stage, destination, last)
            else:
                stage.rename(home / first)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _refusals(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"can't write in {home}: {error.strerror}", hint="choose a DEST in a folder that you may write in"
        ) from error


def check_destination(destination: Path) -> None:
    """Raise UsageError when a folder can't be made at `destination`: it is a file, lies below one, or is not empty."""
    destination, home, existing = _place(destination)
    if not existing:
        return
    with _refusals(home):
        own = set(home.glob(f"{_PREFIX}*{_SUFFIX}"))
        if found := next((path for path in home.iterdir() if path not in own), None):
            raise UsageError(
                f"{destination} is not empty (it holds {found.name})", hint="choose another DEST, or empty that folder"
            )


def _place(destination: Path) -> tuple[Path, Path, bool]:
    """Give the full path, the folder that is there to write in, and whether it is the destination itself."""
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - resolve() would follow a link to be
    existing = _existing(destination)
    home = destination if existing else next(p for p in destination.parents if os.path.lexists(p))
    if not home.is_dir():
        raise UsageError(f"{home} is a file, not a folder", hint="choose another DEST")
    return destination, home, existing


def _existing(destination: Path) -> bool:
    if not os.path.lexists(destination):
        return False
    if destination.is_dir():
        return True
    kind = "a link to nowhere" if destination.is_symlink() and not destination.exists() else "a file"
    raise UsageError(f"{destination} is {kind}", hint="choose another DEST")


def _move_into(stage: Path, destination: Path, last: str) -> None:
    moved: list[Path] = []
    try:
        for child in sorted(stage.iterdir(), key=lambda path: (path.name == last, path.name)):
            target = destination / child.name
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, f"somebody else wrote {child.name} there in the meantime")
            child.rename(target)
            moved.append(target)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _leftovers(home: Path) -> list[Path]:
    """Find stages whose process is gone: a live one holds the lock. POSIX; elsewhere none is taken away."""
    found = []
    for stage in home.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - stage.stat().st_mtime > _SETTLED:
                with _held(stage) as held:
                    found += [stage] if held else []
    return found


@contextmanager
def _held(stage: Path) -> Iterator[bool]:
    """Hold an advisory lock on the folder itself, dropped by the system however the process ends; say if it is held."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    handle = os.open(stage, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
