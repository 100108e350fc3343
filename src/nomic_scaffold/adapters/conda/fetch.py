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

from nomic_scaffold.adapters.conda.archive import Archives, file_name
from nomic_scaffold.adapters.conda.client import open_client, redact
from nomic_scaffold.errors import HashMismatchError, InputError, ScaffoldError, UnavailableError
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.progress import Progress

if TYPE_CHECKING:
    from rattler.networking import Client

AT_ONCE = 8
_STALLED = 60.0
"""Seconds without a byte after which a download is given up and tried again."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often to try, and how long to wait between."""

    pauses: tuple[float, ...] = (1, 3, 10, 30)
    """Seconds before each further try. Channels that limit rates ask for some seconds; rattler does not hand their
    Retry-After on, so the pauses grow past what they usually ask for."""


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
        asyncio.run(_fetch_all(wanted, archives, client or open_client(), patience or Patience(), meter.advance))


async def _fetch_all(
    wanted: list[LockedPackage],
    archives: Archives,
    client: Client,
    patience: Patience,
    advance: Callable[[int], None],
) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(package: LockedPackage) -> None:
        async with gate:
            await _fetch_one(package, archives, client, patience, advance)

    try:
        async with asyncio.TaskGroup() as group:
            for package in wanted:
                group.create_task(one(package))
    except* (ScaffoldError, OSError) as errors:
        raise _first(errors) from None
    finally:
        await asyncio.sleep(0.05)  # py-rattler can crash the interpreter when a loop closes under it


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _fetch_one(
    package: LockedPackage, archives: Archives, client: Client, patience: Patience, advance: Callable[[int], None]
) -> None:
    place = archives.place(package)
    place.parent.mkdir(parents=True, exist_ok=True)
    for pause in (*patience.pauses, None):
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=".fetching-")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                taken = _Taken(file, advance)
                await _download(client, package, taken)
                file.flush()
                os.fsync(file.fileno())
            _judge(package, taken)
            part.chmod(0o644)
            part.replace(place)
            return
        except (UnavailableError, HashMismatchError) as error:
            advance(-taken.size)
            if pause is None or _lasting(error, short=taken.short(package)):
                raise
            await asyncio.sleep(pause)
        finally:
            part.unlink(missing_ok=True)


def _lasting(error: ScaffoldError, *, short: bool) -> bool:
    """Say whether another try would end alike; rattler itself has tried again what never connected."""
    if isinstance(error, HashMismatchError):
        return not short
    return any(sign in error.message for sign in ("(401", "(403", "(404", "(410", "Request failed after"))


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


async def _download(client: Client, package: LockedPackage, taken: _Taken) -> None:
    from rattler.package_streaming import download_to_writer

    async def download() -> None:  # a task wants a coroutine, and rattler gives a future of its own
        await download_to_writer(client, package.url, taken)

    task = asyncio.create_task(download())
    try:
        while not (await asyncio.wait({task}, timeout=_STALLED / 4))[0]:
            if time.monotonic() - taken.last > _STALLED:
                raise UnavailableError(
                    f"{_source(package)} sent nothing for {_STALLED:.0f} s",
                    hint="check the network or use a mirror: docs/how-to/install.md",
                )
        task.result()
    except ScaffoldError:
        raise
    except Exception as error:  # RuntimeError or OSError, both with a text only
        if taken.error is not None:
            raise taken.error from error  # e.g. no space left
        raise UnavailableError(
            f"can't fetch {_source(package)}: {redact(str(error))}",
            hint="check the network, or point NOMIC_SCAFFOLD_MIRRORS or .condarc to a mirror: docs/how-to/install.md",
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
