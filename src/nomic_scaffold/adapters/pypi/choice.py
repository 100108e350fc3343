"""Choose, for one Python, the one wheel of each locked package: what gets installed is then fixed by a single hash."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from nomic_scaffold.adapters.pypi.interpreter import Interpreter
from nomic_scaffold.models.lock import PypiFile, PypiLock, PypiPackage


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A package and the wheel of it that this Python takes."""

    name: str
    version: str
    file: PypiFile

    @property
    def requirement(self) -> str:
        """The line of a requirements.txt that allows this very file and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.file.sha256}"


def choose(lock: PypiLock, interpreter: Interpreter) -> tuple[tuple[Chosen, ...], tuple[str, ...]]:
    """Give the wheels for this Python, and why it does not fit (empty when it does)."""
    if not SpecifierSet(lock.requires_python).contains(interpreter.version, prereleases=True):
        return (), (f"Python {interpreter.version} is not {lock.requires_python}",)
    rank = {tag: place for place, tag in enumerate(interpreter.tags)}
    chosen, lacking = [], []
    for package in lock.packages:
        if package.marker and not Marker(package.marker).evaluate(dict(interpreter.markers)):
            continue
        file = _best(package, rank)
        if file is None:
            lacking.append(f"{package.name} {package.version} has no wheel for Python {interpreter.version} here")
        else:
            chosen.append(Chosen(name=canonicalize_name(package.name), version=package.version, file=file))
    return tuple(chosen), tuple(lacking)


def _best(package: PypiPackage, rank: dict[str, int]) -> PypiFile | None:
    ranked = []
    for file in package.files:
        try:
            *_, build, tags = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        places = [rank[str(tag)] for tag in tags if str(tag) in rank]
        if places:
            highest_build_first = tuple(-part if isinstance(part, int) else part for part in build[:1])
            ranked.append((min(places), highest_build_first, file.filename, file))
    return min(ranked)[3] if ranked else None
