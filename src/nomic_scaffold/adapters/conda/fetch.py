"""Fetch archives from channels into the cache: in parallel, by hash, again when the line drops."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nomic_scaffold.adapters.conda import loop
from nomic_scaffold.adapters.conda.archive import Archives, file_name
from nomic_scaffold.adapters.conda.client import channel_access, open_client, redact
from nomic_scaffold.errors import HashMismatchError, InputError, ScaffoldError, UnavailableError, page
from nomic_scaffold.formats.retry_after import retry_after
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.progress import Progress

if TYPE_CHECKING:
    from rattler.networking import Client

AT_ONCE = 8
_PART = ".fetching-"
_UNREACHED = 2
"""How often to try again what never connected: a network that is down stays so."""
_ASKING = 10.0
"""Seconds to wait for a busy channel's word on how long to wait."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often to try, and how long to wait between."""

    pauses: tuple[float, ...] = (1, 3, 10, 30)
    """Seconds before each further try, where the channel doesn't ask for more."""
    longest: float = 120
    """Seconds to wait at most when a channel asks to."""
    stalled: float = 60
    """Seconds without a byte after which a download is given up and tried again."""


def fetch(
    packages: Iterable[LockedPackage],
    archives: Archives,
    *,
    progress: Progress,
    client: Client | None = None,
    patience: Patience | None = None,
) -> None:
    """Fetch the archives of `packages`, check each against the lock's sha256, keep them.

    Raises HashMismatchError for other bytes than the lock's, UnavailableError when a channel does not give them.
    """
    wanted = sorted(packages, key=lambda p: -(p.size or 0))
    sizes = [p.size for p in wanted]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with progress.meter(f"fetching {len(wanted)} packages", total=total, unit="bytes") as meter:
        run = _Run(archives, client or open_client(retries=0), patience or Patience(), meter.advance, progress.say)
        loop.run(_fetch_all(wanted, run))


@dataclass(frozen=True)
class _Run:
    archives: Archives
    client: Client
    patience: Patience
    advance: Callable[[int], None]
    say: Callable[[str], None]


async def _fetch_all(wanted: list[LockedPackage], run: _Run) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(package: LockedPackage) -> None:
        async with gate:
            await _fetch_one(package, run)

    failed: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for package in wanted:
                group.create_task(one(package))
    except* (ScaffoldError, OSError) as errors:
        failed = _first(errors)  # raised here, Python before 3.11.4 would wrap it in a group again
    if failed is not None:
        raise failed from None


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _fetch_one(package: LockedPackage, run: _Run) -> None:
    """Fetch one archive, while no other process does the same into the same cache."""
    from filelock import FileLock, Timeout

    place = run.archives.place(package)
    place.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(place.parent / "fetching.lock")
    while True:
        try:
            held.acquire(timeout=0)
            break
        except Timeout:
            await asyncio.sleep(0.1)
    try:
        for left in place.parent.glob(f"{_PART}*"):  # of a run that was killed
            left.unlink(missing_ok=True)
        if run.archives.lacking([package]):
            await _try(package, place, run)
        else:  # another process was first
            run.advance(package.size or 0)
    finally:
        held.release()


async def _try(package: LockedPackage, place: Path, run: _Run) -> None:
    unreached = 0
    for pause in (*run.patience.pauses, None):
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=_PART)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                taken = _Taken(file, run.advance)
                await _download(run.client, package, taken, stalled=run.patience.stalled)
                file.flush()
                os.fsync(file.fileno())
            _judge(package, taken)
            part.chmod(0o644)
            part.replace(place)
            return
        except (UnavailableError, HashMismatchError) as error:
            run.advance(-taken.size)
            unreached += "error sending request" in error.message
            if pause is None or unreached > _UNREACHED or _lasting(error, short=taken.short(package)):
                raise
            failed = error
        finally:
            part.unlink(missing_ok=True)
        await asyncio.sleep(max(pause, await _asked(failed, package, run)))


def _lasting(error: ScaffoldError, *, short: bool) -> bool:
    """Say whether another try would end alike."""
    if isinstance(error, HashMismatchError):
        return not short
    return any(sign in error.message for sign in ("(401", "(403", "(404", "(410"))


async def _asked(error: ScaffoldError, package: LockedPackage, run: _Run) -> float:
    """Give the seconds that a busy channel asks to wait, up to a bound; rattler does not hand its answer on."""
    if not any(sign in error.message for sign in ("(429", "(503")):
        return 0
    seconds = await asyncio.to_thread(_retry_after, channel_access(os.environ).resolve(package.url))
    if seconds is None or seconds <= 0:
        return 0
    seconds = min(seconds, run.patience.longest)
    run.say(f"{_source(package)}: the channel is busy and asks to wait; going on in {seconds:.0f} s")
    return seconds


def _retry_after(url: str) -> float | None:
    import http.client
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        return None
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "nomic-scaffold"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ASKING):  # noqa: S310 - the scheme has been looked at
            return None
    except urllib.error.HTTPError as error:
        return retry_after(error.headers.get("Retry-After"))
    except (OSError, ValueError, http.client.HTTPException):
        return None


class _Taken:
    """Where a download goes: a file, a hash and a count."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance
        self.size, self.hash, self.last = 0, hashlib.sha256(), time.monotonic()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:  # rattler would turn it into a text
            self.error = error
            raise
        self.hash.update(data)
        self.size += len(data)
        self.last = time.monotonic()
        self._advance(len(data))
        return len(data)

    def short(self, package: LockedPackage) -> bool:
        return package.size is not None and self.size < package.size


async def _download(client: Client, package: LockedPackage, taken: _Taken, *, stalled: float) -> None:
    from rattler.package_streaming import download_to_writer

    async def download() -> None:  # a task wants a coroutine, and rattler gives a future of its own
        await download_to_writer(client, package.url, taken)

    task = asyncio.create_task(download())
    try:
        while not (await asyncio.wait({task}, timeout=stalled / 4))[0]:
            if time.monotonic() - taken.last > stalled:
                raise UnavailableError(
                    f"{_source(package)} sent nothing for {stalled:g} s",
                    hint=f"check the network or use a mirror: {page('how-to/install.md')}",
                )
        task.result()
    except ScaffoldError:
        raise
    except Exception as error:  # RuntimeError or OSError, both with a text only
        if taken.error is not None:
            raise taken.error from error  # e.g. no space left
        raise UnavailableError(
            f"can't fetch {_source(package)}: {redact(str(error))}",
            hint="check the network, or point NOMIC_SCAFFOLD_MIRRORS or .condarc to a mirror: "
            + page("how-to/install.md"),
        ) from error
    finally:
        task.cancel()


def _judge(package: LockedPackage, taken: _Taken) -> None:
    if taken.hash.hexdigest() != package.sha256:
        raise HashMismatchError(
            f"{_source(package)} is not what the lock pins: {taken.size} bytes with sha256 {taken.hash.hexdigest()}, "
            f"the lock says {package.sha256}",
            hint="a mirror or a proxy altered it, or the channel replaced it; take another mirror, "
            "or lock again: nomic-scaffold lock",
        )


def _source(package: LockedPackage) -> str:
    return redact(package.url)


def without_hash(packages: Iterable[LockedPackage]) -> None:
    """Raise InputError when a package has no sha256: its bytes could be anything."""
    bare = [file_name(p) for p in packages if not p.sha256]
    if bare:
        shown = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
        raise InputError(f"the lock gives no sha256 for {shown}", hint="nomic-scaffold lock")
