"""Make a conda environment from a lock, or mend one: archives by hash, every unpacked byte checked, then linked."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from nomic_scaffold.adapters.conda.archive import archives_in, cache_root, file_name
from nomic_scaffold.adapters.conda.cache import Unpacked, damaged, leftovers, unpack, unpacked
from nomic_scaffold.adapters.conda.expected import refuse_clashes, refuse_links_outside, walk
from nomic_scaffold.adapters.conda.fetch import Patience, fetch, without_hash
from nomic_scaffold.adapters.conda.finish import BUSY, Finish
from nomic_scaffold.adapters.conda.inspect import inspect, left_out_of
from nomic_scaffold.adapters.conda.link import link
from nomic_scaffold.adapters.conda.records import META, channel_of, read_records, superfluous
from nomic_scaffold.adapters.conda.signatures import forget, read_digest
from nomic_scaffold.adapters.conda.wheels import Wheels, find_wheels
from nomic_scaffold.disk.atomic import write_text
from nomic_scaffold.disk.bulk import workers
from nomic_scaffold.errors import InputError, UnavailableError, UsageError
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import EnvironmentEvidence, InstalledPackage
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Accelerator, Platform

_ADOPTED = "adopted\n"
"""What the mark of an unfinished installation says in an environment that another tool made."""
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
    deep: bool = False,
    copy: bool = False,
    cache: Path | None = None,
    pip: PipPart | None = None,
    wheels: Wheels | None = None,
    patience: Patience | None = None,
) -> Prefix:
    """Make `destination` hold exactly what is locked: fetch, check, link, mend, remove; nothing to do is quick.

    `fresh` starts from an empty folder, `deep` reads every byte instead of trusting sizes and times, `copy` makes no
    hard links into the package cache, `wheels` tells where those of the pip section are. Safe to kill and run again,
    and to run twice at once. Raises HashMismatchError for other bytes than the lock's, UnavailableError for what can't
    be fetched or written, UsageError for a folder that is no environment.
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
            run = _Run(offline, progress, fresh, deep, copy, cache or cache_root(), pip, places, patience)
            _make(wanted, prefix, run)
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
    deep: bool
    copy: bool
    cache: Path
    pip: PipPart | None
    wheels: Wheels
    patience: Patience | None


def _make(wanted: Wanted, prefix: Prefix, run: _Run) -> None:
    top, checked = prefix.path, time.time_ns()
    adopted = _adopted(top) and not run.fresh
    entries = _ready(wanted, run) if run.deep else None  # the archives are what a deep look holds files against
    evidence = None if run.fresh else _look(wanted, prefix, run)
    if evidence is not None and _finished(wanted, top, evidence, adopted=adopted):
        (top / witness.NAME).touch()  # the environment installed last is the project's current one
        run.progress.say(f"the environment is already as locked: {top}")
        return
    entries = entries or _ready(wanted, run)
    wheels = find_wheels(wanted.pip, run.wheels).wheels
    _begin(top, fresh=run.fresh, adopted=adopted)
    finish = Finish(
        wanted.packages,
        prefix,
        platform=wanted.platform,
        entries=entries,
        wheels=wheels,
        lock_digest=wanted.digest,
        checked=checked,
        without=left_out_of(top).patterns,
    )
    wrong = _fill(entries, wanted, finish, run, prefix, wheels, again=_troubled(evidence) if evidence else set())
    if wrong:  # what a look at sizes and times did not see
        wrong = _fill(entries, wanted, finish, run, prefix, wheels, again=set(wrong.values()))
    if wrong:
        path, owner = next(iter(wrong.items()))
        raise UnavailableError(
            f"{path} (of {owner}) is not what its package gives, right after linking",
            hint="does something else write there? run it anew: nomic-scaffold install --fresh",
        )
    finish.note(adopted=adopted, progress=run.progress)


def _fill(
    entries: Sequence[Unpacked],
    wanted: Wanted,
    finish: Finish,
    run: _Run,
    prefix: Prefix,
    wheels: Mapping[str, Path],
    *,
    again: set[str],
) -> dict[str, str]:
    """Link what is missing and the packages `again`, put in pip's part, and give what is not right then."""
    records, broken = read_records(prefix.path)
    locked = {package.name: package for package in wanted.conda}
    twice = superfluous(records, locked)
    for path in (*broken, *(record.path for record in twice)):
        path.unlink()
    there = {record.package.name: record.package for record in records if record not in twice}
    again = again | {record.package.name for record in twice}
    again |= {name for name, seen in there.items() if name in locked and _differs(seen, locked[name])}
    link(
        entries,
        prefix.path,
        reinstall=again & there.keys(),
        requested=wanted.requested,
        copy=run.copy,
        progress=run.progress,
    )
    if run.pip is not None and (lacking := finish.pip_lacking()):
        run.pip(prefix, lacking, wheels)
    return finish.wrong()


def _troubled(evidence: EnvironmentEvidence) -> set[str]:
    """Name the packages with a file that is not right; a path of several names all of them."""
    return {name for finding in evidence.findings if finding.owner for name in finding.owner.split(", ")}


def _ready(wanted: Wanted, run: _Run) -> list[Unpacked]:
    entries = ready(wanted.conda, run.cache, offline=run.offline, progress=run.progress, patience=run.patience)
    manifests = [entry.manifest for entry in entries]
    refuse_links_outside(manifests, wanted.platform)
    refuse_clashes(manifests, wanted.platform)
    return entries


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
        todo = bad + [entry for entry in entries if entry not in bad and leftovers(entry)]
        with progress.meter("unpacking packages", total=len(todo), unit="packages") as meter:
            for _ in pool.map(lambda entry: unpack(entry, archives), todo):
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
    found = inspect(prefix, packages=wanted.packages, platform=wanted.platform, deep=run.deep, cache=run.cache)
    return found if isinstance(found, EnvironmentEvidence) else None


def _finished(wanted: Wanted, top: Path, evidence: EnvironmentEvidence, *, adopted: bool) -> bool:
    if read_digest(top) != wanted.digest or not (top / witness.NAME).is_file():
        return False
    if any(not (adopted and finding.problem == "foreign") for finding in evidence.findings):
        return False
    locked = {(p.manager, p.name): p for p in wanted.packages}
    return len(evidence.packages) == len(locked) and all(
        (p.manager, p.name) in locked and not _differs(p, locked[p.manager, p.name]) for p in evidence.packages
    )


def _differs(seen: InstalledPackage, locked: LockedPackage) -> bool:
    """Say whether a record speaks of another package than the locked one; what it does not tell, it does not deny."""
    if seen.version != locked.version or seen.sha256 not in (None, locked.sha256):
        return True
    if seen.manager == "pip":
        return False
    channel = seen.channel and seen.channel.rstrip("/").rsplit("/", 1)[-1]
    return seen.build not in (None, locked.build) or channel not in (None, channel_of(locked.url).rsplit("/", 1)[-1])


def _adopted(top: Path) -> bool:
    """Say whether another tool made the environment: then files of people's own in it stay.

    Only what this tool began is its own to clean. Raises UsageError for a folder that is no environment.
    """
    with suppress(OSError, ValueError):
        return witness.Witness.model_validate_json((top / witness.NAME).read_bytes()).adopted
    with suppress(OSError):
        return (top / META / BUSY).read_text(encoding="utf-8") == _ADOPTED
    if not top.exists() or not any(top.iterdir()):
        return False
    if not (top / META).is_dir():
        raise UsageError(
            f"{top} is not empty and no conda environment", hint="choose an empty folder: install --prefix DIR"
        )
    return next(walk(top), None) is not None or any((top / META).iterdir())


def _begin(top: Path, *, fresh: bool, adopted: bool) -> None:
    """Mark the prefix as unfinished before anything in it changes."""
    (top / META).mkdir(parents=True, exist_ok=True)
    write_text(top / META / BUSY, _ADOPTED if adopted else "")
    (top / witness.NAME).unlink(missing_ok=True)
    forget(top)
    if fresh:  # around the mark: whatever a kill leaves is known for an environment that was begun
        for path in (*top.iterdir(), *(top / META).iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path != top / META:
                    shutil.rmtree(path)
            elif path.name != BUSY:
                path.unlink()


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
