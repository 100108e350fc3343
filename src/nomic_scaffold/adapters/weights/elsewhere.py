"""Find a model file that another program already keeps on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nomic_scaffold.adapters.weights.copying import copy_checked
from nomic_scaffold.adapters.weights.failures import WrongBytesError
from nomic_scaffold.adapters.weights.store import matches
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.weights import HubSource, OfficialFile


def find_elsewhere(
    wanted: OfficialFile, folder: Path, *, environ: Mapping[str, str], progress: Progress
) -> tuple[Path, str] | None:
    """Copy the wanted file into `folder` from the caches of Hugging Face or GPT4All; give the copy and where it was.

    None when neither has these bytes.
    """
    for place in _places(wanted, environ):
        if place.is_file() and matches(place, wanted, progress):
            try:
                return copy_checked(place, folder, wanted=wanted, progress=progress), str(place)
            except WrongBytesError:
                continue
    return None


def _places(wanted: OfficialFile, environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hub = Path(environ.get("HF_HUB_CACHE") or Path(environ.get("HF_HOME") or cache / "huggingface") / "hub")
    for source in wanted.sources:
        if isinstance(source, HubSource):
            yield hub / f"models--{source.repository.replace('/', '--')}" / "blobs" / wanted.sha256
    yield home / ".cache" / "gpt4all" / wanted.file
