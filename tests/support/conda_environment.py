"""What tests of conda environments share: a tiny environment, from a served channel, to be looked at and broken."""

from __future__ import annotations

import atexit
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda.fetch import Patience
from nomic_scaffold.adapters.conda.inspect import inspect
from nomic_scaffold.adapters.conda.install import PipPart, Wanted, install
from nomic_scaffold.adapters.conda.wheels import Bring, Wheels
from nomic_scaffold.checks.environment_conda import check_conda_environment
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Silent, Unit
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Accelerator, Platform
from tests.support.conda_package import HERE

atexit.register(time.sleep, 0.1)  # py-rattler may crash the interpreter at its exit otherwise

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the channels of these tests hold this Linux machine's interpreter and libraries"
)
TINY = ("tiny-meta", "tiny-old")
IMPATIENT = Patience(pauses=(0.05, 0.05, 0.1))


@dataclass
class Measured:
    """A meter that remembers how far it got."""

    total: int | None
    unit: Unit
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    def advance(self, amount: int) -> None:
        with self.lock:
            self.seen += amount

    def resize(self, total: int | None) -> None:
        self.total = total


@dataclass
class Said(Silent):
    """Progress that remembers what was said."""

    words: list[str] = field(default_factory=list)

    meters: dict[str, Measured] = field(default_factory=dict)

    def say(self, message: str) -> None:
        self.words.append(message)

    def meter(self, label: str, *, total: int | None, unit: Unit) -> AbstractContextManager[Measured]:
        self.meters[label] = Measured(total, unit)
        return nullcontext(self.meters[label])


@dataclass
class Bench:
    """A place to install into: a lock, a prefix, a package cache."""

    root: Path
    packages: tuple[LockedPackage, ...]

    @property
    def prefix(self) -> Path:
        return self.root / "env"

    @property
    def cache(self) -> Path:
        return self.root / "pkgs"

    def cached(self, name: str) -> Path:
        """Say where a package is unpacked in the cache."""
        return next(p.parent.parent for p in self.cache.glob(f"unpacked/*/{name}-*/info/index.json"))

    def wanted(self, packages: tuple[LockedPackage, ...] | None = None) -> Wanted:
        return Wanted(
            packages=self.packages if packages is None else packages,
            platform=Platform(HERE),
            accelerator=Accelerator.CPU,
        )

    def install(
        self,
        packages: tuple[LockedPackage, ...] | None = None,
        *,
        offline: bool = False,
        fresh: bool = False,
        deep: bool = False,
        copy: bool = False,
        pip: PipPart | None = None,
        bring: Bring | None = None,
        prefix: Path | None = None,
        patience: Patience = IMPATIENT,
        said: Said | None = None,
    ) -> list[str]:
        """Install, and give what was said."""
        said = said or Said()
        install(
            self.wanted(packages),
            prefix or self.prefix,
            offline=offline,
            fresh=fresh,
            deep=deep,
            copy=copy,
            pip=pip,
            wheels=Wheels(cache=self.cache, bring=bring),
            progress=said,
            cache=self.cache,
            patience=patience,
        )
        return said.words

    def look(
        self, *, deep: bool, fetch_missing: bool = False, bring: Bring | None = None, prefix: Path | None = None
    ) -> EnvironmentEvidence:
        found = inspect(
            Prefix(
                path=prefix or self.prefix,
                provider="conda",
                accelerator=Accelerator.CPU,
                python=self.prefix / "bin" / "python",
            ),
            packages=self.packages,
            platform=Platform(HERE),
            deep=deep,
            cache=self.cache,
            fetch_missing=fetch_missing,
            wheels=Wheels(cache=self.cache, bring=bring),
        )
        assert isinstance(found, EnvironmentEvidence), found
        return found

    def findings(self, *, deep: bool) -> dict[str, str]:
        """Give path -> problem."""
        return {finding.path: finding.problem for finding in self.look(deep=deep).findings}

    def finding(self, path: str, *, deep: bool) -> FileFinding:
        return next(finding for finding in self.look(deep=deep).findings if finding.path == path)

    def troubles(self, *, deep: bool) -> dict[str, Status]:
        """Give code -> status of every check that did not pass."""
        results = check_conda_environment(self.packages, self.look(deep=deep))
        return {result.code: result.status for result in results if result.status is not Status.PASS}

    def copied(self, root: Path) -> Bench:
        """Copy the cache (the archives and all); prefixes can't be moved, so it is installed from there."""
        shutil.copytree(self.cache, root / "pkgs", symlinks=True)
        return Bench(root, self.packages)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file behind everybody's back: its own copy, in its size's and mode's place."""
    data, mode = path.read_bytes(), path.stat().st_mode
    path.unlink()  # else the package cache, which it is a hard link into, would change with it
    path.write_bytes(change(data))
    path.chmod(mode & 0o7777)
