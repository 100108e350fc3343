"""Put a checked model file where a project's code looks for it, and look at what lies there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Literal

from nomic_scaffold.adapters.weights.copying import copy_checked
from nomic_scaffold.adapters.weights.store import Store, matches
from nomic_scaffold.adapters.weights.writing import disk_refusals, remove
from nomic_scaffold.disk.hashing import sha256_watched
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats.manifest import wanted_file
from nomic_scaffold.models.evidence import Unavailable, WeightsEvidence
from nomic_scaffold.models.progress import Progress, Silent
from nomic_scaffold.models.spec import ModelPin
from nomic_scaffold.models.weights import OfficialFile

Placed = Literal["present", "link", "copy"]
_SILENT = Silent()
_NO_LINKS = {
    getattr(errno, name)
    for name in ("EXDEV", "EPERM", "EACCES", "EMLINK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
    if hasattr(errno, name)
}


def place(pin: ModelPin, store: Store, destination: Path, *, progress: Progress = _SILENT) -> Placed:
    """Give `destination` the pinned file out of the store, hashed before use.

    Raises UnavailableError when the store has no such file or only a damaged one.
    """
    wanted = wanted_file(pin, ())
    stored = store.verified(wanted, progress)
    if stored is None:
        raise UnavailableError(
            f"{pin.file} (sha256 {pin.sha256[:12]}...) is not in the store {store.root}",
            hint="nomic-scaffold weights pull",
        )
    return place_checked(stored, destination, wanted=wanted, progress=progress)


def place_checked(stored: Path, destination: Path, *, wanted: OfficialFile, progress: Progress) -> Placed:
    """Link, or else copy, a file that was just hashed; what already lies there and is right stays."""
    if destination.exists() and (destination.samefile(stored) or matches(destination, wanted, progress)):
        return "present"
    folder = destination.parent
    with disk_refusals(folder, wanted.size):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(folder.stat().st_mode | 0o055)  # whatever the umask: it is mounted for a container's user
        temporary = _linked(stored, folder)
    placed: Placed = "link"
    if temporary is None:
        placed = "copy"
        temporary = copy_checked(stored, folder, wanted=wanted, progress=progress)
    try:
        with disk_refusals(folder, wanted.size):
            temporary.chmod(0o444)
            if os.name == "nt":
                remove(destination)
            temporary.replace(destination)
    except BaseException:
        remove(temporary)
        raise
    return placed


def _linked(stored: Path, folder: Path) -> Path | None:
    """Link `stored` under a temporary name; None where the file systems can't."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()
    try:
        os.link(stored, temporary)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return None
        raise
    return temporary


def inspect(path: Path, pin: ModelPin, *, progress: Progress = _SILENT) -> WeightsEvidence | Unavailable:
    """Look at the model file as it lies on disk; Unavailable when it is there and can't be read."""
    try:
        size = path.stat().st_size
        with progress.meter(f"checking {pin.file}", total=size, unit="bytes") as meter:
            return WeightsEvidence(file=pin.file, size=size, sha256=sha256_watched(path, meter.advance))
    except FileNotFoundError:
        return WeightsEvidence(file=pin.file, size=None, sha256=None)
    except OSError as error:
        return Unavailable(unavailable=f"{path} can't be read: {error.strerror}")
