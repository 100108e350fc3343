"""Judge any conda-lock file, ours or another tool's, by what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.formats.builds import accelerator_of
from nomic_scaffold.formats.lock_check import Finding
from nomic_scaffold.formats.lock_url import REACHABLE, has_credentials, holds_credentials, scheme
from nomic_scaffold.formats.names import pypi_name
from nomic_scaffold.models.lock import LockedPackage, LockFile, LockPaths, LockSet, UnreadableLock
from nomic_scaffold.models.report import CheckResult, Place, Status
from nomic_scaffold.models.variant import Accelerator

CUDA_LIBRARY = re.compile(
    r"^(cuda-|libcu(blas|fft|rand|solver|sparse|dss|file)|cudnn|libcudnn|nccl|cuda$|libnvjitlink)"
)
_PYTHON_BUILD = re.compile(r"(^|_)(py\d|pyh|cp\d)")
_HEX = {"md5": re.compile(r"[0-9a-f]{32}"), "sha256": re.compile(r"[0-9a-f]{64}")}
_SHOWN = 3
AGAIN = "nomic-scaffold lock --fresh"

Look = Callable[[LockFile], Iterator[str]]
"""Gives one phrase for each thing that is wrong."""


def check_lock(locks: LockSet, findings: Sequence[Finding] | None) -> tuple[CheckResult, ...]:
    """Judge locks; `findings` say why they are not fresh, None when there is nothing that they were made from."""
    readable = {path: lock for path, lock in locks.locks.items() if isinstance(lock, LockFile)}
    results = [_read(locks)]
    if findings is not None:
        results.append(_fresh(findings))
    for code, look, hint in _LOOKS:
        problems = [(path, problem) for path, lock in readable.items() for problem in look(lock)]
        results.append(_result(code, problems, hint) if readable else code.result(Status.UNKNOWN, "no lock to look at"))
    if locks.explicit:
        results.append(_result(codes.LCK_EXPLICIT, list(_explicit(locks, readable)), "nomic-scaffold lock"))
    return tuple(results)


def _read(locks: LockSet) -> CheckResult:
    broken = {path: lock for path, lock in locks.locks.items() if isinstance(lock, UnreadableLock)}
    if not locks.locks:
        return codes.LCK_READ.result(Status.UNKNOWN, "there is no lock", hint="nomic-scaffold lock")
    for path, lock in broken.items():
        place = Place(file=path, line=lock.line)
        return codes.LCK_READ.result(Status.FAIL, f"{path}: {lock.problem}", hint="nomic-scaffold lock", place=place)
    return codes.LCK_READ.result(Status.PASS, ", ".join(locks.locks))


def _fresh(findings: Sequence[Finding]) -> CheckResult:
    if not findings:
        return codes.LCK_FRESH.result(Status.PASS)
    first = min(findings, key=lambda finding: finding.kind == "incomplete")
    status = Status.WARN if first.kind == "incomplete" else Status.FAIL
    more = f"; and {len(findings) - 1} more" if len(findings) > 1 else ""
    place = Place(file=first.file, line=first.line)
    return codes.LCK_FRESH.result(status, f"{first}{more}", hint="nomic-scaffold lock", place=place)


def _result(code: Code, problems: Sequence[tuple[str, str]], hint: str) -> CheckResult:
    if not problems:
        return code.result(Status.PASS)
    phrases = [f"{path}: {problem}" for path, problem in problems]
    more = f"; and {len(phrases) - _SHOWN} more" if len(phrases) > _SHOWN else ""
    detail = "; ".join(phrases[:_SHOWN]) + more
    return code.result(Status.FAIL, detail, hint=hint, place=Place(file=problems[0][0]))


def _hashes(lock: LockFile) -> Iterator[str]:
    for package in lock.every_package:
        wanted = ("md5", "sha256") if package.manager == "conda" else ("sha256",)
        for kind in wanted:
            value: str | None = getattr(package, kind)
            if not value:
                yield f"{_named(package)} has no {kind}"
            elif not _HEX[kind].fullmatch(value):
                yield f"{_named(package)} has the {kind} {value!r}, which is none"


def _emptied(lock: LockFile) -> Iterator[str]:
    for package in lock.every_package:
        python = package.name == "python" or bool(_PYTHON_BUILD.search(package.build or ""))
        if package.manager == "conda" and python and not package.depends and package.name != "python_abi":
            yield f"{_named(package)} depends on nothing"


def _gaps(lock: LockFile) -> Iterator[str]:
    for platform in lock.every_platform:
        packages = [package for package in lock.on(platform) if package.manager == "conda"]
        there = {package.name for package in packages}
        for package in packages:
            for depend in package.depends:
                name = depend.partition(" ")[0].lower()
                if not name.startswith("__") and name not in there:
                    yield f"{_named(package)} depends on {name}, which is not locked"


def _platforms(lock: LockFile) -> Iterator[str]:
    if not lock.every_platform:
        yield "names no platform"
    for platform in lock.every_platform:
        if not any(package.manager == "conda" for package in lock.on(platform)):
            yield f"{platform} has no packages"
    for name in sorted({package.platform for package in lock.every_package} - set(lock.every_platform)):
        yield f"has packages for {name}, which it does not name"


def _doubles(lock: LockFile) -> Iterator[str]:
    seen: dict[tuple[str, str, str], LockedPackage] = {}
    for package in lock.every_package:
        first = seen.setdefault((package.platform, package.manager, package.name), package)
        if (first.version, first.url) != (package.version, package.url):
            yield f"{_named(first)} and {package.version} {package.build or ''}".rstrip()


def _both(lock: LockFile) -> Iterator[str]:
    for platform in lock.every_platform:
        packages = lock.on(platform)
        conda = {
            pypi_name(package.name): package for package in packages if package.manager == "conda" and _py(package)
        }
        for package in packages:
            other = conda.get(pypi_name(package.name)) if package.manager == "pip" else None
            if other is not None:
                yield f"{platform}: {package.name} {package.version} by pip, {other.name} {other.version} by conda"


def _py(package: LockedPackage) -> bool:
    names = {depend.partition(" ")[0] for depend in package.depends}
    return bool(names & {"python", "python_abi"}) or bool(_PYTHON_BUILD.search(package.build or ""))


def _unreachable(lock: LockFile) -> Iterator[str]:
    for package in lock.every_package:
        if scheme(package.url) not in REACHABLE:
            yield f"{_named(package)} is at {scheme(package.url) or 'a path'}"
    for channel in lock.channels:
        if scheme(channel) not in REACHABLE and ("://" in channel or channel.startswith(("/", ".", "~"))):
            yield f"the channel {channel}"


def _secrets(lock: LockFile) -> Iterator[str]:
    # The secret itself is never shown: reports are shared too.
    for channel in lock.channels:
        if has_credentials(channel):
            yield "a channel's address holds a login"
    told = [channel for channel in lock.channels if has_credentials(channel)]
    for number, line in lock.outside:
        if holds_credentials(line) and not any(channel in line for channel in told):
            yield f"line {number} holds an address with a login"
    for package in lock.every_package:
        if has_credentials(package.url):
            yield f"the address of {_named(package)} holds a login"


def _mixture(lock: LockFile) -> Iterator[str]:
    for package in lock.every_package:
        if package.manager != "conda":
            continue
        found = accelerator_of(package)
        if found is not None and found is not lock.accelerator:
            yield f"{_named(package)} is a {found.upper()} build in a {lock.accelerator.upper()} lock"
        elif lock.accelerator is Accelerator.CPU and CUDA_LIBRARY.match(package.name):
            yield f"{_named(package)} is for CUDA"


def _elsewhere(lock: LockFile) -> Iterator[str]:
    for package in lock.every_package:
        if package.manager != "conda":
            continue
        subdir = package.url.partition("#")[0].rpartition("/")[0].rpartition("/")[2]
        if subdir not in (package.platform, "noarch"):
            yield f"{_named(package)} comes from {subdir or 'nowhere'}"


def _explicit(locks: LockSet, readable: dict[str, LockFile]) -> Iterator[tuple[str, str]]:
    for path, rows in locks.explicit.items():
        for lock in readable.values():
            for platform in lock.platforms:
                for kind in ("md5", "sha256"):
                    paths = LockPaths(accelerator=lock.accelerator)
                    if paths.explicit(platform, sha256=kind == "sha256") != path:
                        continue
                    packages = [package for package in lock.on(platform) if package.manager == "conda"]
                    if rows is None:
                        yield path, "is missing or can't be read"
                    elif set(rows) != {(package.url, getattr(package, kind)) for package in packages}:
                        yield path, "does not list the packages of the lock"


def _named(package: LockedPackage) -> str:
    return " ".join(part for part in (f"{package.platform}:", package.name, package.version, package.build) if part)


_LOOKS: tuple[tuple[Code, Look, str], ...] = (
    (codes.LCK_HASHES, _hashes, AGAIN),
    (codes.LCK_EMPTY, _emptied, AGAIN),
    (codes.LCK_CLOSED, _gaps, AGAIN),
    (codes.LCK_PLATFORMS, _platforms, AGAIN),
    (codes.LCK_ONE, _doubles, AGAIN),
    (codes.LCK_MANAGERS, _both, "take one of the two out of environment.yml, then nomic-scaffold lock"),
    (codes.LCK_REACHABLE, _unreachable, "name the channel by its https address in environment.yml"),
    (codes.LCK_SECRETS, _secrets, "put logins into ~/.netrc or the keyring, lock again, and renew those that leaked"),
    (codes.LCK_MIX, _mixture, "pin the build in [variants] of scaffold.toml, then nomic-scaffold lock"),
    (codes.LCK_PLACE, _elsewhere, AGAIN),
)


def names(results: Iterable[CheckResult]) -> tuple[str, ...]:
    """Give the codes that failed."""
    return tuple(result.code for result in results if result.status is Status.FAIL)
