"""Bring whole wheels by their hashes, from where pip would take them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from nomic_scaffold.adapters.weights.failures import RefusedError, SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.http import Patience, Remote, download
from nomic_scaffold.adapters.weights.pip_index import (
    PipSettings,
    download_with_pip,
    locate,
    read_settings,
    session_for,
)
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats.wheel import file_name
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.progress import Meter, Progress
from nomic_scaffold.models.weights import Part

if TYPE_CHECKING:
    from requests import Session

_AT_ONCE = 8
_UNKNOWN = 1
"""Stands for a size that the lock does not tell."""


def bring_wheels(
    packages: Sequence[LockedPackage],
    store: Path,
    *,
    progress: Progress,
    environ: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> None:
    """Put the wheel of each package into `store`, as `<sha256>/<file name>`; what can't be had is said, not raised."""
    environ = os.environ if environ is None else environ
    try:
        settings = read_settings(environ)
    except SourceError as error:
        progress.say(f"no wheels fetched: {error.reason}")
        return
    sizes = [package.size for package in packages]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with (
        progress.meter(f"fetching {len(packages)} wheels", total=total, unit="bytes") as meter,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        run = _Run(store, settings, environ, patience or Patience(), meter)
        for package, failure in zip(packages, pool.map(run.bring, packages), strict=True):
            if failure is not None:
                progress.say(f"not fetched: {file_name(package.url)}: {failure}")


class _Run:
    """One download after the other, in several threads."""

    def __init__(
        self, store: Path, settings: PipSettings, environ: Mapping[str, str], patience: Patience, meter: Meter
    ) -> None:
        self._store, self._settings, self._environ = store, settings, environ
        self._patience, self._meter = patience, meter

    def bring(self, package: LockedPackage) -> str | None:
        """Fetch one wheel; gives why not."""
        try:
            part = Part(
                project=canonicalize_name(package.name),
                version=package.version,
                wheel=file_name(package.url),
                size=package.size or _UNKNOWN,
                sha256=package.sha256 or "",
                member="",
            )
            folder = self._store / part.sha256
            folder.mkdir(parents=True, exist_ok=True)
            self._fetch(part, folder)
        except SourceError as error:
            return error.reason
        except ScaffoldError as error:
            return error.message
        except (OSError, ValueError) as error:
            return str(error)
        return None

    def _fetch(self, part: Part, folder: Path) -> None:
        with TemporaryDirectory(dir=folder, prefix=".fetching-") as work, session_for(self._settings) as session:
            temporary = Path(work) / part.wheel
            try:
                found = locate(part, self._settings, session=session, patience=self._patience)
                if isinstance(found, Remote):
                    download(
                        _sized(found, session), temporary, session=session, meter=self._meter, patience=self._patience
                    )
                else:
                    shutil.copyfile(found, temporary)
            except RefusedError:
                if self._settings.program is None:
                    raise
                download_with_pip(part, self._settings, Path(work), self._environ)
            if sha256_file(temporary) != part.sha256:
                raise WrongBytesError("other bytes than the locked ones")
            temporary.replace(folder / part.wheel)


def _sized(remote: Remote, session: Session) -> Remote:
    """Ask for the size where the lock does not tell it."""
    from requests import RequestException

    if remote.size != _UNKNOWN:
        return remote
    try:
        with session.get(remote.url, auth=remote.auth, stream=True, timeout=30, verify=session.verify) as answer:
            size = int(answer.headers.get("Content-Length", "0"))
    except (RequestException, ValueError) as error:
        raise SourceError(f"no size of the file ({type(error).__name__})") from error
    return Remote(url=remote.url, size=size, sha256=remote.sha256, auth=remote.auth)
