"""Get a model file into the store: try its sources in order, believe none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from nomic_scaffold.adapters.weights.elsewhere import find_elsewhere
from nomic_scaffold.adapters.weights.failures import SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.http import Patience, Remote, download, open_session
from nomic_scaffold.adapters.weights.pypi_parts import fetch_parts
from nomic_scaffold.adapters.weights.store import Store
from nomic_scaffold.adapters.weights.writing import disk_refusals, require_space
from nomic_scaffold.errors import HashMismatchError, ScaffoldError, UnavailableError
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.weights import Attempt, HubSource, OfficialFile, PypiPartsSource, Source, UrlSource

if TYPE_CHECKING:
    from requests import PreparedRequest
    from requests.auth import AuthBase

PATIENCE = Patience()
_HUB = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file of the store, just hashed, and where it came from."""

    path: Path
    source: str
    failed: tuple[Attempt, ...] = ()


def fetch(
    wanted: OfficialFile,
    store: Store,
    *,
    progress: Progress,
    offline: bool = False,
    environ: Mapping[str, str] | None = None,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Give the wanted file out of the store, fetched first when it is not there.

    Raises UnavailableError when no source could be reached, HashMismatchError when one gave other bytes and none gave
    the right ones.
    """
    environ = os.environ if environ is None else environ
    stored = store.verified(wanted, progress, tell=False)  # below it is looked at again
    if stored is not None:
        return Fetched(path=stored, source="the store")
    with store.lock(wanted.sha256, progress):
        # Another process may have brought it while this one waited.
        stored = store.verified(wanted, progress)
        if stored is not None:
            return Fetched(path=stored, source="the store")
        copied = find_elsewhere(wanted, store.partial(wanted.sha256), environ=environ, progress=progress)
        if copied is not None:
            whole, where = copied
            return Fetched(path=_admit(store, whole, wanted), source=where)
        if offline:
            raise _not_offline(wanted, store)
        return _from_sources(wanted, store, environ=environ, progress=progress, patience=patience)


def _from_sources(
    wanted: OfficialFile, store: Store, *, environ: Mapping[str, str], progress: Progress, patience: Patience
) -> Fetched:
    failed: list[Attempt] = []
    folder = store.partial(wanted.sha256)
    for source in wanted.sources:
        name = name_of(source)
        progress.say(f"fetching {wanted.file} ({wanted.size / 1e6:.0f} MB) from {name}")
        try:
            with disk_refusals(store.root, wanted.size):
                folder.mkdir(parents=True, exist_ok=True)
                whole = _from(source, wanted, folder, environ=environ, progress=progress, patience=patience)
        except SourceError as error:
            progress.say(f"  {name}: {error.reason}")
            failed.append(Attempt(source=name, reason=error.reason, wrong_bytes=isinstance(error, WrongBytesError)))
        else:
            return Fetched(path=_admit(store, whole, wanted), source=name, failed=tuple(failed))
    raise _nowhere(wanted, failed)


def _from(
    source: Source,
    wanted: OfficialFile,
    folder: Path,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    patience: Patience,
) -> Path:
    if isinstance(source, PypiPartsSource):
        return fetch_parts(wanted, source, folder, environ=environ, progress=progress, patience=patience)
    url, auth = _address(source, environ)
    part = folder / f"{wanted.file}.part"
    require_space(folder, wanted.size - (part.stat().st_size if part.exists() else 0))
    with open_session() as session, progress.meter(wanted.file, total=wanted.size, unit="bytes") as meter:
        remote = Remote(url=url, size=wanted.size, sha256=wanted.sha256, auth=auth)
        download(remote, part, session=session, meter=meter, patience=patience)
    return part


def addresses(wanted: OfficialFile, environ: Mapping[str, str]) -> dict[str, str]:
    """Give the addresses that a fetch would ask, by the names of their sources; not those that an index decides."""
    found = {}
    for source in wanted.sources:
        with suppress(SourceError):
            if not isinstance(source, PypiPartsSource):
                found[name_of(source)] = _address(source, environ)[0]
    return found


def name_of(source: Source) -> str:
    """Name a source for people."""
    match source:
        case HubSource():
            return "Hugging Face"
        case UrlSource():
            return source.name
        case PypiPartsSource():
            return "PyPI parts"


def _address(source: HubSource | UrlSource, environ: Mapping[str, str]) -> tuple[str, AuthBase | None]:
    if isinstance(source, UrlSource):
        return source.url, None
    if environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise SourceError("HF_HUB_OFFLINE is set")
    endpoint = (environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).hostname:
        raise SourceError("HF_ENDPOINT is not an address that starts with https://")
    token = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")
    url = f"{endpoint}/{source.repository}/resolve/{source.revision}/{quote(source.path)}"
    return url, _token(token.strip(), endpoint) if token else None


def _token(token: str, endpoint: str) -> AuthBase:
    """Send `token` to the host of `endpoint`; requests takes the header off when it is sent on to another host."""
    from requests.auth import AuthBase

    class Bearer(AuthBase):
        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            if urlsplit(request.url or "").netloc == urlsplit(endpoint).netloc:
                request.headers["Authorization"] = f"Bearer {token}"
            return request

    return Bearer()


def _admit(store: Store, whole: Path, wanted: OfficialFile) -> Path:
    path = store.admit(whole, wanted)
    store.clear_partial(wanted.sha256)
    return path


def _not_offline(wanted: OfficialFile, store: Store) -> ScaffoldError:
    return UnavailableError(
        f"{wanted.file} is not in the store {store.root}, and --offline allows no network",
        hint="leave --offline out, or bring the file by other means: nomic-scaffold weights add FILE",
    )


def _nowhere(wanted: OfficialFile, failed: list[Attempt]) -> ScaffoldError:
    tried = "".join(f"\n  {attempt.source}: {attempt.reason}" for attempt in failed)
    hint = (
        f"on a machine without network, bring {wanted.file} by other means "
        f"(sha256 {wanted.sha256}) and type: nomic-scaffold weights add FILE"
    )
    if any(attempt.wrong_bytes for attempt in failed):
        return HashMismatchError(f"no source gave the pinned bytes of {wanted.file}:{tried}", hint=hint)
    return UnavailableError(f"no source gave {wanted.file}:{tried}", hint=hint)
