"""Look at a conda environment, whoever made it: its packages, and each file against what the locked archive holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from nomic_scaffold.adapters.conda.archive import archives_in, cache_root
from nomic_scaffold.adapters.conda.examine import Examination, Made
from nomic_scaffold.adapters.conda.expected import Expected, expected_files, made_contents, python_of
from nomic_scaffold.adapters.conda.pip_part import PipPackage, pip_packages
from nomic_scaffold.adapters.conda.records import (
    META,
    STATE,
    Record,
    is_locked,
    read_records,
    superfluous,
    variables,
)
from nomic_scaffold.adapters.conda.signatures import Note
from nomic_scaffold.adapters.conda.signatures import read as read_note
from nomic_scaffold.adapters.conda.wheels import Wheels, find_wheels, must_be
from nomic_scaffold.adapters.conda.witnesses import Witness, find_witnesses, unpacked_folders
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats import left_out
from nomic_scaffold.formats.conda_package import python_layout
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding, InstalledPackage, Unavailable
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.package import PythonLayout
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress, Silent
from nomic_scaffold.models.variant import Platform


def inspect(
    prefix: Prefix,
    *,
    packages: Sequence[LockedPackage],
    platform: Platform,
    deep: bool,
    cache: Path | None = None,
    home: str | None = None,
    fetch_missing: bool = False,
    wheels: Wheels | None = None,
    progress: Progress | None = None,
) -> EnvironmentEvidence | Unavailable:
    """Gather what is installed at `prefix` and every file that is not as `packages` (of the lock) must have left it.

    `deep` reads every byte of the prefix and of the archives. Else, where this tool made the environment, files that
    are untouched since are taken for what they were; elsewhere kinds, sizes, modes and links are compared.
    `fetch_missing` lets a deep look fetch locked archives that no cache here has: without them nothing but the
    environment's own records says what its files must be; `wheels` tells where those of the lock's pip section
    are, and brings what is not here. `home` is where the environment was made, when `prefix` is a copy of it that was
    taken out of an image.
    """
    top = prefix.path
    if not (top / META).is_dir():
        return Unavailable(unavailable=f"no conda environment at {top.name}: it has no {META} folder")
    progress = progress or Silent()
    try:
        note = None if deep else read_note(top)
        records, broken = read_records(top, note.records if note else None)
        look = _Look(
            prefix=prefix,
            platform=platform,
            packages=packages,
            records=records,
            cache=cache or cache_root(),
            home=home or str(top),
            wheels=wheels or Wheels(cache=cache or cache_root()),
            fetch=partial(_fetch, cache=cache or cache_root(), progress=progress) if deep and fetch_missing else None,
        )
        with progress.meter("files", total=None, unit="files") as meter:
            examination = look.quickly(note) if note is not None else look.thoroughly(deep=deep, advance=meter.advance)
        for path in broken:
            examination.found(f"{META}/{path.name}", "unreadable", None, "this record can't be read")
        if names := variables(top):
            examination.found(STATE, "foreign", None, f"sets {', '.join(names)} when the environment is activated")
    except OSError as error:
        return Unavailable(unavailable=f"can't read {error.filename}: {error.strerror}")
    without = left_out_of(top)
    return EnvironmentEvidence(
        provider="conda",
        accelerator=prefix.accelerator.value,
        python=next((r.package.version for r in records if r.package.name == "python"), ""),
        packages=(*(record.package for record in records), *look.pip_evidence()),
        depth="deep" if deep else "fast",
        files=examination.files,
        compiled=examination.compiled,
        bytes_read=examination.bytes_read,
        findings=tuple(f for f in examination.sorted_findings() if not _allowed(f, without.patterns)),
        left_out=without.patterns,
        left_out_files=without.files,
        left_out_bytes=without.bytes,
    )


def _fetch(lacking: Sequence[LockedPackage], *, cache: Path, progress: Progress) -> None:
    """Try to get the locked archives; without them the report says what it could not hold against anything."""
    from nomic_scaffold.adapters.conda.fetch import Patience, fetch

    progress.say(f"fetching {len(lacking)} archives of the lock, to hold the files against them")
    try:
        fetch(lacking, archives_in(cache), progress=progress, patience=Patience(pauses=(1,)))
    except ScaffoldError as error:
        progress.say(f"not fetched: {error.message}")


def left_out_of(prefix: Path) -> left_out.LeftOut:
    """Read what an image build left out; only patterns of ours count, so that a forged record excuses nothing else."""
    try:
        recorded = left_out.LeftOut.model_validate_json((prefix / left_out.NAME).read_bytes())
    except (OSError, ValueError):
        return left_out.LeftOut(patterns=(), files=0, bytes=0)
    ours = tuple(pattern for pattern in recorded.patterns if pattern in left_out.PATTERNS)
    return recorded.model_copy(update={"patterns": ours})


def _allowed(finding: FileFinding, without: tuple[str, ...]) -> bool:
    return finding.problem == "missing" and left_out.leaves_out(without, finding.path)


class _Look:
    """One look at one prefix."""

    def __init__(
        self,
        *,
        prefix: Prefix,
        platform: Platform,
        packages: Sequence[LockedPackage],
        records: Sequence[Record],
        cache: Path,
        home: str,
        wheels: Wheels,
        fetch: Callable[[Sequence[LockedPackage]], None] | None,
    ) -> None:
        self._prefix, self._platform, self._cache = prefix, platform, cache
        self._home, self._fetch, self._wheels = home, fetch, wheels
        self._locked = {p.name: p for p in packages if p.manager == "conda" and p.sha256}
        self._superfluous = superfluous(records, self._locked)
        self._records = {record.package.name: record for record in records if record not in self._superfluous}
        self._pip_locked: dict[str, LockedPackage] = {
            canonicalize_name(p.name): p for p in packages if p.manager == "pip" and p.sha256
        }
        self._pip: list[PipPackage] = []
        self._noted_pip: tuple[InstalledPackage, ...] = ()
        self._known_pip = _witnessed_pip(prefix.path)

    def quickly(self, note: Note) -> Examination:
        """Hold each file against what the installer noted: only what was touched since is read."""
        examination = Examination(self._prefix.path, walked=False)
        examination.against_note(note)
        for record in (*self._records.values(), *self._superfluous):
            examination.own(record)  # of what was put in since; those that were noted tell no files
        touched = any(owner.startswith("pip:") for owner in examination.touched)
        if touched or any(".dist-info/" in path for path in examination.strangers()):
            self._find_pip(owned=_of_conda(note))
            for package in self._pip:
                examination.own(package)
        else:
            self._noted_pip = note.pip
        examination.run(deep=False)
        return examination

    def thoroughly(self, *, deep: bool, advance: object) -> Examination:
        """Hold each file against the locked archives."""
        examination = Examination(self._prefix.path)
        installed = [
            (package, self._records[name])
            for name, package in self._locked.items()
            if name in self._records and is_locked(self._records[name], package)
        ]
        witnesses, lacking = find_witnesses(installed, archives_in(self._cache), fetch=self._fetch)
        python = python_of([w.manifest for w in witnesses], self._platform, recorded=self._python())
        expected = expected_files([w.manifest for w in witnesses], self._platform, python)
        made = self._made(witnesses, expected, python) if deep else {}
        examination.expect(expected, made, deep=deep)
        for name, reason in lacking.items():
            record = self._records[name]
            examination.found(f"{META}/{record.path.name}", "unwitnessed", name, reason)
            examination.expect_recorded(record, deep=deep)
        judged = {p.name for p, _ in installed}
        for name, record in self._records.items():
            if name not in judged:  # another package than the locked one: only whose the files are is of interest
                examination.own(record)
        for record in self._superfluous:
            examination.own(record)
        self._find_pip(owned=examination.owned)
        self._expect_pip(examination, python, deep=deep)
        examination.run(deep=deep, advance=advance)
        return examination

    def _expect_pip(self, examination: Examination, python: PythonLayout | None, *, deep: bool) -> None:
        """Hold what pip or uv put in against the locked wheels."""
        judged = [p for p in self._pip if p.name in self._pip_locked and self._pip_locked[p.name].version == p.version]
        found = find_wheels([replace(self._pip_locked[p.name], name=p.name) for p in judged], self._wheels)
        files, unreadable = must_be(found.wheels, python, prefix=self._home)
        lacking = {**found.lacking, **unreadable}
        for package in self._pip:
            if package not in judged:  # another package than the locked one
                examination.own(package)
            elif package.name in files:
                examination.expect_wheel(package, files[package.name], deep=deep)
            else:
                examination.found(package.record, "unwitnessed", package.name, lacking.get(package.name, ""))
                examination.expect_pip(package, deep=deep)

    def _python(self) -> str | None:
        record = self._records.get("python")
        return record.package.version if record else None

    def _made(
        self, witnesses: Sequence[Witness], expected: Mapping[str, Sequence[Expected]], python: PythonLayout | None
    ) -> Made:
        return made_contents(
            (one for options in expected.values() for one in options if one.made),
            prefix=self._home,
            platform=self._platform,
            python=python,
            unpacked=unpacked_folders(witnesses, self._records, self._cache),
            archives={w.package.name: w.archive for w in witnesses},
        )

    def _find_pip(self, *, owned: Sequence[str] | set[str]) -> None:
        version = self._python()
        if version is None:
            return
        layout = python_layout(version, windows=self._platform is Platform.WIN_64)
        self._pip = list(pip_packages(self._prefix.path, layout.site_packages, owned=set(owned)))

    def pip_evidence(self) -> list[InstalledPackage]:
        """Give pip's packages; where the archive came from only while nothing has changed since the install."""
        return [
            *self._noted_pip,
            *self._found_pip(),
        ]

    def _found_pip(self) -> list[InstalledPackage]:
        return [
            InstalledPackage(
                name=p.name,
                version=p.version,
                manager="pip",
                sha256=self._known_pip[p.name][0]
                if p.name in self._known_pip and self._known_pip[p.name][1] == p.record_sha256
                else None,
            )
            for p in self._pip
        ]


def _of_conda(note: Note) -> set[str]:
    ours = [not name.startswith("pip:") for name in note.names]
    return {path for path, owner in zip(note.paths, note.owners, strict=True) if ours[owner]}


def _witnessed_pip(prefix: Path) -> dict[str, tuple[str, str]]:
    """Read what the installer wrote of pip's part: name -> (sha256 of the wheel, sha256 of RECORD)."""
    try:
        seen = witness.Witness.model_validate_json((prefix / witness.NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return {package.name: (package.sha256, package.record_sha256) for package in seen.packages}


def describe(path: Path) -> Prefix | None:
    """Describe any conda environment at `path`; None when there is none."""
    from nomic_scaffold.models.variant import Accelerator

    if not (path / META).is_dir():
        return None
    records, _ = read_records(path)
    builds = [r.package.build or "" for r in records if r.package.name in ("pytorch", "libtorch")]
    accelerator = Accelerator.CUDA if any("cuda" in build for build in builds) else Accelerator.CPU
    python = path / ("python.exe" if os.name == "nt" else "bin/python")
    return Prefix(path=path, provider="conda", accelerator=accelerator, python=python)
