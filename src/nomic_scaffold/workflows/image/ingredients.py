"""What an image is made of, by the project's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.adapters import lock_files, machine, project
from nomic_scaffold.adapters.conda.fetch import without_hash
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.models.lock import LockedPackage, LockPaths
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform

LABELS = "dev.nomic-scaffold."
"""What our labels start with."""


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What an image is made of, by the project's files."""

    spec: ProjectSpec
    accelerator: Accelerator
    platform: Platform
    packages: tuple[LockedPackage, ...]
    lock_sha256: str

    @property
    def variant(self) -> str:
        """The variant's id, e.g. `linux-64-cpu`."""
        return f"{self.platform}-{self.accelerator}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels that a build of these has, whatever else is wished."""
        return {
            f"{LABELS}lock": self.lock_sha256,
            f"{LABELS}weights": self.spec.model.sha256,
            f"{LABELS}variant": self.variant,
        }

    @property
    def budget(self) -> int | None:
        """Largest size of the image in bytes, if the project sets one for this variant."""
        return self.spec.image_budgets.get(self.accelerator)

    @property
    def package_bytes(self) -> int:
        """Bytes of the archives and wheels of the lock, as downloaded."""
        return sum(package.size or 0 for package in self.packages)


def ingredients(
    root: Path, *, accelerator: Accelerator, platform: Platform, fresh: bool, progress: Progress
) -> Ingredients:
    """Read what the image is to be made of; raises InputError when the lock has nothing for the platform.

    `fresh` refuses a lock whose inputs have changed since (StaleLockError).
    """
    spec = project.read_spec(root)
    packages = (
        lock_files.fresh_packages(root, accelerator, platform, progress=progress)
        if fresh
        else lock_files.locked_packages(root, accelerator, platform)
    )
    without_hash(p for p in packages if p.manager == "conda")
    lock = root / LockPaths(accelerator=accelerator).lock
    return Ingredients(
        spec=spec, accelerator=accelerator, platform=platform, packages=packages, lock_sha256=sha256_file(lock)
    )


def default_tag(made_of: Ingredients) -> str:
    """Name the project's image: `myproject:cpu`."""
    name = re.sub(r"[^a-z0-9]+", "-", made_of.spec.name.lower()).strip("-") or made_of.spec.package
    return f"{name}:{made_of.accelerator}"


def image_platform() -> Platform:
    """Give the Linux platform of this machine's processor."""
    return Platform.LINUX_AARCH64 if machine.facts().platform in ("linux-aarch64", "osx-arm64") else Platform.LINUX_64
