"""The lock files of a project on disk: read them, say whether they are fresh, write them all or leave the old ones.

`lock --check` has 0.3 s for its whole process: nothing here loads pydantic, rattler or conda_lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nomic_scaffold.disk import atomic
from nomic_scaffold.errors import InputError, StaleLockError, UnavailableError
from nomic_scaffold.formats import conda_lock, explicit, lock_check, lock_header, lock_inputs, lock_sizes, lock_sources
from nomic_scaffold.formats.environment_yml import NAME as ENVIRONMENT
from nomic_scaffold.formats.lock_check import Finding, Head
from nomic_scaffold.formats.lock_inputs import SCAFFOLD
from nomic_scaffold.formats.pylock_digest import altered, inputs_digest, recorded
from nomic_scaffold.models.lock import (
    SIZES_PATH,
    LockedPackage,
    LockFile,
    LockInputs,
    LockPaths,
    LockSet,
    UnreadableLock,
)
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Accelerator, Platform

PYLOCK = "locks/pylock.toml"
_MARK = "Made by: nomic-scaffold lock"
"""Stands in the first lines of every text that this module writes, and in no file that people write."""
STATE = ".nomic-scaffold"
"""Folder of a project that git ignores."""
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
    """Write the files that differ, in the order given, none before all are made; give the paths that changed."""
    changed = {
        name: text
        for name, text in files.items()
        if derived_text(root / name) != text or b"\r" in (root / name).read_bytes()
    }
    atomic.write_all({root / name: text.encode("utf-8") for name, text in changed.items()})
    return tuple(changed)


def remove(root: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Remove files; give the paths that went."""
    gone = []
    for name in names:
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


def read_locks(root: Path, inputs: Sequence[LockInputs]) -> LockSet:
    """Read the locks and explicit files that a project with these inputs has; what is missing is left out."""
    locks: dict[str, LockFile | UnreadableLock] = {}
    listed: dict[str, tuple[tuple[str, str], ...] | None] = {}
    for accelerator in dict.fromkeys(item.accelerator for item in inputs):
        paths = LockPaths(accelerator=accelerator)
        if (root / paths.lock).exists():
            locks[paths.lock] = read_lock(root / paths.lock, name=paths.lock, accelerator=accelerator)
        for item in inputs:
            if item.accelerator is accelerator:
                for sha256 in (False, True):
                    name = paths.explicit(item.platform, sha256=sha256)
                    listed[name] = explicit.parse(derived_text(root / name) or "")
    return LockSet(locks=locks, explicit=listed if locks else {})


def read_lock(path: Path, *, name: str, accelerator: Accelerator | None = None) -> LockFile | UnreadableLock:
    """Read one lock of any tool; `name` is what messages call it."""
    try:
        return conda_lock.parse(path.read_text(encoding="utf-8"), path=name, accelerator=accelerator)
    except UnicodeDecodeError as error:
        return UnreadableLock(problem=f"is not UTF-8 (byte {error.start})", line=None)
    except OSError as error:
        return UnreadableLock(problem=f"can't be read: {error.strerror}", line=None)
    except InputError as error:
        problem = error.message.partition(": ")[2] or error.message
        return UnreadableLock(problem=problem, line=error.line)


def locked_packages(root: Path, accelerator: Accelerator, platform: Platform) -> tuple[LockedPackage, ...]:
    """Read what a project's lock has for one platform, with sizes; raises InputError when it has nothing for it."""
    name = LockPaths(accelerator=accelerator).lock
    lock = read_lock(root / name, name=name, accelerator=accelerator)
    if isinstance(lock, UnreadableLock):
        raise InputError(lock.problem, path=name, line=lock.line, hint="nomic-scaffold lock")
    packages = lock.on(platform)
    if not packages:
        there = ", ".join((*lock.platforms, *lock.other_platforms)) or "no platform"
        raise InputError(f"has nothing for {platform}, only for {there}", path=name, hint="nomic-scaffold lock")
    sizes = lock_sizes.parse(derived_text(root / SIZES_PATH) or "")
    return tuple(replace(p, size=p.size or sizes.get(p.sha256 or "")) for p in packages)


def fresh_packages(
    root: Path, accelerator: Accelerator, platform: Platform, *, progress: Progress
) -> tuple[LockedPackage, ...]:
    """Read what a project's lock has for one platform, as `locked_packages` does, after seeing that it is fresh.

    Raises StaleLockError when its inputs have changed since.
    """
    lock = LockPaths(accelerator=accelerator).lock
    texts = {name: read_text(root / name) for name in (ENVIRONMENT, SCAFFOLD)}
    inputs = lock_inputs.read(texts[ENVIRONMENT], texts[SCAFFOLD])
    of_it = [item for item in inputs if (item.accelerator, item.platform) == (accelerator, platform)]
    head = read_head(root / lock)
    only = head if isinstance(head, str) else tuple(record for record in head if record.platform == platform)
    for finding in lock_check.compare(of_it, {accelerator: only}, texts):
        match finding.kind:
            case "missing":
                raise InputError(finding.message, path=finding.file, hint="nomic-scaffold lock")
            case "changed":
                raise StaleLockError(
                    finding.message,
                    path=finding.file,
                    line=finding.line,
                    hint="nomic-scaffold lock, then the same command again",
                )
            case "foreign":
                progress.say(f"{lock} was made by another tool; whether it is fresh can't be told")
            case "incomplete":
                progress.say(f"{lock} lacks the pip section of environment.yml; nomic-scaffold lock adds it")
            case "derived":
                pass
    return locked_packages(root, accelerator, platform)


def read_inputs(root: Path) -> tuple[LockInputs, ...]:
    """Read what the locks of the project at `root` are made from; raises InputError with file and line."""
    texts = (read_text(root / ENVIRONMENT), read_text(root / SCAFFOLD))
    return lock_inputs.read(*texts)


def check(root: Path) -> tuple[Finding, ...]:
    """Say why locks are not fresh, without a solve and without a network; empty when they are."""
    texts = {name: read_text(root / name) for name in (ENVIRONMENT, SCAFFOLD)}
    inputs = lock_inputs.read(texts[ENVIRONMENT], texts[SCAFFOLD])
    heads = {name: read_head(root / LockPaths(accelerator=name).lock) for name in accelerators(inputs)}
    digests = {
        name: conda_lock.package_digests(derived_text(root / LockPaths(accelerator=name).lock) or "") for name in heads
    }
    found = list(lock_check.compare(inputs, heads, texts, digests=digests))
    if all(finding.kind == "incomplete" for finding in found):
        found += _derived_findings(root, inputs, heads)
    if not any(finding.kind == "changed" for finding in found):
        found += _leftover_findings(root, inputs, texts[SCAFFOLD])
    requirements, python = lock_inputs.pypi(texts[SCAFFOLD])
    text = derived_text(root / PYLOCK)
    if text is None:
        found.append(Finding(kind="missing", message="is missing", file=PYLOCK, lock=PYLOCK))
    elif recorded(text) != inputs_digest(requirements, python):
        message = f"[pypi] is not what {PYLOCK} was made from"
        line = lock_check.line_with(texts[SCAFFOLD], "[pypi]")
        found.append(Finding(kind="changed", message=message, file=SCAFFOLD, line=line, lock=PYLOCK))
    elif altered(text):
        message = "is not what was resolved: an edit by hand, or a merge conflict"
        found.append(Finding(kind="foreign", message=message, file=PYLOCK, lock=PYLOCK))
    return tuple(found)


def accelerators(inputs: Sequence[LockInputs]) -> tuple[Accelerator, ...]:
    """Give the accelerators in the order of scaffold.toml."""
    return tuple(dict.fromkeys(item.accelerator for item in inputs))


def sources(inputs: Sequence[LockInputs]) -> dict[str, str]:
    """Make the files that tell conda-lock of the variants: path -> text."""
    made = {}
    for accelerator in accelerators(inputs):
        paths = LockPaths(accelerator=accelerator)
        of_it = [item for item in inputs if item.accelerator is accelerator]
        made[paths.environment] = lock_sources.environment(of_it)
        made[paths.virtual_packages] = lock_sources.virtual_packages(of_it)
    return made


def leftovers(root: Path, inputs: Sequence[LockInputs]) -> tuple[str, ...]:
    """Find files of earlier locks, of platforms and variants that scaffold.toml no longer names."""
    wanted = {f"{item.accelerator} {item.platform}" for item in inputs}
    names: list[str] = []
    for accelerator in Accelerator:
        paths = LockPaths(accelerator=accelerator)
        if accelerator not in accelerators(inputs):
            names += [paths.lock, paths.environment, paths.virtual_packages]
        gone = [platform for platform in Platform if f"{accelerator} {platform}" not in wanted]
        names += [paths.explicit(platform, sha256=kind) for platform in gone for kind in (False, True)]
    return tuple(name for name in names if _MARK in (derived_text(root / name) or ""))


def _leftover_findings(root: Path, inputs: Sequence[LockInputs], scaffold: str) -> list[Finding]:
    names = leftovers(root, inputs)
    if not names:
        return []
    more = f" (and {len(names) - 1} more files)" if len(names) > 1 else ""
    message = f"{names[0]}{more} is of a variant or platform that is not named here"
    line = lock_check.line_with(scaffold, "[variants.")
    return [Finding(kind="derived", message=message, file=SCAFFOLD, line=line, lock=names[0])]


def _derived_findings(root: Path, inputs: Sequence[LockInputs], heads: Mapping[Accelerator, Head]) -> list[Finding]:
    """Look at the files that are made from the locks and from scaffold.toml."""
    found = []
    for name, text in sources(inputs).items():
        if derived_text(root / name) != text:
            found.append(Finding(kind="derived", message="is not what scaffold.toml gives", file=name, lock=name))
    records = {
        (accelerator, record.platform): (record.digest, record.packages)
        for accelerator, head in heads.items()
        for record in (() if isinstance(head, str) else head)
    }
    for item in inputs:
        for sha256 in (False, True):
            name = LockPaths(accelerator=item.accelerator).explicit(item.platform, sha256=sha256)
            made = explicit.made_from(derived_text(root / name) or "")
            if made is None or made != records.get((item.accelerator, item.platform)):
                found.append(Finding(kind="derived", message="is not made from the lock", file=name, lock=name))
    return found
