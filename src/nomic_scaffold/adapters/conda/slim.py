"""Leave out of a prefix what an image does not need, and record it there."""

from __future__ import annotations

from pathlib import Path

from nomic_scaffold.adapters.conda.signatures import NAME as SIGNATURES
from nomic_scaffold.disk import atomic
from nomic_scaffold.formats.left_out import NAME, PATTERNS, LeftOut, leaves_out


def slim(prefix: Path) -> LeftOut:
    """Remove the files that match `formats.left_out.PATTERNS`, then empty folders; gives what was recorded.

    The record adds up over several calls, so a kill in the middle is mended by calling again.
    """
    record = prefix / NAME
    files = size = 0
    if record.exists():
        earlier = LeftOut.model_validate_json(record.read_bytes())
        files, size = earlier.files, earlier.bytes
    doomed = [
        path
        for path in prefix.rglob("*")
        if (path.is_file() or path.is_symlink()) and leaves_out(PATTERNS, path.relative_to(prefix).as_posix())
    ]
    # Recorded first: a prefix that lacks files always says so.
    left_out = LeftOut(
        patterns=PATTERNS, files=files + len(doomed), bytes=size + sum(path.lstat().st_size for path in doomed)
    )
    atomic.write_text(record, left_out.model_dump_json(indent=1) + "\n")
    # Which file of this disk is which: nothing of it holds in an image, and no two disks give the same.
    (prefix / SIGNATURES).unlink(missing_ok=True)
    folders: set[Path] = set()
    for path in doomed:
        folders.update(path.parents)
        path.unlink()
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        if prefix in folder.parents and not any(folder.iterdir()):
            folder.rmdir()
    return left_out
