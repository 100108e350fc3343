"""Make an environment from locks/pylock.toml: built aside, complete before it gets its name."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.adapters.pypi.choice import Chosen, choose
from nomic_scaffold.adapters.pypi.inspect import look_at, read_witness
from nomic_scaffold.adapters.pypi.interpreter import Interpreter, ask, python_of, site_packages
from nomic_scaffold.adapters.pypi.records import files_of, installed
from nomic_scaffold.adapters.pypi.uv import run_uv
from nomic_scaffold.disk.atomic import write_text
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.errors import ScaffoldError, ToolMissingError, UnavailableError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models import witness
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Meter, Progress, Silent
from nomic_scaffold.models.variant import Accelerator
from nomic_scaffold.models.witness import Witness, WitnessedPackage


def install(
    lock: PypiLock,
    destination: Path,
    *,
    offline: bool,
    progress: Progress,
    python: Path | None = None,
    wheels: Path | None = None,
    fresh: bool = False,
) -> Prefix:
    """Make the environment of `lock` at `destination`, or see that it is there already and whole.

    `wheels` is a folder of wheel files to take instead of asking an index for them. `fresh` makes it anew in any case.
    Safe to kill and run again, and to run twice at once. Raises HashMismatchError when an index serves other bytes.
    """
    destination = Path(os.path.abspath(destination))  # noqa: PTH100 (resolve() would follow links)
    prefix = _prefix(destination)
    if not fresh and _whole(lock, prefix):  # a finished one appears whole or not at all: no need to wait in line
        return _as_locked(prefix, progress)
    with _alone(destination, progress) as waited:
        if waited and not fresh and _whole(lock, prefix):
            return _as_locked(prefix, progress)
        _sweep(destination)
        interpreter, chosen = _interpreter(lock, destination.parent, python=python, offline=offline)
        megabytes = sum(one.file.size or 0 for one in chosen) / 1e6
        progress.say(
            f"installing {len(chosen)} packages ({megabytes:.0f} MB of wheels) with Python {interpreter.version}"
        )
        staging = Path(tempfile.mkdtemp(prefix=_staging_name(destination), dir=destination.parent))
        try:
            _fill(staging, interpreter, chosen, wheels=wheels, offline=offline, progress=progress)
            write_text(staging / witness.NAME, _testify(staging, interpreter, chosen, lock).model_dump_json(indent=1))
            _swap(staging, destination)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return prefix


def _prefix(destination: Path) -> Prefix:
    return Prefix(path=destination, provider="pypi", accelerator=Accelerator.CPU, python=python_of(destination))


def _as_locked(prefix: Prefix, progress: Progress) -> Prefix:
    with suppress(OSError):  # a read-only environment is whole all the same
        (prefix.path / witness.NAME).touch()
    progress.say(f"the environment is already as locked: {prefix.path}")
    return prefix


def _whole(lock: PypiLock, prefix: Prefix) -> bool:
    """Tell whether the environment was finished from this lock, and still has all its files in their size."""
    seen = read_witness(prefix.path)
    if seen is None or seen.lock_digest != pylock.digest(lock):
        return False
    if not prefix.python.exists():
        return False
    try:
        evidence = look_at(prefix, seen.python, {}, deep=False, progress=Silent())
    except OSError:
        return False
    return not any(finding.problem != "foreign" for finding in evidence.findings)


@contextmanager
def _alone(destination: Path, progress: Progress) -> Iterator[bool]:
    """Hold the environment against other installs until the context ends; says whether there was one to wait for."""
    from filelock import FileLock, Timeout

    destination.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(destination.parent / f".{destination.name}.lock")
    waited = False
    try:
        held.acquire(timeout=0)
    except Timeout:
        progress.say(f"another install is at work on {destination}; waiting for it")
        held.acquire()
        waited = True
    try:
        yield waited
    finally:
        held.release()


def _staging_name(destination: Path) -> str:
    return f".{destination.name}-"


def _sweep(destination: Path) -> None:
    """Remove what killed installs left."""
    for left in destination.parent.glob(f"{_staging_name(destination)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _interpreter(
    lock: PypiLock, cwd: Path, *, python: Path | None, offline: bool
) -> tuple[Interpreter, tuple[Chosen, ...]]:
    """Find a Python that the lock has wheels for: the one asked for, else our own, else any that uv finds here."""
    reasons = []
    for path in [python] if python else _pythons(cwd, offline=offline):
        try:
            interpreter = ask(path)
        except UnavailableError as error:
            reasons.append(error.message)
            continue
        chosen, lacking = choose(lock, interpreter)
        if not lacking:
            return interpreter, chosen
        reasons.append(lacking[0])
    raise ToolMissingError(
        f"no Python here fits the lock: {'; '.join(reasons[:4])}",
        hint=f"install a Python {lock.requires_python} from python.org or your system, then: nomic-scaffold install",
    )


def _pythons(cwd: Path, *, offline: bool) -> Iterator[Path]:
    yield Path(sys.executable)
    import json

    try:
        listed = json.loads(
            run_uv(
                ["python", "list", "--only-installed", "--output-format", "json"], offline=offline, cwd=cwd, index=False
            )
        )
    except (ScaffoldError, ValueError):
        return
    for entry in listed:
        if entry.get("implementation") == "cpython" and entry.get("path"):
            yield Path(entry["path"])


def _fill(
    staging: Path,
    interpreter: Interpreter,
    chosen: Sequence[Chosen],
    *,
    wheels: Path | None,
    offline: bool,
    progress: Progress,
) -> None:
    """Make a virtual environment in `staging` and put the wheels into it."""
    create: list[str | Path] = ["venv", "--clear", "--relocatable", "--prompt", "nomic-scaffold"]
    run_uv([*create, "--python", interpreter.path, staging], offline=offline, cwd=staging.parent, index=False)
    wanted = staging / "requirements.txt"
    wanted.write_text("".join(f"{one.requirement}\n" for one in chosen), encoding="utf-8")
    # Copies, not hard links: an edit in the environment must not reach uv's cache and, from there, other projects.
    # `clone` would do too, but falls back to hard links where a file system can't.
    mode = "clone" if sys.platform == "darwin" else "copy"
    sync: list[str | Path] = ["pip", "sync", wanted, "--python", python_of(staging), "--link-mode", mode]
    sync += ["--require-hashes", "--only-binary", ":all:", "--allow-empty-requirements"]
    if wheels is not None and wheels.is_dir():
        sync += ["--find-links", wheels]
    total = sum(one.file.size or 0 for one in chosen)
    with progress.meter("wheels", total=total or None, unit="bytes") as meter:
        listener = _Listener(chosen, meter)
        run_uv(sync, offline=offline, cwd=staging.parent, listen=listener)
        listener.finish(total)
    wanted.unlink()


class _Listener:
    """Turn uv's `Downloaded NAME` lines into bytes."""

    def __init__(self, chosen: Sequence[Chosen], meter: Meter) -> None:
        self._sizes = {one.name: one.file.size or 0 for one in chosen}
        self._meter, self._seen = meter, 0

    def __call__(self, line: str) -> None:
        words = line.split()
        if len(words) == 2 and words[0] == "Downloaded":
            self._advance(self._sizes.pop(words[1].lower().replace("_", "-"), 0))
        elif words[:1] == ["Prepared"]:
            self._advance(sum(self._sizes.values()))
            self._sizes = {}

    def finish(self, total: int) -> None:
        self._advance(total - self._seen)

    def _advance(self, amount: int) -> None:
        if amount > 0:
            self._seen += amount
            self._meter.advance(amount)


def _testify(staging: Path, interpreter: Interpreter, chosen: Sequence[Chosen], lock: PypiLock) -> Witness:
    """Write down what was installed, and what belongs to the virtual environment itself."""
    site = site_packages(staging, interpreter.version)
    distributions = {one.name: one for one in installed(site)}
    packages: list[WitnessedPackage] = []
    owned: set[str] = set()
    for one in chosen:
        there = distributions.get(one.name)
        if there is None or there.version != one.version:
            raise UnavailableError(
                f"uv did not install {one.name} {one.version}", hint="nomic-scaffold install --fresh"
            )
        record = there.folder / "RECORD"
        packages.append(
            WitnessedPackage(
                name=one.name,
                version=one.version,
                filename=one.file.filename,
                sha256=one.file.sha256,
                record_sha256=hashlib.sha256(record.read_bytes()).hexdigest(),
            )
        )
        owned.update(entry.path for entry in there.files(staging))
    base = {path: sha256_file(staging / path) for path in files_of(staging, site) if path not in owned}
    return Witness(
        provider="pypi",
        accelerator=Accelerator.CPU,
        tool_version=__version__,
        lock_digest=pylock.digest(lock),
        python=interpreter.version,
        packages=tuple(packages),
        base=base,
    )


def _swap(staging: Path, destination: Path) -> None:
    """Give the finished environment its name; the old one goes only now."""
    old = staging.with_name(staging.name + "-old")
    if os.path.lexists(destination):
        destination.rename(old)
    staging.rename(destination)
    shutil.rmtree(old, ignore_errors=True)
