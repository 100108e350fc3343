"""Bring the file that a project pins, and what it needs beside it, into the store and into the project."""

from __future__ import annotations

from pathlib import Path

from nomic_scaffold.adapters.weights.fetch import fetch
from nomic_scaffold.adapters.weights.known import read_manifests
from nomic_scaffold.adapters.weights.place import place_checked
from nomic_scaffold.adapters.weights.store import Store, adopt, open_store
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.manifest import beside, wanted_file
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ModelPin
from nomic_scaffold.models.weights import OfficialFile, PulledWeights


def bring(pin: ModelPin, destination: Path, *, offline: bool, progress: Progress) -> tuple[PulledWeights, ...]:
    """Have the pinned file at `destination`, checked by hash, and the files that it needs in the same folder.

    Raises UnavailableError, HashMismatchError (see `fetch`), InputError for a pin that can't be.
    """
    store = open_store()
    return tuple(
        _bring(file, store, path, offline=offline, progress=progress) for file, path in places(pin, destination).items()
    )


def places(pin: ModelPin, destination: Path) -> dict[OfficialFile, Path]:
    """Say where the pinned file goes, and what it needs beside it.

    Raises InputError when the pinned size is not that of the file with this sha256.
    """
    manifests = read_manifests()
    wanted = wanted_file(pin, manifests)
    if wanted.size != pin.size:
        raise InputError(
            f"model.size: {pin.size} is not the size of the file with sha256 {pin.sha256}",
            path="scaffold.toml",
            hint=f"write size = {wanted.size}",
        )
    return {wanted: destination, **{file: destination.with_name(file.file) for file in beside(pin, manifests)}}


def _bring(
    wanted: OfficialFile, store: Store, destination: Path, *, offline: bool, progress: Progress
) -> PulledWeights:
    if destination.is_file() and adopt(destination, wanted, store, progress):
        return pulled(wanted, destination, source="the project", placed="present")
    fetched = fetch(wanted, store, progress=progress, offline=offline)
    placed = place_checked(fetched.path, destination, wanted=wanted, progress=progress)
    told = pulled(wanted, destination, source=fetched.source, placed=placed)
    return told.model_copy(update={"failed": fetched.failed})


def pulled(wanted: OfficialFile, path: Path, *, source: str, placed: str) -> PulledWeights:
    """Tell where a file is now, and where it came from."""
    return PulledWeights.model_validate(
        {
            "file": wanted.file,
            "path": str(path),
            "size": wanted.size,
            "sha256": wanted.sha256,
            "source": source,
            "placed": placed,
        }
    )
