"""The end of an installation: remove what doesn't belong, check that all is there, write down what was seen."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.adapters.conda.cache import Unpacked
from nomic_scaffold.adapters.conda.examine import OURS, Examination
from nomic_scaffold.adapters.conda.expected import (
    CLOBBERED,
    Expected,
    empty_folders,
    expected_files,
    is_allowed,
    is_compiled,
    made_contents,
    python_of,
    walk,
)
from nomic_scaffold.adapters.conda.pip_part import PipPackage, pip_packages
from nomic_scaffold.adapters.conda.records import META, STATE, read_records, variables
from nomic_scaffold.adapters.conda.signatures import Signature, signature
from nomic_scaffold.adapters.conda.signatures import write as write_signatures
from nomic_scaffold.adapters.conda.wheels import must_be
from nomic_scaffold.disk.atomic import write_text
from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats import left_out
from nomic_scaffold.formats.wheel import GENERATED
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import InstalledPackage
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform
from nomic_scaffold.models.witness import Witness, WitnessedPackage

BUSY = "nomic-scaffold.busy"
"""File in conda-meta of an installation that has begun and not ended."""


class Finish:
    """The last steps in one prefix; every content that is noted has been hashed in this run."""

    def __init__(
        self,
        packages: Sequence[LockedPackage],
        prefix: Prefix,
        *,
        platform: Platform,
        entries: Sequence[Unpacked],
        wheels: Mapping[str, Path],
        lock_digest: str,
        checked: int,
        without: tuple[str, ...] = (),
    ) -> None:
        """`checked`: when the cache was, in nanoseconds; `without`: the patterns of what an image leaves out."""
        self._packages, self._prefix, self._platform = packages, prefix, platform
        self._entries = {entry.package.name: entry for entry in entries}
        self._lock_digest, self._checked, self._without = lock_digest, checked, without
        self._noted: dict[str, Signature] = {}
        self._there: dict[str, os.stat_result] = {}
        manifests = [entry.manifest for entry in entries]
        self._python = python_of(manifests, platform)
        self._wheels, _ = must_be(wheels, self._python, prefix=str(prefix.path))
        self._expected = expected_files(manifests, platform, self._python)
        self._made = made_contents(
            (one for options in self._expected.values() for one in options if one.made),
            prefix=str(prefix.path),
            platform=platform,
            python=self._python,
            unpacked={entry.package.name: entry.folder for entry in entries},
            archives={},
        )

    def pip_lacking(self) -> list[LockedPackage]:
        """Give the locked PyPI packages that are not there just as their wheel gives them.

        One whose wheel is not at hand is put in anew: uv takes none but the locked one, and nothing else could tell.
        """
        locked = {p.name: p for p in self._packages if p.manager == "pip"}
        examination, judged = Examination(self._prefix.path), set()
        for package in self._pip():
            if package.name in self._wheels and package.version == locked[package.name].version:
                judged.add(package.name)
                examination.expect_wheel(package, self._wheels[package.name], deep=True)
        examination.read()
        broken = {
            one.owner for one in examination.sorted_findings() if not left_out.leaves_out(self._without, one.path)
        }
        return [p for name, p in locked.items() if name not in judged or name in broken]

    def _pip(self) -> list[PipPackage]:
        if self._python is None:
            return []
        owned = self._expected.keys()
        return list(pip_packages(self._prefix.path, self._python.site_packages, owned=owned))

    def wrong(self) -> dict[str, str]:
        """Hold every file that must be there against what it must be; gives path -> owner of what is not."""
        wanted = {p.name for p in self._packages if p.manager == "pip"}
        self._noted, wrong = self._signatures([p for p in self._pip() if p.name in wanted])
        return {path: owner for path, owner in wrong.items() if not left_out.leaves_out(self._without, path)}

    def note(self, *, adopted: bool, progress: Progress) -> None:
        """Clean up, and write the records that make the environment finished, after `wrong` found nothing."""
        top = self._prefix.path
        wanted_pip = {p.name: p for p in self._packages if p.manager == "pip"}
        pip = [p for p in self._pip() if p.name in wanted_pip]
        self._check_pip(wanted_pip, pip)
        noted = self._noted
        strangers = [path for path in self._there if path not in noted and path not in OURS and not is_compiled(path)]
        strangers += [STATE] * bool(variables(top))
        if not adopted:
            self._remove(strangers, progress)
        elif strangers:
            progress.say(f"another tool made this environment, so these stay, of no package: {_some(strangers)}")
        record = Witness(
            provider="conda",
            accelerator=self._prefix.accelerator,
            tool_version=__version__,
            lock_digest=self._lock_digest,
            adopted=adopted,
            python=next((p.version for p in self._packages if p.name == "python"), ""),
            packages=tuple(_witnessed(wanted_pip[p.name], p) for p in pip),
        )
        write_text(top / witness.NAME, record.model_dump_json(indent=1) + "\n")
        write_signatures(  # last: with them it calls itself finished
            top,
            noted,
            lock_digest=self._lock_digest,
            records=[(record.path, record.package) for record in read_records(top)[0]],
            pip=[
                InstalledPackage(name=p.name, version=p.version, manager="pip", sha256=wanted_pip[p.name].sha256)
                for p in pip
            ],
        )
        (top / META / BUSY).unlink(missing_ok=True)

    def _check_pip(self, wanted: Mapping[str, LockedPackage], there: Iterable[PipPackage]) -> None:
        versions = {p.name: p.version for p in there}
        for name, package in wanted.items():
            if versions.get(name) != package.version:
                raise UnavailableError(
                    f"{name} {package.version} of the lock's pip section is not installed",
                    hint="nomic-scaffold install -v shows what uv says",
                )

    def _signatures(self, pip: Sequence[PipPackage]) -> tuple[dict[str, Signature], dict[str, str]]:
        top = self._prefix.path
        there = self._there = dict(walk(top))
        noted: dict[str, Signature] = {}
        wrong: dict[str, str] = {}
        unread: list[tuple[str, str, frozenset[str]]] = []
        for path, options in self._expected.items():
            for one in options:
                aside = f"{CLOBBERED}/{one.owner}/{path}"
                place = aside if aside in there else path
                if place in noted:
                    continue
                if not self._one(place, one, there.get(place), noted, unread, alone=len(options) == 1):
                    wrong[place] = one.owner
        for package in pip:
            wrong |= self._of_pip(package, there, noted, unread)
        for (path, owner, allowed), found in zip(
            unread, sha256_files([f"{top}/{path}" for path, _, _ in unread]), strict=True
        ):
            if isinstance(found, OSError) or not is_allowed(top / path, found[0], allowed):
                wrong[path] = owner
            else:
                noted[path] = signature(there[path], owner=owner, content=found[0])
        return noted, wrong

    def _of_pip(
        self,
        package: PipPackage,
        there: Mapping[str, os.stat_result],
        noted: dict[str, Signature],
        unread: list[tuple[str, str, frozenset[str]]],
    ) -> dict[str, str]:
        """Hold the files of a package against its wheel; where that is not at hand, note what uv says of them."""
        owner, listed = f"pip:{package.name}", dict(package.files)
        wrong: dict[str, str] = {}
        if package.name in self._wheels:
            for file in self._wheels[package.name]:
                if file.path not in there:
                    wrong[file.path] = owner
                    continue
                recorded = package.files.get(file.path, (None, None))[0] if file.size is None else None
                allowed = file.allowed | {recorded} if recorded else file.allowed
                if allowed:
                    unread.append((file.path, owner, allowed))
            own = {f"{package.record.rpartition('/')[0]}/{name}" for name in GENERATED}
            listed = {path: told for path, told in listed.items() if path in own}
        for path, (sha256, _) in {**listed, package.record: (package.record_sha256, None)}.items():
            if path in there and "__pycache__/" not in path:
                noted[path] = signature(there[path], owner=owner, content=sha256)
        return wrong

    def _one(
        self,
        path: str,
        one: Expected,
        seen: os.stat_result | None,
        noted: dict[str, Signature],
        unread: list[tuple[str, str, frozenset[str]]],
        *,
        alone: bool,
    ) -> bool:
        """Note a file, or put it off until it is read; False when it can't be right."""
        if seen is None:
            return (one.folder or not alone) and (self._prefix.path / path).is_dir()
        if stat.S_ISLNK(seen.st_mode) and (one.link is not None or not alone):
            says = os.readlink(self._prefix.path / path)  # noqa: PTH115
            noted[path] = signature(seen, owner=one.owner, content=f"->{says}")
            return says == one.link or not alone
        if not stat.S_ISREG(seen.st_mode) or (one.link is not None and alone):
            return False
        if one.made or not alone:
            allowed = {digest for o in self._expected[_origin(path, one)] for digest in self._allowed(o)}
            unread.append((path, one.owner, frozenset(allowed)))
            noted[path] = signature(seen, owner=one.owner, content=None)
        elif one.source is not None and one.source.sha256 is not None:
            if self._is_cached(one, seen):
                noted[path] = signature(seen, owner=one.owner, content=one.source.sha256)
            else:
                unread.append((path, one.owner, frozenset({one.source.sha256})))
        return True

    def _allowed(self, one: Expected) -> set[str]:
        if one.made:
            return {digest for digest, _ in self._made.get((one.owner, one.path), ())}
        return {one.source.sha256} if one.source and one.source.sha256 else set()

    def _is_cached(self, one: Expected, seen: os.stat_result) -> bool:
        """Say whether the file is the very file of the cache (a hard link), whose bytes have been checked."""
        if seen.st_nlink < 2 or one.source is None or seen.st_mtime_ns >= self._checked:
            return False
        with suppress(OSError):
            cached = os.lstat(f"{self._entries[one.owner].folder}/{one.source.path}")
            return (cached.st_ino, cached.st_dev) == (seen.st_ino, seen.st_dev)
        return False

    def _remove(self, strangers: Sequence[str], progress: Progress) -> None:
        top = self._prefix.path
        if strangers:
            progress.say(f"removing files that belong to no locked package: {_some(strangers)}")
        for path in strangers:
            (top / path).unlink(missing_ok=True)
        for folder in empty_folders(top):  # Python would import one as a package of nothing
            if folder.relative_to(top).as_posix() not in self._expected:
                with suppress(OSError):
                    folder.rmdir()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _origin(path: str, one: Expected) -> str:
    return one.path if path.startswith(f"{CLOBBERED}/") else path


def _witnessed(locked: LockedPackage, found: PipPackage) -> WitnessedPackage:
    assert locked.sha256 is not None
    return WitnessedPackage(
        name=found.name,
        version=found.version,
        filename=locked.url.partition("#")[0].rsplit("/", 1)[-1],
        sha256=locked.sha256,
        record_sha256=found.record_sha256 or "",
    )
