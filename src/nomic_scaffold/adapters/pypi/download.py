"""Bring wheels into a folder by their hashes, for a machine that will have no network."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nomic_scaffold.errors import InputError, ToolMissingError, UnavailableError
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform

_ARCHITECTURES = {Platform.LINUX_64: "x86_64", Platform.LINUX_AARCH64: "aarch64"}


def download(
    packages: Sequence[LockedPackage], folder: Path, *, python: str, platform: Platform, progress: Progress
) -> list[Path]:
    """Fetch the wheels of `packages` for Linux on `platform` with pip, which finds the user's index and logins.

    `python` is a minor version, e.g. `3.13`. pip compares every file with the lock's sha256. Raises UnavailableError
    with pip's last line when one can't be had.
    """
    bare = [p.name for p in packages if not p.sha256]
    if bare:
        raise InputError(f"the lock gives no sha256 for {', '.join(bare)}", hint="nomic-scaffold lock")
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode:
        raise ToolMissingError(
            "pip is needed to bring wheels into an image, and this Python has none",
            hint=f"{sys.executable} -m ensurepip",
        )
    folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"fetching {len(packages)} wheels for {platform}")
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as name:
        requirements = Path(name) / "requirements.txt"
        lines = (f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in packages)
        requirements.write_text("".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--python-version", python]
        for tag in _tags(platform):
            command += ["--platform", tag]
        done = subprocess.run(
            [*command, "--dest", str(folder), "--requirement", str(requirements)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise UnavailableError(f"can't fetch the wheels of the lock: {said[-1]}", hint="nomic-scaffold doctor")
    return sorted(folder.glob("*.whl"))


def _tags(platform: Platform) -> list[str]:
    """List the wheel platforms that run on glibc 2.28, newest first."""
    if platform not in _ARCHITECTURES:
        raise InputError(f"an image runs Linux, not {platform}", hint="--platform linux-64 or linux-aarch64")
    architecture = _ARCHITECTURES[platform]
    modern = [f"manylinux_2_{minor}_{architecture}" for minor in range(28, 4, -1)]
    return [*modern, *(f"{name}_{architecture}" for name in ("manylinux2014", "manylinux2010", "manylinux1"))]
