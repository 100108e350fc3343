"""Look at an environment that was made of wheels: packages, every file of theirs, and files of nobody."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from nomic_scaffold.adapters.pypi.interpreter import ask, python_of, site_packages
from nomic_scaffold.adapters.pypi.records import Distribution, files_of, installed
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding, FileProblem, InstalledPackage, Unavailable
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Meter, Progress
from nomic_scaffold.models.witness import Witness

_BATCH = 64


def inspect(prefix: Prefix, root: Path, *, progress: Progress) -> EnvironmentEvidence | Unavailable:
    """Gather what is installed at `prefix` and what is not as its packages gave it.

    All bytes are read: it takes a second or two. Compiled caches (`__pycache__`) are not looked at, nor is the standard
    library: a virtual environment borrows that from a Python of the machine.
    """
    if not python_of(prefix.path).exists():
        return Unavailable(unavailable=f"no environment at {_shown(prefix.path, root)}")
    try:
        interpreter = ask(python_of(prefix.path))
    except UnavailableError as error:
        return Unavailable(unavailable=error.message)
    try:
        return look_at(prefix, interpreter.version, interpreter.markers, deep=True, progress=progress)
    except OSError as error:
        return Unavailable(unavailable=f"can't read {_shown(Path(str(error.filename)), root)}: {error.strerror}")


def _shown(path: Path, root: Path) -> str:
    """Name a path relative to the project: evidence travels, and need not tell where people keep their files."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def read_witness(prefix: Path) -> Witness | None:
    """Read what the installer wrote down last; None when the environment was never finished, or not by this tool."""
    try:
        return Witness.model_validate_json((prefix / witness.NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def look_at(
    prefix: Prefix, version: str, markers: dict[str, str], *, deep: bool, progress: Progress
) -> EnvironmentEvidence:
    """Gather as `inspect` does, for an environment whose Python is known; without `deep` by size only.

    Raises OSError for what can't be read.
    """
    site, seen = site_packages(prefix.path, version), read_witness(prefix.path)
    known = {package.name: package for package in seen.packages} if seen else {}
    work = _Work(prefix=prefix.path, deep=deep)
    packages = []
    for distribution in installed(site):
        archive = None
        record = _record_sha256(distribution)
        if distribution.name in known and known[distribution.name].record_sha256 == record:
            archive = known[distribution.name].sha256
        packages.append(
            InstalledPackage(name=distribution.name, version=distribution.version, manager="pip", sha256=archive)
        )
        work.add_package(distribution, witnessed=archive is not None)
    if seen:
        for path, sha256 in seen.base.items():
            work.add(path, owner=None, sha256=sha256, size=None)
    owned = work.owned
    for path in files_of(prefix.path, site):
        if path not in owned:
            work.found(path, "foreign", None, "belongs to no package")
    work.run(progress)
    return EnvironmentEvidence(
        provider="pypi",
        accelerator="cpu",
        python=version,
        packages=tuple(packages),
        depth="deep" if deep else "fast",
        files=len(work.jobs),
        bytes_read=work.bytes_read,
        findings=tuple(sorted(work.findings, key=lambda f: (f.path, f.problem))),
        markers=markers,
    )


def _record_sha256(distribution: Distribution) -> str | None:
    try:
        return hashlib.sha256((distribution.folder / "RECORD").read_bytes()).hexdigest()
    except OSError:
        return None


@dataclass
class _Job:
    path: str
    owner: str | None
    sha256: str | None
    size: int | None


@dataclass
class _Work:
    """The files to look at, and what was found."""

    prefix: Path
    deep: bool
    jobs: list[_Job] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)
    findings: list[FileFinding] = field(default_factory=list)
    bytes_read: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_package(self, distribution: Distribution, *, witnessed: bool) -> None:
        name = distribution.name
        record = f"{distribution.folder.relative_to(self.prefix).as_posix()}/RECORD"
        try:
            files = distribution.files(self.prefix)
        except (OSError, ValueError) as error:
            self.found(record, "unreadable", name, f"no list of the package's files: {error}")
            self.owned.add(record)
            return
        if not witnessed:
            self.found(record, "unwitnessed", name, "not as the install from the lock left it")
        self.owned.add(record)
        for file in files:
            if file.path != record and "__pycache__/" not in file.path:
                self.add(file.path, owner=name, sha256=file.sha256, size=file.size)

    def add(self, path: str, *, owner: str | None, sha256: str | None, size: int | None) -> None:
        if path not in self.owned:
            self.owned.add(path)
            self.jobs.append(_Job(path, owner, sha256, size))

    def found(self, path: str, problem: FileProblem, owner: str | None, detail: str) -> None:
        with self._lock:
            self.findings.append(FileFinding(path=path, problem=problem, owner=owner, detail=detail))

    def run(self, progress: Progress) -> None:
        batches = [self.jobs[at : at + _BATCH] for at in range(0, len(self.jobs), _BATCH)]
        threads = min(8, os.cpu_count() or 1)
        with progress.meter("files", total=len(self.jobs), unit="files") as meter, ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda batch: self._batch(batch, meter), batches):
                pass

    def _batch(self, batch: Iterable[_Job], meter: Meter) -> None:
        for job in batch:
            self._judge(job)
            meter.advance(1)

    def _judge(self, job: _Job) -> None:
        path = self.prefix / job.path
        try:
            size = path.stat().st_size
            if job.size is not None and size != job.size:
                self.found(job.path, "resized", job.owner, f"{size} bytes, not {job.size}")
            elif self.deep and job.sha256 is not None:
                seen = sha256_file(path)
                with self._lock:
                    self.bytes_read += size
                if seen != job.sha256:
                    self.found(job.path, "changed", job.owner, f"sha256 {seen}, not {job.sha256}")
            elif self.deep and job.sha256 is None:
                self.found(job.path, "unwitnessed", job.owner, "its package gives no hash of it")
        except FileNotFoundError:
            self.found(job.path, "missing", job.owner, "")
        except OSError as error:
            self.found(job.path, "unreadable", job.owner, error.strerror or str(error))
