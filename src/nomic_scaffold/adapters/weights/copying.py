"""Copy a file and decide by its hash, on the way, whether the copy may stay."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from nomic_scaffold.adapters.weights.failures import WrongBytesError
from nomic_scaffold.adapters.weights.writing import (
    FreeBytes,
    disk_refusals,
    free_bytes,
    remove,
    require_space,
    write_all,
)
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.weights import OfficialFile

_BLOCK = 1 << 20


def copy_checked(
    source: Path, folder: Path, *, wanted: OfficialFile, progress: Progress, free: FreeBytes = free_bytes
) -> Path:
    """Copy `source` into a new temporary file in `folder`; give that file, whole and checked.

    Raises WrongBytesError (and leaves nothing) when the bytes are not `wanted`'s.
    """
    require_space(folder, wanted.size, free=free)
    with disk_refusals(folder, wanted.size, free=free):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    temporary, digest = Path(name), hashlib.sha256()
    try:
        with (
            os.fdopen(handle, "wb", buffering=0) as out,
            source.open("rb") as into,
            progress.meter(f"copying {wanted.file}", total=wanted.size, unit="bytes") as meter,
        ):
            while block := into.read(_BLOCK):
                digest.update(block)
                write_all(temporary, out, block, missing=wanted.size, free=free)
                meter.advance(len(block))
            with disk_refusals(folder, wanted.size, free=free):
                os.fsync(out.fileno())
        if digest.hexdigest() != wanted.sha256:
            raise WrongBytesError(f"has other bytes (sha256 {digest.hexdigest()})")
    except BaseException:
        remove(temporary)
        raise
    return temporary
