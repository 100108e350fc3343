"""Have rattler link unpacked packages into a prefix; everything it links has been checked before."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nomic_scaffold.adapters.conda import loop
from nomic_scaffold.adapters.conda.archive import file_name
from nomic_scaffold.adapters.conda.cache import Unpacked
from nomic_scaffold.adapters.conda.records import channel_of
from nomic_scaffold.errors import UnavailableError, UsageError
from nomic_scaffold.models.progress import Meter, Progress

if TYPE_CHECKING:
    from rattler import RepoDataRecord
    from rattler.install.installer import InstallerReporter

_COPIES = "allow-hard-links = false"
"""What is not set rattler finds out. Told to reflink where the disk can't, it would try each file: 4 times as slow."""
_NOWHERE = "http://127.0.0.1:9"
"""The discard port: rattler must find everything in the cache, and fetch nothing that was not looked into."""


def link(
    entries: Sequence[Unpacked],
    destination: Path,
    *,
    reinstall: Collection[str] = (),
    requested: Sequence[str] = (),
    copy: bool = False,
    progress: Progress,
) -> None:
    """Make `destination` hold exactly these packages; those named in `reinstall` are linked anew even if there."""
    from rattler import MatchSpec, PackageCache, ValidationMode, install
    from rattler.config import Config
    from rattler.networking import Client
    from rattler.networking.middleware import MirrorMiddleware

    channels = {channel_of(entry.package.url) for entry in entries}
    client = Client([MirrorMiddleware({channel: [_NOWHERE] for channel in channels})])
    caches: list[str | os.PathLike[str]] = [
        entry.folder.parent for entry in entries
    ]  # one for each: none has two packages of one name
    records = [_record(entry) for entry in entries]
    specs = [MatchSpec(text, strict=False)._match_spec for text in requested]

    async def run(meter: Meter) -> None:
        await install(
            records,
            target_prefix=destination,
            # cache.damaged() has read every byte; rattler's own check would believe the unpacked list of files.
            package_cache=PackageCache.new_layered(caches, validation_mode=ValidationMode.skip()),
            reinstall_packages=set(reinstall),
            requested_specs=specs,
            execute_link_scripts=False,
            show_progress=False,
            reporter=_reporter(meter),
            client=client,
            config=Config.from_toml(_COPIES if copy else ""),
        )

    with progress.meter("linking packages", total=len(entries), unit="packages") as meter:
        try:
            loop.run(run(meter))
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # rattler raises some 35 classes with no common base
            if "prefix cannot be longer" in str(error):
                raise UsageError(
                    f"{destination} has {len(str(destination))} characters, and packages have no room for that",
                    hint="choose a shorter one: nomic-scaffold install --prefix DIR",
                ) from error
            raise UnavailableError(
                f"can't put the packages into {destination}: {error}",
                hint="make the folder writable and make room, then run the same command again",
            ) from error


def _reporter(meter: Meter) -> InstallerReporter:
    """Count linked packages; called from rattler's threads, which swallow exceptions."""
    from rattler.install.installer import InstallerReporter

    class Counter(InstallerReporter):
        def on_link_complete(self, index: int) -> None:
            meter.advance(1)

    return Counter()  # type: ignore[abstract]  # its methods have bodies, empty ones


def _record(entry: Unpacked) -> RepoDataRecord:
    from rattler import PackageRecord, RepoDataRecord

    package = entry.package
    size = package.size
    record = PackageRecord.from_index_json(
        entry.folder / "info" / "index.json", size=size, sha256=package.sha256, md5=package.md5
    )
    return RepoDataRecord(record, file_name(package), package.url, f"{channel_of(package.url)}/")
