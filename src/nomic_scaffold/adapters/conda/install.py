"""Make a conda environment from a lock, or mend one: archives by hash, every unpacked byte checked, then linked."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from nomic_scaffold.adapters.conda.archive import archives_in, cache_root, file_name
from nomic_scaffold.adapters.conda.cache import Unpacked, damaged, unpack, unpacked
from nomic_scaffold.adapters.conda.expected import refuse_links_outside, walk
from nomic_scaffold.adapters.conda.fetch import Patience, fetch, without_hash
from nomic_scaffold.adapters.conda.finish import BUSY, Finish
from nomic_scaffold.adapters.conda.inspect import inspect
from nomic_scaffold.adapters.conda.link import link
from nomic_scaffold.adapters.conda.records import META, read_records, superfluous
from nomic_scaffold.adapters.conda.signatures import NAME as NOTE
from nomic_scaffold.adapters.conda.signatures import forget, read_digest
from nomic_scaffold.adapters.conda.wheels import Wheels, find_wheels
from nomic_scaffold.disk.bulk import workers
from nomic_scaffold.errors import InputError, UnavailableError, UsageError
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import EnvironmentEvidence
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Accelerator, Platform

PipPart = Callable[[Prefix, Sequence[LockedPackage], Mapping[str, Path]], None]
"""Puts these PyPI packages into the prefix, each by its sha256 and nothing else with them; from the wheels that are
given by name, else from an index."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be in the prefix."""

    packages: tuple[LockedPackage, ...]
    """conda's and pip's, of one platform."""
    platform: Platform
    accelerator: Accelerator
    requested: tuple[str, ...] = ()
    """Match specs that people wrote, for conda's own records."""

    @property
    def conda(self) -> list[LockedPackage]:
        """The conda packages."""
        return [p for p in self.packages if p.manager == "conda"]

    @property
    def pip(self) -> list[LockedPackage]:
        """The PyPI packages."""
        return [p for p in self.packages if p.manager == "pip"]

    @property
    def digest(self) -> str:
        """sha256 over what is locked: other packages, other digest."""
        lines = sorted(f"{p.manager} {p.name} {p.version} {p.build} {p.url} {p.sha256}" for p in self.packages)
        return hashlib.sha256("\n".join([self.platform, *lines]).encode()).hexdigest()


def install(
    wanted: Wanted,
    destination: Path,
    *,
    offline: bool,
    progress: Progress,
    fresh: bool = False,
    copy: bool = False,
    cache: Path | None = None,
    pip: PipPart | None = None,
    wheels: Wheels | None = None,
    patience: Patience | None = None,
) -> Prefix:
    """Make `destination` hold exactly what is locked: fetch, check, link, mend, remove; nothing to do is quick.

    `fresh` starts from an empty folder, `copy` makes no hard links into the package cache, `wheels` tells where
    those of the pip section are. Safe to kill and run again, and to run twice at once. Raises HashMismatchError for
    other bytes than the lock's, UnavailableError for what can't be fetched or written, UsageError for a folder that is
    no environment.
    """
    if not wanted.conda:
        raise InputError(f"the lock has no package for {wanted.platform}", hint="nomic-scaffold lock")
    without_hash(wanted.packages)
    wanted = replace(wanted, packages=tuple(_normal(package) for package in wanted.packages))
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 - resolve() would follow links
    prefix = Prefix(
        path=destination, provider="conda", accelerator=wanted.accelerator, python=_python(destination, wanted.platform)
    )
    try:
        with _alone(destination, progress):
            places = wheels or Wheels(cache=cache or cache_root())
            _make(wanted, prefix, _Run(offline, progress, fresh, copy, cache or cache_root(), pip, places, patience))
    except OSError as error:
        raise UnavailableError(
            f"can't write {error.filename or destination}: {error.strerror or error}",
            hint="make the folder writable and make room, then run the same command again",
        ) from error
    return prefix


def _normal(package: LockedPackage) -> LockedPackage:
    """Give a PyPI package the name that it is found under once installed."""
    return replace(package, name=canonicalize_name(package.name)) if package.manager == "pip" else package


@dataclass(frozen=True)
class _Run:
    offline: bool
    progress: Progress
    fresh: bool
    copy: bool
    cache: Path
    pip: PipPart | None
    wheels: Wheels
    patience: Patience | None


def _make(wanted: Wanted, prefix: Prefix, run: _Run) -> None:
    top = prefix.path
    ours = _ours(top)
    evidence = None if run.fresh else _look(wanted, prefix, run)
    if evidence is not None and not evidence.findings and _finished(wanted, top, evidence):
        (top / witness.NAME).touch()  # the environment installed last is the project's current one
        run.progress.say(f"the environment is already as locked: {top}")
        return
    entries = ready(wanted.conda, run.cache, offline=run.offline, progress=run.progress, patience=run.patience)
    refuse_links_outside((entry.manifest for entry in entries), wanted.platform)
    wheels = find_wheels(wanted.pip, run.wheels).wheels
    _begin(top, fresh=run.fresh)
    records, broken = read_records(top)
    twice = superfluous(records, {package.name: package for package in wanted.conda})
    for path in (*broken, *(record.path for record in twice)):
        path.unlink()
    bad = {name for one in evidence.findings if one.owner for name in one.owner.split(", ")} if evidence else set()
    bad |= {record.package.name for record in twice}
    link(
        entries,
        top,
        cache=run.cache,
        reinstall=bad & {record.package.name for record in records},
        requested=wanted.requested,
        copy=run.copy,
        progress=run.progress,
    )
    finish = Finish(
        wanted.packages,
        prefix,
        platform=wanted.platform,
        entries=entries,
        wheels=wheels,
        lock_digest=wanted.digest,
    )
    if run.pip is not None and (lacking := finish.pip_lacking()):
        run.pip(prefix, lacking, wheels)
    finish.note(ours=ours, progress=run.progress)


def ready(
    packages: Sequence[LockedPackage],
    cache: Path,
    *,
    offline: bool,
    progress: Progress,
    patience: Patience | None = None,
) -> list[Unpacked]:
    """Have every package in the cache: its archive as locked, looked into, and unpacked with every byte right."""
    archives = archives_in(cache)
    cache.mkdir(parents=True, exist_ok=True)
    lacking = archives.lacking(packages)
    if lacking and offline:
        names = ", ".join(file_name(p) for p in lacking[:3])
        raise UnavailableError(
            f"--offline, and {len(lacking)} of {len(packages)} packages are not in the cache {cache}: {names}",
            hint="run the same command once without --offline",
        )
    if lacking:
        fetch(lacking, archives, progress=progress, patience=patience)
    with ThreadPoolExecutor(workers()) as pool:
        manifests = list(pool.map(archives.witnessed, packages))
        entries = [unpacked(cache, p, m) for p, m in zip(packages, manifests, strict=True)]
        bad = damaged(entries)
        with progress.meter("unpacking packages", total=len(bad), unit="packages") as meter:
            for _ in pool.map(lambda entry: unpack(entry, archives), bad):
                meter.advance(1)
    if still := damaged(bad):
        raise UnavailableError(
            f"{file_name(still[0].package)} unpacks to something else than it says of itself",
            hint="report it to the channel; if the disk is full, make room and run the same command again",
        )
    return entries


def _look(wanted: Wanted, prefix: Prefix, run: _Run) -> EnvironmentEvidence | None:
    if not (prefix.path / META).is_dir():
        return None
    found = inspect(prefix, packages=wanted.packages, platform=wanted.platform, deep=False, cache=run.cache)
    return found if isinstance(found, EnvironmentEvidence) else None


def _finished(wanted: Wanted, top: Path, evidence: EnvironmentEvidence) -> bool:
    if read_digest(top) != wanted.digest or not (top / witness.NAME).is_file():
        return False
    recorded = sorted((p.manager, p.name, p.version) for p in evidence.packages)
    return recorded == sorted((p.manager, p.name, p.version) for p in wanted.packages)


def _ours(top: Path) -> bool:
    """Say whether the prefix is this tool's to clean: made by it, begun by it, or not there yet."""
    if not top.exists() or any((top / mark).exists() for mark in (witness.NAME, NOTE, f"{META}/{BUSY}")):
        return True
    if next(walk(top), None) is None and not any((top / META).glob("*")):
        return True
    if not (top / META).is_dir():
        raise UsageError(
            f"{top} is not empty and no conda environment", hint="choose an empty folder: install --prefix DIR"
        )
    return False


def _begin(top: Path, *, fresh: bool) -> None:
    """Mark the prefix as unfinished before anything in it changes."""
    if fresh and top.exists():
        shutil.rmtree(top)
    (top / META).mkdir(parents=True, exist_ok=True)
    (top / META / BUSY).touch()
    (top / witness.NAME).unlink(missing_ok=True)
    forget(top)


def _python(destination: Path, platform: Platform) -> Path:
    return destination / ("python.exe" if platform is Platform.WIN_64 else "bin/python")


@contextmanager
def _alone(destination: Path, progress: Progress) -> Iterator[None]:
    """Hold the environment against other installs until the context ends."""
    from filelock import FileLock, Timeout

    destination.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(destination.parent / f".{destination.name}.lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        progress.say(f"another install is at work on {destination}; waiting for it")
        held.acquire()
    try:
        yield
    finally:
        held.release()
