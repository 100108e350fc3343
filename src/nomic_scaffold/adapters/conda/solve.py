"""Solve variants with py-rattler, in this process, all at once; no conda executable and no GPU is needed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nomic_scaffold.adapters.conda import explain, loop
from nomic_scaffold.adapters.conda.client import open_client, redact
from nomic_scaffold.adapters.conda.repodata import Source, address
from nomic_scaffold.errors import InputError, ScaffoldError, UnavailableError, UnsolvableError, page
from nomic_scaffold.formats.lock_url import without_credentials
from nomic_scaffold.models.lock import LockedPackage, LockInputs, Requirement
from nomic_scaffold.models.progress import Meter, Progress

if TYPE_CHECKING:
    from rattler import Gateway, MatchSpec, RepoDataRecord

_SPEC = re.compile(r"^([A-Za-z0-9_.-]+)\s*(.*)$")

TIMEOUT = 300.0
"""Seconds for channels and solves together."""
_TELL = 10.0
"""Seconds after which people are told what is waited for."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One variant to solve."""

    inputs: LockInputs
    keep: tuple[LockedPackage, ...] = ()
    """Packages of an older lock that stay where they still fit."""
    upgrade: tuple[str, ...] = ()
    """Names that are to be as new as can be; `keep` holds none of them."""
    exclude_newer: date | None = None
    """The last day whose packages are looked at."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What one variant's solve gave."""

    inputs: LockInputs
    packages: tuple[LockedPackage, ...]
    seconds: float
    """Spent inside rattler."""


def solver_version() -> str:
    """Name the solver as locks record it."""
    import rattler

    return f"py-rattler/{rattler.__version__}"


def solve(
    requests: Sequence[Request], *, source: Source, progress: Progress, timeout: float = TIMEOUT
) -> tuple[Solution, ...]:
    """Solve every request, in order.

    Raises UnsolvableError, UnavailableError (also when nothing is done within `timeout` seconds), or InputError for a
    requirement that is no match spec.
    """
    for request in requests:
        _specs(request.inputs.requirements)
    for note in source.access.notes:
        progress.say(note)
    with progress.meter("solving", total=len(requests), unit="steps") as meter:
        return loop.run(_all(requests, source, meter, progress, timeout))


_kept: dict[str, Gateway] = {}
"""The gateway of the last solve: to forget its records takes a while, and the process ends soon."""


async def _all(
    requests: Sequence[Request], source: Source, meter: Meter, progress: Progress, timeout: float
) -> tuple[Solution, ...]:
    channels = {channel for request in requests for channel in request.inputs.channels}
    _kept["gateway"] = gateway = _gateway(source, channels)

    async def one(request: Request) -> Solution:
        started = time.perf_counter()
        records = await _one(request, gateway, source)
        seconds = time.perf_counter() - started
        meter.advance(1)
        packages = tuple(_package(record, request.inputs) for record in records)
        return Solution(inputs=request.inputs, packages=packages, seconds=seconds)

    tasks = [asyncio.create_task(one(request)) for request in requests]
    try:
        await _patiently(tasks, requests, source, progress, timeout)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    unsolved = [end for end in ends if isinstance(end, _NoSolution)]
    if unsolved:
        first = unsolved[0]
        progress.say(f"{first.request.inputs.id} has no solution; looking for the requirement that is to blame")
        culprits = await _culprits(first.request, gateway, source)
        raise _unsolvable(unsolved, culprits) from first
    failed = [end for end in ends if isinstance(end, BaseException)]
    if failed:
        # Requests that waited for another one's download only say that it failed.
        raise min(failed, key=lambda error: "coalesced" in str(error))
    return tuple(end for end in ends if isinstance(end, Solution))


async def _patiently(
    tasks: Sequence[asyncio.Task[Solution]],
    requests: Sequence[Request],
    source: Source,
    progress: Progress,
    timeout: float,
) -> None:
    """Wait for all, tell what is waited for, and end with UnavailableError after `timeout` seconds."""
    waited = 0.0
    while True:
        step = min(_TELL, timeout - waited)
        _, pending = await asyncio.wait(tasks, timeout=max(step, 0.0))
        if not pending:
            return
        waited += step
        inputs = next(request.inputs for task, request in zip(tasks, requests, strict=True) if task in pending)
        tried = _tried(inputs, source)
        if waited >= timeout:
            raise UnavailableError(
                f"{inputs.id}: no answer from {tried} within {timeout:g} s",
                hint=f"try again, take longer (--timeout), or set a mirror: {page('how-to/locks.md')}",
            )
        progress.say(f"still waiting for {tried} ({waited:.0f} s)")


def _gateway(source: Source, channels: Iterable[str]) -> Gateway:
    from rattler import Gateway, SourceConfig

    # `force-cache-only` takes records of any age: offline there are none that are newer.
    config = SourceConfig(cache_action="force-cache-only" if source.offline else "cache-or-fetch")
    return Gateway(cache_dir=source.cache, default_config=config, client=open_client(source.for_channels(channels)))


async def _one(request: Request, gateway: Gateway, source: Source) -> list[RepoDataRecord]:
    extra: list[str] = []
    if request.upgrade:
        # As new as can be is what a solve gives that keeps nothing; then everything else stays as far as it can.
        newest = await _run(request, gateway, source, keep=[], extra=[])
        chosen = {record.name.normalized: record for record in newest}
        extra = [f"{name} =={chosen[name].version} {chosen[name].build}" for name in request.upgrade if name in chosen]
    keep = await _known(request, gateway, source) if request.keep else []
    return await _run(request, gateway, source, keep=keep, extra=extra)


async def _run(
    request: Request,
    gateway: Gateway,
    source: Source,
    *,
    keep: list[RepoDataRecord],
    extra: list[str],
    without: Requirement | None = None,
) -> list[RepoDataRecord]:
    import rattler
    from rattler import MatchSpec
    from rattler.exceptions import SolverError

    inputs = request.inputs
    wanted = [item for item in inputs.requirements if item is not without]
    specs = [*_specs(wanted), *(MatchSpec(text, strict=False) for text in extra)]
    cutoff = request.exclude_newer
    try:
        return await rattler.solve(
            [address(channel) for channel in inputs.channels],
            specs,
            gateway=gateway,
            platforms=[str(inputs.platform), "noarch"],  # type: ignore[list-item]
            locked_packages=keep,
            virtual_packages=_virtual_packages(inputs),
            exclude_newer=_end_of(cutoff) if cutoff else None,
        )
    except SolverError as error:
        raise _NoSolution(request, str(error)) from error
    except (ScaffoldError, asyncio.CancelledError, KeyboardInterrupt):
        raise
    except Exception as error:  # rattler's exceptions have no common base
        raise _unavailable(inputs, source, error) from error


async def _known(request: Request, gateway: Gateway, source: Source) -> list[RepoDataRecord]:
    """Find the channel's own records of the packages to keep; what the channel no longer has can't be kept."""
    from rattler import MatchSpec

    inputs = request.inputs
    # rattler prefers a kept record even where the requirement names another channel.
    elsewhere = {
        str(spec.name.normalized): spec.channel.base_url.rstrip("/") + "/"
        for spec in _specs(inputs.requirements)
        if spec.name is not None and spec.channel is not None
    }
    kept = [
        package
        for package in request.keep
        if package.manager == "conda" and package.url.startswith(elsewhere.get(package.name, ""))
    ]
    urls = {package.url for package in kept}
    try:
        found = await gateway.query(
            [address(channel) for channel in inputs.channels],
            [str(inputs.platform), "noarch"],  # type: ignore[list-item]
            [MatchSpec(f"{package.name} =={package.version} {package.build}", strict=False) for package in kept],
            recursive=False,
        )
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except Exception as error:  # rattler's exceptions have no common base
        raise _unavailable(inputs, source, error) from error
    return [record for records in found for record in records if without_credentials(record.url) in urls]


async def _culprits(request: Request, gateway: Gateway, source: Source) -> tuple[Requirement, ...]:
    """Find the requirements without which the rest can be solved."""

    async def helps(requirement: Requirement) -> bool:
        try:
            await _run(request, gateway, source, keep=[], extra=[], without=requirement)
        except _NoSolution:
            return False
        return True

    requirements = request.inputs.requirements
    answers = await asyncio.gather(*(helps(requirement) for requirement in requirements))
    return tuple(requirement for requirement, yes in zip(requirements, answers, strict=True) if yes)


class _NoSolution(Exception):  # noqa: N818 - never leaves this module
    """rattler found that one request can't be met."""

    def __init__(self, request: Request, explanation: str) -> None:
        super().__init__(explanation)
        self.request, self.explanation = request, explanation


def _unsolvable(unsolved: Sequence[_NoSolution], culprits: tuple[Requirement, ...]) -> UnsolvableError:
    request, explanation = unsolved[0].request, unsolved[0].explanation
    inputs = request.inputs
    blamed = culprits or explain.named(explanation, inputs.requirements)
    places = ", ".join(f"{item.text!r} ({item.file}{f':{item.line}' if item.line else ''})" for item in blamed)
    cut = f" among packages up to {request.exclude_newer}" if request.exclude_newer else ""
    others = f" (nor have {len(unsolved) - 1} more variants)" if len(unsolved) > 1 else ""
    message = f"{inputs.id} has no solution{cut}{others}: {explain.sentence(explanation)}"
    if culprits:
        hint = f"without {places} the rest can be solved: loosen {'it' if len(culprits) == 1 else 'one of them'}"
    else:
        hint = f"look at {places}" if places else "loosen a requirement in environment.yml"
    return UnsolvableError(message, hint=f"{hint}; all of the solver's words: nomic-scaffold -v lock")


def _unavailable(inputs: LockInputs, source: Source, error: Exception) -> UnavailableError:
    tried = _tried(inputs, source)
    reason = " ".join(redact(str(error)).split())
    if source.offline:
        return UnavailableError(
            f"{inputs.platform}: no package records in {tried}: {reason}",
            hint="run it once without --offline, or pass --repodata DIR",
        )
    return UnavailableError(
        f"{inputs.platform}: could not read the channel at {tried}: {reason}",
        hint="try again, use what the cache has (nomic-scaffold --offline lock), or set a mirror: "
        + page("how-to/locks.md"),
    )


def _tried(inputs: LockInputs, source: Source) -> str:
    return ", ".join(dict.fromkeys(source.tried(channel) for channel in inputs.channels))


def _specs(requirements: Sequence[Requirement]) -> list[MatchSpec]:
    """Read requirements as match specs, in an order that does not depend on the file's."""
    from rattler import MatchSpec

    specs = []
    for item in sorted(requirements, key=lambda item: (item.text, item.file)):
        try:
            specs.append(MatchSpec(item.text, strict=False))
        except Exception as error:  # rattler's exceptions have no common base
            raise InputError(
                f"{item.text!r} is no match spec: {error}",
                path=item.file,
                line=item.line,
                hint="write e.g. - numpy >=2",
            ) from error
    return specs


def _virtual_packages(inputs: LockInputs) -> list[Any]:
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    return [
        GenericVirtualPackage(PackageName(item.name), Version(item.version), BuildString(item.build))
        for item in inputs.virtual_packages
    ]


def _end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, microseconds=-1000)


def _package(record: RepoDataRecord, inputs: LockInputs) -> LockedPackage:
    if record.sha256 is None or record.md5 is None:
        raise InputError(
            f"{without_credentials(record.url)} has no {'md5' if record.sha256 else 'sha256'} in its channel",
            hint="ask the channel's owners to index it with hashes; nothing is locked without them",
        )
    return LockedPackage(
        name=record.name.normalized,
        version=str(record.version),
        manager="conda",
        platform=inputs.platform,
        url=without_credentials(record.url),
        sha256=record.sha256.hex(),
        md5=record.md5.hex(),
        depends=_depends(record.depends),
        size=record.size,
        build=str(record.build),
    )


def _depends(written: Sequence[str]) -> tuple[str, ...]:
    """Give `name version` as conda-lock keeps it: no build strings, one line for a name."""
    merged: dict[str, list[str]] = {}
    for text in written:
        match = _SPEC.match(text.partition("[")[0].strip())
        name, rest = (match[1].lower(), match[2] or "") if match else (text, "")
        version = rest.split(" ")[0]
        versions = merged.setdefault(name, [])
        if version and version not in versions:
            versions.append(version)
    return tuple(f"{name} {','.join(versions)}".strip() for name, versions in sorted(merged.items()))
