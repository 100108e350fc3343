"""What `lock` does with each variant: read the old locks, decide what is solved and what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.errors import InputError, UsageError
from nomic_scaffold.formats import conda_lock, lock_check, lock_sizes
from nomic_scaffold.formats.conda_lock import LockText
from nomic_scaffold.formats.names import normal_name
from nomic_scaffold.formats.pylock_digest import names
from nomic_scaffold.models.lock import SIZES_PATH, LockedPackage, LockInputs, LockPaths, LockRecord
from nomic_scaffold.models.variant import Accelerator, Platform
from nomic_scaffold.workflows.lock.wanted import Wanted


@dataclass(kw_only=True)
class Variant:
    """One platform of one accelerator on its way into a lock."""

    inputs: LockInputs
    old: OldLock
    record: LockRecord | None
    """Of the old lock, when its conda part is still what the inputs ask for."""
    solve: bool
    """Solve conda's part anew."""
    index: bool
    """Solve the pip section anew."""
    conda: tuple[LockedPackage, ...]
    pip: tuple[LockedPackage, ...]
    complete: bool
    """The pip section is in, or there is none."""
    left_out: tuple[str, ...] = ()
    before: LockRecord | None = None
    """Of the old lock, whatever the inputs ask for."""
    resolver: str = ""
    """What locked the pip section anew."""
    seconds: float = 0.0

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        """Everything that the lock is to hold for this variant."""
        return (*self.conda, *self.pip)

    @property
    def had_pip(self) -> bool:
        """Whether the old lock holds its pip section."""
        return self.before is not None and self.before.pypi == "locked"

    def pip_still_fits(self, wanted: Wanted) -> bool:
        """Whether the old pip part was made beside this conda part, for these inputs and up to the day asked for."""
        cutoff = wanted.exclude_newer.isoformat() if wanted.exclude_newer else None
        if self.record is None or cutoff not in (None, self.record.exclude_newer):
            return False
        old = {url for (manager, _), url in self.old.urls(self.inputs.platform).items() if manager == "conda"}
        return {package.url for package in self.conda} == old

    def keep_pip(self) -> None:
        """Take the pip part of the old lock as it is."""
        assert self.record is not None
        self.pip = tuple(package for package in self.old.on(self.inputs.platform) if package.manager == "pip")
        self.left_out, self.complete = self.record.left_out, True

    @property
    def touched(self) -> bool:
        """Whether anything of it is locked anew."""
        return self.solve or self.index


@dataclass(kw_only=True)
class OldLock:
    """A lock as it lay there; `pieces` is None when another tool wrote it or a merge broke it."""

    path: str
    text: str
    accelerator: Accelerator
    sizes: Mapping[str, int]
    pieces: LockText | None
    digests: Mapping[str, str]
    """Platform -> what its record ought to say of its packages."""

    @cached_property
    def packages(self) -> tuple[LockedPackage, ...]:
        """The packages; none when the lock can't be read. Reading takes a while, so only who needs them asks."""
        try:
            found = conda_lock.parse(self.text, path=self.path, accelerator=self.accelerator).packages
        except InputError:
            return ()
        return tuple(replace(package, size=self.sizes.get(package.sha256 or "")) for package in found)

    def on(self, platform: Platform) -> tuple[LockedPackage, ...]:
        """The packages of one platform."""
        return tuple(package for package in self.packages if package.platform == platform)

    def names(self, platform: Platform) -> dict[str, set[str]]:
        """Manager -> names of one platform's packages."""
        found: dict[str, set[str]] = {"conda": set(), "pip": set()}
        if self.pieces is None:
            for package in self.on(platform):
                found[package.manager].add(package.name)
        else:
            for block in self.pieces.blocks:
                if block.platform == platform:
                    found[block.manager].add(block.name)
        return found

    def urls(self, platform: Platform) -> dict[tuple[str, str], str]:
        """Manager and name -> address of one platform's packages."""
        if self.pieces is None:
            return {(package.manager, package.name): package.url for package in self.on(platform)}
        return {(b.manager, b.name): b.url for b in self.pieces.blocks if b.platform == platform}


def read_old(root: Path, accelerators: Sequence[Accelerator]) -> dict[Accelerator, OldLock]:
    """Read the old locks with the sizes of their packages."""
    known = lock_sizes.parse(lock_files.derived_text(root / SIZES_PATH) or "")
    found = {}
    for accelerator in accelerators:
        path = LockPaths(accelerator=accelerator).lock
        text = lock_files.derived_text(root / path) or ""
        found[accelerator] = OldLock(
            path=path,
            text=text,
            accelerator=accelerator,
            sizes=known,
            pieces=conda_lock.split(text),
            digests=conda_lock.package_digests(text),
        )
    return found


def named(wanted: Wanted, selected: Sequence[LockInputs], old: Mapping[Accelerator, OldLock], pylock: str) -> Wanted:
    """Put the names that the locks have in the place of those that people typed, `NumPy` say.

    Raises UsageError for an upgrade of what no lock holds.
    """
    if not wanted.upgrade:
        return wanted
    held = {
        name
        for item in selected
        for manager, found in old[item.accelerator].names(item.platform).items()
        for name in (found if wanted.pypi or manager == "conda" else ())
    }
    held |= names(pylock) if wanted.pylock else set()
    found: list[str] = []
    for name in wanted.upgrade:
        meant = sorted(item for item in held if normal_name(item) == normal_name(name))
        if not meant:
            import difflib

            close = difflib.get_close_matches(normal_name(name), held, n=1)
            hint = f"did you mean {close[0]}?" if close else "nomic-scaffold lock --fresh moves everything"
            raise UsageError(f"no lock holds a package {name!r}", hint=hint)
        found += meant
    return replace(wanted, upgrade=tuple(dict.fromkeys(found)))


def plan(selected: Sequence[LockInputs], old: Mapping[Accelerator, OldLock], wanted: Wanted) -> list[Variant]:
    """Decide for each selected variant."""
    return list(_plan(selected, old, wanted))


def _plan(selected: Sequence[LockInputs], old: Mapping[Accelerator, OldLock], wanted: Wanted) -> Iterator[Variant]:
    moved = set(wanted.upgrade)
    cutoff = wanted.exclude_newer.isoformat() if wanted.exclude_newer else None
    for inputs in selected:
        lock = old[inputs.accelerator]
        there = lock.names(inputs.platform)
        records = lock.pieces.records if lock.pieces else ()
        record = lock_check.fresh(inputs, records)
        if record and record.packages != lock.digests.get(inputs.platform):
            record = None
        solve = (
            record is None
            or not there["conda"]
            or wanted.fresh
            or bool(moved & there["conda"])
            or (cutoff is not None and record.exclude_newer != cutoff)
        )
        locked = record is not None and record.pypi == "locked"
        index = bool(inputs.pip) and (solve or not locked or bool(moved & there["pip"]))
        complete = not inputs.pip or (locked and not solve)
        before = () if wanted.fresh else lock.on(inputs.platform)
        conda = tuple(package for package in before if package.manager == "conda")
        pip = tuple(package for package in before if package.manager == "pip")
        yield Variant(
            inputs=inputs,
            old=lock,
            record=record,
            solve=solve,
            index=index and wanted.pypi,
            conda=conda,
            # Beside another conda part the old pip part is only a preference.
            pip=pip if inputs.pip and (complete or wanted.pypi) else (),
            complete=complete,
            left_out=record.left_out if record else (),
            before=next((item for item in records if item.platform == inputs.platform), None),
        )
