"""The lock files of a project on disk: read them, write them all or leave the old ones, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nomic_scaffold.disk import atomic
from nomic_scaffold.errors import InputError, UnavailableError
from nomic_scaffold.formats import lock_header
from nomic_scaffold.formats.lock_check import Head
from nomic_scaffold.models.progress import Progress

_WAIT = 600.0
"""Seconds to wait for another `lock` of the same project."""


def read_text(path: Path) -> str:
    """Read one of the files that people edit; raises InputError when it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = f"restore it from git: git checkout -- {path.name}"
        raise InputError("is missing", path=path.name, hint=hint) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})", path=path.name, hint="save it as UTF-8") from error


def derived_text(path: Path) -> str | None:
    """Read a file that only the tool writes; None when it is missing or unreadable: it can be made again."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def read_head(path: Path) -> Head:
    """Read what a lock says of itself, and no more of the file than that."""
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for row in file:
                if not row.startswith("#"):
                    break
                rows.append(row)
    except FileNotFoundError:
        return "missing"
    except (OSError, UnicodeDecodeError):
        return "foreign"
    return lock_header.parse("".join(rows)) or "foreign"


def write(root: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Write the files that differ, in the order given, each whole; give the paths that changed."""
    changed = []
    for name, text in files.items():
        path = root / name
        if derived_text(path) != text or b"\r" in path.read_bytes():
            atomic.write_text(path, text)
            changed.append(name)
    return tuple(changed)


def remove(root: Path, names: Mapping[str, str]) -> tuple[str, ...]:
    """Remove derived files whose text holds the mark that says so; give the paths that went."""
    gone = []
    for name, mark in names.items():
        text = derived_text(root / name)
        if text is not None and mark in text:
            (root / name).unlink()
            gone.append(name)
    return tuple(gone)


@contextmanager
def exclusive(state: Path, progress: Progress) -> Iterator[None]:
    """Keep other `lock` commands of this project waiting for the time of the context.

    Raises UnavailableError when another one takes longer than ten minutes.
    """
    from filelock import FileLock, Timeout

    state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / "locking", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        progress.say("another nomic-scaffold is locking this project; waiting for it")
        try:
            lock.acquire(timeout=_WAIT)
        except Timeout as error:
            raise UnavailableError(
                f"another nomic-scaffold has been locking this project for {_WAIT / 60:.0f} minutes",
                hint="end it, then run nomic-scaffold lock",
            ) from error
    try:
        yield
    finally:
        lock.release()
