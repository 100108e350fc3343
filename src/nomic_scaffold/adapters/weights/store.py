"""The content-addressed store of model files, in the user's cache folder, shared by projects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters.weights.writing import disk_refusals, refusal, remove
from nomic_scaffold.disk.hashing import sha256_watched
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.models.progress import Progress, Silent
from nomic_scaffold.models.weights import OfficialFile

VARIABLE = "NOMIC_SCAFFOLD_STORE"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the store, or (`partial`) what a download has brought so far."""

    sha256: str
    path: Path
    size: int
    partial: bool


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of `<sha256>/<file>`; a name there promises nothing until its bytes are hashed."""

    root: Path

    def path(self, sha256: str) -> Path | None:
        """Give the file that claims to have this hash, unread."""
        with suppress(OSError):
            return next((p for p in sorted((self.root / sha256).iterdir()) if p.is_file()), None)
        return None

    def verified(self, wanted: OfficialFile, progress: Progress, *, tell: bool = True) -> Path | None:
        """Give the stored file after hashing it; None when there is none, or its bytes are wrong (and `tell` that)."""
        path = self.path(wanted.sha256)
        if path is None:
            return None
        if matches(path, wanted, progress):
            return path
        if tell:
            progress.say(f"the store's copy of {wanted.file} is damaged; it will not be used")
        return None

    def partial(self, sha256: str) -> Path:
        """Give the folder where a file is put together; it outlives a killed process."""
        return self.root / ".partial" / sha256

    @contextmanager
    def lock(self, sha256: str, progress: Progress) -> Iterator[None]:
        """Let one process at a time work on a file; the others wait, and say that they do."""
        from filelock import FileLock, Timeout

        folder = self.root / ".locks"
        lock = FileLock(folder / f"{sha256}.lock")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.say("another process is fetching this file; waiting for it")
                lock.acquire()
        except OSError as error:
            raise refusal(self.root, error) from error
        try:
            yield
        finally:
            lock.release()

    def admit(self, whole: Path, wanted: OfficialFile) -> Path:
        """Give a checked file its name in the store, read-only, in one rename."""
        folder = self.root / wanted.sha256
        with disk_refusals(self.root, wanted.size):
            folder.mkdir(parents=True, exist_ok=True)
            for damaged in folder.iterdir():
                remove(damaged)
            _settle(whole)
            whole.chmod(0o444)
            return whole.replace(folder / wanted.file)

    def clear_partial(self, sha256: str) -> None:
        """Delete what is left of a download."""
        folder = self.partial(sha256)
        with suppress(OSError):
            for path in folder.iterdir():
                remove(path)
            folder.rmdir()

    def entries(self) -> tuple[Entry, ...]:
        """List what lies here, unread: whole files first, then downloads that have not ended."""
        found = []
        for folder, partial in ((self.root, False), (self.root / ".partial", True)):
            with suppress(OSError):
                for child in sorted(folder.iterdir()):
                    if _SHA256.fullmatch(child.name):
                        found += [
                            Entry(sha256=child.name, path=path, size=path.stat().st_size, partial=partial)
                            for path in sorted(child.iterdir())
                            if path.is_file() and path.suffix != ".etag"
                        ]
        return tuple(found)


def adopt(path: Path, wanted: OfficialFile, store: Store, progress: Progress) -> bool:
    """Link a project's own file, once hashed, into a store that lacks it; say whether the bytes are right.

    A store that can't take it is no failure: the project has its file.
    """
    if store.path(wanted.sha256) is not None or not matches(path, wanted, progress):
        return False
    with suppress(ScaffoldError, OSError), store.lock(wanted.sha256, progress):
        folder = store.partial(wanted.sha256)
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / f"adopted-{os.getpid()}"
        os.link(path, link)
        store.admit(link, wanted)
        store.clear_partial(wanted.sha256)
    return True


def open_store(root: Path | None = None) -> Store:
    """Open the store at `root`, else where NOMIC_SCAFFOLD_STORE says, else in the user's cache; nothing is made yet."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    if root is None:
        root = Path(named).expanduser() if named else user_cache_path("nomic-scaffold") / "weights"
    return Store(root=Path(os.path.abspath(root)))  # noqa: PTH100 - resolve() fails on loops of links


def matches(path: Path, wanted: OfficialFile, progress: Progress = Silent()) -> bool:  # noqa: B008 - has no state
    """Hash `path` (only if its size is right) and hold it against `wanted`; False when it can't be read."""
    try:
        if path.stat().st_size != wanted.size:
            return False
        with progress.meter(f"checking {wanted.file}", total=wanted.size, unit="bytes") as meter:
            return sha256_watched(path, meter.advance) == wanted.sha256
    except OSError:
        return False


def _settle(path: Path) -> None:
    """Wait until the bytes are on the disk, so that a power cut can't leave a name without them."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
