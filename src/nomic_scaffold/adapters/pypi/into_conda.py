"""Put the pip section of a conda lock into a conda environment: by hash, without resolving, nothing else with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nomic_scaffold.adapters.pypi.uv import run_uv
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress


def install_into(
    prefix: Prefix,
    packages: Sequence[LockedPackage],
    *,
    wheels: Mapping[str, Path],
    offline: bool,
    progress: Progress,
) -> None:
    """Install `packages` into `prefix`, each from the one file that the lock pins.

    `wheels` are the files at hand, by package; for any other uv asks the user's own index. Raises HashMismatchError for
    other bytes.
    """
    progress.say(f"installing {len(packages)} packages of the lock's pip section")
    listed = prefix.path / "conda-meta" / "nomic-scaffold.requirements"
    listed.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in packages), encoding="utf-8")
    try:
        arguments: list[str | Path] = ["pip", "install", "--python", prefix.python, "--requirements", listed]
        arguments += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--reinstall", "--link-mode", "copy"]
        arguments += ["--break-system-packages", "--no-config"]
        arguments += [part for folder in {path.parent for path in wheels.values()} for part in ("--find-links", folder)]
        here = all(package.name in wheels for package in packages)
        run_uv([*arguments, *(["--no-index"] if here else [])], offline=offline, cwd=prefix.path, index=not here)
    finally:
        listed.unlink(missing_ok=True)
    forget_times(prefix.path)


def forget_times(prefix: Path) -> None:
    """Take out uv's notes on when it saw each wheel file: with them no two installations are the same bytes."""
    notes = [*prefix.glob("lib/python3*/site-packages/*.dist-info/uv_cache.json")]
    for note in [*notes, *prefix.glob("Lib/site-packages/*.dist-info/uv_cache.json")]:
        record = note.with_name("RECORD")
        lines = record.read_bytes().splitlines(keepends=True)
        record.write_bytes(b"".join(line for line in lines if f"{note.parent.name}/{note.name},".encode() not in line))
        note.unlink()
