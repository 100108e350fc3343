"""Fetch the wheels of a requirements file by their hashes, for an image that is built without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nomic_scaffold.errors import HashMismatchError, InputError, ToolMissingError, UnavailableError
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform

ARCHITECTURES = {Platform.LINUX_64: "x86_64", Platform.LINUX_AARCH64: "aarch64"}


def wheelhouse(
    lines: Sequence[str], folder: Path, *, python: str, platform: Platform, offline: bool, progress: Progress
) -> list[Path]:
    """Have the wheels of requirement `lines` in `folder`, which is theirs alone and is whole or not there."""
    if not folder.is_dir():
        if offline:
            raise UnavailableError(
                "the wheels of the tool's own image are not in the cache, and --offline asks for no network",
                hint="once with a network: nomic-scaffold image build",
            )
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        _ask_pip(lines, part, python=python, platform=platform, progress=progress)
        part.rename(folder)
    return sorted(folder.glob("*.whl"))


def _ask_pip(lines: Sequence[str], folder: Path, *, python: str, platform: Platform, progress: Progress) -> list[Path]:
    """Fetch what requirement `lines` with hashes name; pip finds the user's index and logins, and checks each file."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if probe.returncode:
        raise ToolMissingError(
            "pip is needed to bring wheels into an image, and this Python has none",
            hint=f"{sys.executable} -m ensurepip",
        )
    folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"fetching {len(lines)} wheels for {platform}")
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
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
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise HashMismatchError(
                f"the index served other bytes than the lock pins: {said[-1]}", hint="try another index"
            )
        raise UnavailableError(f"can't fetch wheels: {said[-1]}", hint="nomic-scaffold doctor")
    requirements.unlink()
    return sorted(folder.glob("*.whl"))


def _tags(platform: Platform) -> list[str]:
    """List the wheel platforms that run on glibc 2.28, newest first."""
    if platform not in ARCHITECTURES:
        raise InputError(f"an image runs Linux, not {platform}", hint="--platform linux-64 or linux-aarch64")
    architecture = ARCHITECTURES[platform]
    modern = [f"manylinux_2_{minor}_{architecture}" for minor in range(28, 4, -1)]
    return [*modern, *(f"{name}_{architecture}" for name in ("manylinux2014", "manylinux2010", "manylinux1"))]
