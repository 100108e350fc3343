"""Write large files, and say in plain words when the disk refuses."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nomic_scaffold.errors import ScaffoldError, UnavailableError

FreeBytes = Callable[[Path], int]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def free_bytes(folder: Path) -> int:
    """Count the bytes that may still be written where `folder` is or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int, *, free: FreeBytes = free_bytes) -> None:
    """Raise UnavailableError when `needed` bytes do not fit into the file system of `folder`."""
    if (there := free(folder)) < needed:
        raise _no_space(folder, needed, there)


@contextmanager
def disk_refusals(folder: Path, needed: int, *, free: FreeBytes = free_bytes) -> Iterator[None]:
    """Turn the system's errors while writing `needed` bytes into `folder` into UnavailableError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(folder, needed, free(folder)) from error
        raise refusal(folder, error) from error


def refusal(folder: Path, error: OSError) -> ScaffoldError:
    """Say that `folder` can't be written, and what to do about it."""
    why = "it is read-only for you" if error.errno in _REFUSED else error.strerror or str(error)
    return UnavailableError(
        f"can't write in {folder}: {why}",
        hint="give yourself that right, or keep the store elsewhere: set NOMIC_SCAFFOLD_STORE to a folder of yours",
    )


def _no_space(folder: Path, needed: int, free: int) -> ScaffoldError:
    return UnavailableError(
        f"not enough space in {folder}: {needed:,} bytes needed, {free:,} free",
        hint="free some space and run the same command again (it goes on where it stopped), "
        "or keep the store elsewhere: set NOMIC_SCAFFOLD_STORE to a folder with room",
    )


def remove(path: Path) -> None:
    """Delete a file, read-only or not; a missing one is fine."""
    if os.name == "nt" and path.exists():
        path.chmod(0o600)
    path.unlink(missing_ok=True)


def write_all(path: Path, file: io.RawIOBase, data: bytes, *, missing: int, free: FreeBytes = free_bytes) -> None:
    """Write `data` to `file`, which lies at `path` and still lacks `missing` bytes.

    The file is unbuffered, so that closing it can't fail a second time on a full disk.
    """
    view = memoryview(data)
    with disk_refusals(path.parent, missing, free=free):
        while view:
            view = view[file.write(view) or 0 :]
