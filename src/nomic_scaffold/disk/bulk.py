"""Hash many files at once: threads, large blocks, one reused buffer for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

_BUFFER = 1 << 20
_BATCH = 256
"""Files handed to a thread at a time: handing over costs as much as hashing a small file."""


def workers() -> int:
    """Say how many threads hash: one for each processor that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def sha256_files(
    paths: Sequence[str], *, advance: Callable[[int], None] | None = None
) -> Iterator[tuple[str, int] | OSError]:
    """Hash files; gives (sha256, bytes read) or the error of each, in the order of `paths`.

    `advance` gets the number of bytes read, from any thread. Links are followed.
    """
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    with ThreadPoolExecutor(workers()) as pool:
        try:
            for results in pool.map(lambda batch: _hash(batch, advance), batches):
                yield from results
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _hash(paths: Sequence[str], advance: Callable[[int], None] | None) -> list[tuple[str, int] | OSError]:
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    results: list[tuple[str, int] | OSError] = []
    told = 0
    for path in paths:
        try:
            digest, size = _one(path, buffer, view)
        except OSError as error:
            results.append(error)
            continue
        results.append((digest, size))
        told += size
        if advance is not None and told >= _BUFFER:
            advance(told)
            told = 0
    if advance is not None and told:
        advance(told)
    return results


def _one(path: str, buffer: bytearray, view: memoryview) -> tuple[str, int]:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if not hasattr(os, "readv"):  # Windows
            with os.fdopen(handle, "rb", buffering=0, closefd=False) as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        count = os.readv(handle, [buffer])
        hasher = hashlib.sha256(view[:count], usedforsecurity=False)
        size = count
        while count:  # a short read may be the end or a signal: only an empty one is the end
            count = os.readv(handle, [buffer])
            hasher.update(view[:count])
            size += count
        return hasher.hexdigest(), size
    finally:
        os.close(handle)
