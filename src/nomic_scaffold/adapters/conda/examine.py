"""Compare the files of a prefix with what they must be; find what is missing, changed, or nobody's."""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nomic_scaffold.adapters.conda.expected import CLOBBERED, Expected, is_allowed, is_compiled, walk
from nomic_scaffold.adapters.conda.pip_part import PipPackage
from nomic_scaffold.adapters.conda.records import Record
from nomic_scaffold.adapters.conda.signatures import Note
from nomic_scaffold.disk.bulk import sha256_files
from nomic_scaffold.formats import left_out
from nomic_scaffold.formats.wheel import GENERATED
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import FileFinding, FileProblem
from nomic_scaffold.models.wheel import WheelFile

OURS = frozenset({witness.NAME, left_out.NAME, "CACHEDIR.TAG"})
"""Files at the top of a prefix that installers leave beside those of packages."""
Made = Mapping[tuple[str, str], frozenset[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class _Job:
    """A file to be read."""

    path: str
    owner: str
    allowed: frozenset[str]
    modified: int
    recorded: str | None = None
    """sha256 that the environment's own record gives to a program that an installer generated."""


class Examination:
    """The examination of one prefix: expectations first, then `run`."""

    def __init__(self, prefix: Path, *, walked: bool = True) -> None:
        self._prefix = prefix
        self._findings: list[FileFinding] = []
        self._jobs: list[_Job] = []
        self._there: dict[str, os.stat_result] = dict(walk(prefix)) if walked else {}
        self.owned: set[str] = set()
        self.touched: set[str] = set()
        """Owners (as noted) of what was touched since the install."""
        self.files = 0
        self.compiled = 0
        self.bytes_read = 0

    def found(self, path: str, problem: FileProblem, owner: str | None, detail: str = "") -> None:
        """Note a finding."""
        if is_compiled(path) and problem in ("changed", "resized"):
            detail += "; Python compiles a module anew when its source is not the packaged one"
        finding = FileFinding(path=_text(path), problem=problem, owner=owner, detail=_text(detail))
        self._findings.append(finding)

    def sorted_findings(self) -> tuple[FileFinding, ...]:
        """Give the findings by path."""
        return tuple(sorted(self._findings, key=lambda f: (f.path, f.problem)))

    def expect(self, expected: Mapping[str, Sequence[Expected]], made: Made, *, deep: bool) -> None:
        """Hold files against what archives hold; `made` tells the contents that depend on the prefix."""
        folders = {parent for path in expected for parent in _parents(path)}
        for path, options in expected.items():
            if path in folders and not options[0].folder:  # a file where another package has a folder
                self._expect_aside(path, options, made, deep=deep)
            elif len(options) == 1:
                self._expect_one(path, options[0], made, deep=deep)
            else:
                self._expect_one_of(path, options, made, deep=deep)

    def _expect_one(self, path: str, one: Expected, made: Made, *, deep: bool) -> None:
        self.owned.add(path)
        seen = self._there.get(path)
        if seen is None:
            if one.folder and os.path.isdir(self._prefix / path):  # noqa: PTH112 - a link to a folder counts too
                return
            self.files += 1
            self.found(path, "missing", one.owner)
            return
        self.files += 1
        if one.link is not None:
            self._link(path, one.owner, one.link, seen)
            return
        if not stat.S_ISREG(seen.st_mode):
            self._not_a_file(path, one.owner, seen)
            return
        self._mode(path, one, seen)
        if one.size is not None and seen.st_size != one.size:
            self.found(path, "resized", one.owner, f"{seen.st_size} bytes, not {one.size}; {_when(seen.st_mtime_ns)}")
        elif deep:
            self._expect_bytes(path, one, made, seen)

    def _expect_bytes(self, path: str, one: Expected, made: Made, seen: os.stat_result) -> None:
        if not one.made:
            assert one.source is not None
            assert one.source.sha256 is not None
            self._jobs.append(_Job(path, one.owner, frozenset({one.source.sha256}), seen.st_mtime_ns))
            return
        allowed = made.get((one.owner, path))
        if allowed is None:
            self.found(path, "unwitnessed", one.owner, "its original is in no package cache here")
            return
        self._jobs.append(_Job(path, one.owner, frozenset(digest for digest, _ in allowed), seen.st_mtime_ns))

    def _expect_one_of(self, path: str, options: Sequence[Expected], made: Made, *, deep: bool) -> None:
        """Two packages bring the same path: one of them has it; rattler keeps the other's aside, conda drops it."""
        self.owned.add(path)
        self.files += 1
        self._expect_aside(path, options, made, deep=deep)
        seen = self._there.get(path)
        owners = ", ".join(one.owner for one in options)
        if seen is None:
            if not os.path.isdir(self._prefix / path):  # noqa: PTH112 - then a folder of another package is there
                self.found(path, "missing", owners)
            return
        if stat.S_ISLNK(seen.st_mode):
            if self._says(path) not in {one.link for one in options}:
                self.found(path, "link", owners, f"says {self._says(path)}")
        elif not stat.S_ISREG(seen.st_mode):
            self._not_a_file(path, owners, seen)
        elif deep:
            allowed = {d for one in options for d, _ in made.get((one.owner, path), ())}
            allowed |= {one.source.sha256 for one in options if one.source and not one.made and one.source.sha256}
            self._jobs.append(_Job(path, owners, frozenset(allowed), seen.st_mtime_ns))

    def _expect_aside(self, path: str, options: Sequence[Expected], made: Made, *, deep: bool) -> None:
        for one in options:
            aside = f"{CLOBBERED}/{one.owner}/{path}"
            if aside in self._there:
                moved = {**made, (one.owner, aside): made.get((one.owner, path), frozenset())}
                self._expect_one(aside, replace(one, path=aside), moved, deep=deep)

    def _link(self, path: str, owner: str, wanted: str, seen: os.stat_result) -> None:
        if not stat.S_ISLNK(seen.st_mode):
            self.found(path, "link", owner, f"is no link, but should lead to {wanted}; {_when(seen.st_mtime_ns)}")
        elif (says := self._says(path)) != wanted:
            self.found(path, "link", owner, f"leads to {says}, not to {wanted}")

    def _not_a_file(self, path: str, owner: str, seen: os.stat_result) -> None:
        leads = f" to {self._says(path)}" if stat.S_ISLNK(seen.st_mode) else ""
        self.found(path, "link", owner, f"is {_kind(seen)}{leads}, not a file")

    def _mode(self, path: str, one: Expected, seen: os.stat_result) -> None:
        if os.name == "nt":
            return
        mode, wanted = stat.S_IMODE(seen.st_mode), one.mode
        if bool(mode & 0o100) != bool(wanted & 0o100) or mode & 0o7022 & ~wanted:
            self.found(path, "mode", one.owner, f"{mode:04o}, the package says {wanted:04o}")

    def _says(self, path: str) -> str:
        return os.readlink(self._prefix / path)  # noqa: PTH115

    def expect_recorded(self, record: Record, *, deep: bool) -> None:
        """Hold files against the prefix's own record, for want of anything better."""
        owner = record.package.name
        for file in record.files:
            self.owned.add(file.path)
            self.files += 1
            seen = self._there.get(file.path)
            if seen is None:
                if not os.path.lexists(self._prefix / file.path):
                    self.found(file.path, "missing", owner)
            elif stat.S_ISREG(seen.st_mode) and not file.link:
                if file.size is not None and seen.st_size != file.size:
                    self.found(file.path, "resized", owner, f"{seen.st_size} bytes, not {file.size}")
                elif deep and file.sha256 is not None:
                    self._jobs.append(_Job(file.path, owner, frozenset({file.sha256}), seen.st_mtime_ns))

    def own(self, package: Record | PipPackage) -> None:
        """Know whose the files of a package are, without a look at them."""
        if isinstance(package, Record):
            self.owned.update(file.path for file in package.files)
        else:
            self.owned.update((*package.files, package.record))

    def expect_wheel(self, package: PipPackage, files: Iterable[WheelFile], *, deep: bool) -> None:
        """Hold the files of a package of pip's against the locked wheel, which says what must be there."""
        owner = package.name
        for file in files:
            self.owned.add(file.path)
            self.files += 1
            seen = self._there.get(file.path)
            if seen is None:
                self.found(file.path, "missing", owner)
                continue
            if not stat.S_ISREG(seen.st_mode):
                self._not_a_file(file.path, owner, seen)
                continue
            mode = stat.S_IMODE(seen.st_mode)
            if os.name != "nt" and (mode & 0o7002 or (file.executable and not mode & 0o100)):
                self.found(file.path, "mode", owner, f"{mode:04o}")
            if file.size is not None and seen.st_size != file.size:
                detail = f"{seen.st_size} bytes, not {file.size}; {_when(seen.st_mtime_ns)}"
                self.found(file.path, "resized", owner, detail)
            elif deep and file.allowed:
                recorded = package.files.get(file.path, (None, None))[0] if file.size is None else None
                self._jobs.append(_Job(file.path, owner, file.allowed, seen.st_mtime_ns, recorded))
        folder = package.record.rpartition("/")[0]
        self.owned.update(f"{folder}/{name}" for name in GENERATED)
        if package.record not in self._there:
            self.found(package.record, "missing", owner)

    def expect_pip(self, package: PipPackage, *, deep: bool) -> None:
        """Hold the files of a package of pip's against its RECORD, for want of the wheel."""
        self.owned.add(package.record)
        for path, (sha256, size) in package.files.items():
            if path == package.record or "__pycache__/" in path:
                continue
            self.owned.add(path)
            self.files += 1
            seen = self._there.get(path)
            if seen is None:
                self.found(path, "missing", package.name)
            elif not stat.S_ISREG(seen.st_mode):
                self._not_a_file(path, package.name, seen)
            elif size is not None and seen.st_size != size:
                self.found(path, "resized", package.name, f"{seen.st_size} bytes, not {size}")
            elif deep and sha256 is not None:
                self._jobs.append(_Job(path, package.name, frozenset({sha256}), seen.st_mtime_ns))
            elif deep:
                self.found(path, "unwitnessed", package.name, "its RECORD gives no hash of it")

    def run(self, *, deep: bool, advance: object = None) -> None:
        """Read the files that were put off, then look for files of nobody."""
        self.read(advance if callable(advance) else None)
        for path, seen in self._there.items():
            if path in self.owned or path in OURS:
                continue
            if is_compiled(path):
                self.compiled += 1
            else:
                self.found(path, "foreign", None, f"belongs to no package; {_when(seen.st_mtime_ns)}")

    def read(self, advance: Callable[[int], None] | None = None) -> None:
        """Read the files that were put off."""
        top = str(self._prefix)
        hashes = sha256_files([f"{top}/{job.path}" for job in self._jobs])
        for job, found in zip(self._jobs, hashes, strict=True):
            if advance is not None:
                advance(1)
            if isinstance(found, OSError):
                self.found(job.path, "unreadable", job.owner, found.strerror or str(found))
                continue
            self.bytes_read += found[1]
            if found[0] in job.allowed or is_allowed(self._prefix / job.path, found[0], job.allowed):
                continue  # the first says the same without a Path for each of 25,000 files
            if found[0] == job.recorded:
                self.found(job.path, "unwitnessed", job.owner, "as its installer recorded it, in no form that is known")
            else:
                self.found(job.path, "changed", job.owner, f"sha256 {found[0][:12]}…; {_when(job.modified)}")
        self._jobs = []

    def against_note(self, note: Note) -> None:
        """Hold files against what the installer noted; only those that were touched since are read."""
        place_of = dict(zip(note.paths, range(len(note.paths)), strict=True))
        sizes, modes, modified, inodes = note.sizes, note.modes, note.modified, note.inodes
        met, strangers = bytearray(len(note.paths)), {}
        for path, seen in walk(self._prefix):
            place = place_of.get(path)
            if place is None:
                strangers[path] = seen
                continue
            met[place] = 1
            if (
                modified[place] != seen.st_mtime_ns
                or inodes[place] != seen.st_ino
                or sizes[place] != seen.st_size
                or modes[place] != seen.st_mode
            ):
                self._touched(path, note, place, seen)
        self.files, self._there = len(note.paths), strangers
        place = met.find(0)
        while place >= 0:
            self._gone(note, place)
            place = met.find(0, place + 1)

    def _touched(self, path: str, note: Note, place: int, seen: os.stat_result) -> None:
        owner, content = note.owner(place), note.content(place)
        self.touched.add(owner)
        owner = owner.removeprefix("pip:")
        if content is not None and content.startswith("->"):
            self._link(path, owner, content[2:], seen)
            return
        if not stat.S_ISREG(seen.st_mode):
            self._not_a_file(path, owner, seen)
            return
        mode, was = stat.S_IMODE(seen.st_mode), stat.S_IMODE(note.modes[place])
        if os.name != "nt" and mode != was:
            self.found(path, "mode", owner, f"{mode:04o}, was {was:04o}")
        if seen.st_size != note.sizes[place]:
            detail = f"{seen.st_size} bytes, not {note.sizes[place]}; {_when(seen.st_mtime_ns)}"
            self.found(path, "resized", owner, detail)
        elif (note.modified[place], note.inodes[place]) != (seen.st_mtime_ns, seen.st_ino) and content is not None:
            self._jobs.append(_Job(path, owner, frozenset({content}), seen.st_mtime_ns))

    def _gone(self, note: Note, place: int) -> None:
        path = note.paths[place]
        if note.content(place) is not None or not os.path.isdir(self._prefix / path):  # noqa: PTH112
            self.touched.add(note.owner(place))
            self.found(path, "missing", note.owner(place).removeprefix("pip:"))

    def strangers(self) -> Iterable[str]:
        """Name the files that no expectation was about so far."""
        return [path for path in self._there if path not in self.owned]


def _text(name: str) -> str:
    """Write a name that is not UTF-8 on the disk so that it is one in a report."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _kind(seen: os.stat_result) -> str:
    """Say what stands where a file should."""
    return "a link" if stat.S_ISLNK(seen.st_mode) else "a pipe, a socket or a device"


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _when(nanoseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(nanoseconds // 10**9, tz=datetime.UTC)
    return f"modified {moment:%Y-%m-%dT%H:%M:%SZ}"
