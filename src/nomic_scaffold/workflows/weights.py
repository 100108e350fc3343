"""The order of steps of `weights pull`, `verify`, `add` and `list`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nomic_scaffold.adapters import weights
from nomic_scaffold.adapters.project import read_spec, weights_path
from nomic_scaffold.checks.weights import check_weights
from nomic_scaffold.errors import HashMismatchError
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.weights import OfficialFile, PulledWeights, StoredFile, StoreListing, VerifiedWeights


def pull(root: Path, *, offline: bool, progress: Progress) -> PulledWeights:
    """Bring the pinned file, and what it needs beside it, into the store and into the project at `root`.

    Raises UnavailableError, HashMismatchError (see `adapters.weights.fetch`), InputError for a pin that can't be.
    """
    spec = read_spec(root)
    done, *others = weights.bring(spec.model, weights_path(root, spec), offline=offline, progress=progress)
    return done.model_copy(update={"beside": tuple(other.path for other in others)})


def add(place: Path, root: Path | None, *, progress: Progress) -> PulledWeights:
    """Take the pinned file (without a project: any that the tool knows) from a file or folder of people's own."""
    store = weights.open_store()
    if root is None:
        every = tuple(file for manifest in weights.read_manifests() for file in manifest.files)
        wanted, fetched = weights.add(place, every, store, progress=progress)
        return weights.pulled(wanted, fetched.path, source=fetched.source, placed="store")
    spec = read_spec(root)
    places = weights.places(spec.model, weights_path(root, spec))
    done = _take(place, places, store, progress=progress)
    if place.is_dir():
        with suppress(HashMismatchError):  # the folder need not hold them all
            while places:
                _take(place, places, store, progress=progress)
    for file, path in places.items():
        if not path.is_file():
            progress.say(f"{file.file} is needed too: nomic-scaffold weights pull, or weights add FILE")
    return done


def _take(place: Path, places: dict[OfficialFile, Path], store: weights.Store, *, progress: Progress) -> PulledWeights:
    """Take one of the wanted files and put it into its place; it is wanted no more."""
    wanted, fetched = weights.add(place, tuple(places), store, progress=progress)
    path = places.pop(wanted)
    placed = weights.place_checked(fetched.path, path, wanted=wanted, progress=progress)
    return weights.pulled(wanted, path, source=fetched.source, placed=placed)


def verify(root: Path, *, progress: Progress) -> VerifiedWeights:
    """Hash the project's model file and hold it against the pin."""
    spec = read_spec(root)
    path = weights_path(root, spec)
    evidence = weights.inspect(path, spec.model, progress=progress)
    results = check_weights(spec.model, evidence, known=weights.known_files())
    return VerifiedWeights(path=str(path), results=results)


def listing(root: Path | None) -> StoreListing:
    """List the store, unread, and mark what the project at `root` pins."""
    pin = None if root is None else read_spec(root).model.sha256
    store, known = weights.open_store(), weights.known_files()
    return StoreListing(
        store=str(store.root),
        pin=pin,
        files=tuple(
            StoredFile(
                file=entry.path.name,
                path=str(entry.path),
                size=entry.size,
                sha256=entry.sha256,
                what=known.get(entry.sha256),
                pinned=entry.sha256 == pin,
                partial=entry.partial,
            )
            for entry in store.entries()
        ),
    )
