"""Locks are conda-lock's own: it reads them, would write the same bytes, and says whether they are fresh."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nomic_scaffold.formats import conda_lock
from nomic_scaffold.models.lock import LockPaths
from nomic_scaffold.models.variant import Accelerator
from tests.support import conda_shim
from tests.support.locking import Site, site

PATHS = [LockPaths(accelerator=item).lock for item in Accelerator]


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # The executable that conda-lock runs has no mirrors in conda's sense, so the channel is named by its address.
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich  # [linux]", "pygments"]) as found:
        text = found.text("environment.yml").replace("- conda-forge", f"- {found.served.url}")
        (found.root / "environment.yml").write_text(text, encoding="utf-8")
        found.lock()
        yield found


@pytest.mark.parametrize("path", PATHS)
def test_conda_lock_reads_a_lock_and_writes_the_same_bytes(locked: Site, path: str, tmp_path: Path) -> None:
    from conda_lock.lockfile import parse_conda_lock_file, write_conda_lock_file

    theirs = tmp_path / "theirs.yml"
    write_conda_lock_file(
        parse_conda_lock_file(locked.root / path), theirs, metadata_choices=None, include_help_text=False
    )
    ours = "".join(row for row in locked.text(path).splitlines(keepends=True) if not row.startswith("#"))
    assert theirs.read_text() == ours


def test_our_reading_is_conda_locks(locked: Site) -> None:
    from conda_lock.lockfile import parse_conda_lock_file

    theirs = parse_conda_lock_file(locked.root / "conda-lock.yml")
    ours = conda_lock.parse(locked.text())
    assert {(p.name, p.version, p.platform, p.url, p.hash.sha256) for p in theirs.package} == {
        (p.name, p.version, p.platform, p.url, p.sha256) for p in ours.packages
    }
    assert ours.content_hash == theirs.metadata.content_hash


def test_a_selector_keeps_a_requirement_for_its_platform(locked: Site) -> None:
    lock = conda_lock.parse(locked.text())
    assert {package.platform for package in lock.packages if package.name == "rich"} == {"linux-64", "linux-aarch64"}


def ask_conda_lock(site: Site, accelerator: Accelerator, folder: Path) -> str:
    paths = LockPaths(accelerator=accelerator)
    (folder / "names.json").write_text("{}")
    command = [
        *(sys.executable, "-m", "conda_lock", "lock", "--check-input-hash", "--conda", str(conda_shim.install(folder))),
        *("-f", "environment.yml", "-f", paths.environment, "--virtual-package-spec", paths.virtual_packages),
        *("--lockfile", paths.lock, "--pypi_to_conda_lookup_file", str(folder / "names.json")),
    ]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "CONDA_PKGS_DIRS": str(folder / "pkgs")}
    done = subprocess.run(command, cwd=site.root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("accelerator", list(Accelerator))
def test_conda_lock_itself_says_that_a_lock_is_fresh(locked: Site, accelerator: Accelerator, tmp_path: Path) -> None:
    before = locked.texts()
    said = ask_conda_lock(locked, accelerator, tmp_path)
    assert "Spec hash already locked" in said
    assert "Locking dependencies" not in said
    assert locked.texts() == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        pytest.param("environment.yml", "numpy >=2", "numpy >=2.0,<2.1", id="a requirement"),
        pytest.param("locks/cpu.environment.yml", "cpu*", "cpu_generic*", id="the build that makes the variant"),
        pytest.param("locks/cpu.virtual-packages.yml", "'2.28'", "'2.17'", id="a virtual package"),
    ],
)
def test_conda_lock_locks_again_after_an_edit(locked: Site, path: str, old: str, new: str, tmp_path: Path) -> None:
    locked.edit(path, old, new)
    assert "Locking dependencies" in ask_conda_lock(locked, Accelerator.CPU, tmp_path)


def test_conda_lock_solves_what_we_solve(locked: Site, tmp_path: Path) -> None:
    ours = conda_lock.parse(locked.text())
    (locked.root / "conda-lock.yml").unlink()
    ask_conda_lock(locked, Accelerator.CPU, tmp_path)
    theirs = yaml.safe_load(locked.text())
    assert theirs["metadata"]["content_hash"] == ours.content_hash
    assert theirs["package"] == [
        yaml.safe_load(block.text)[0] for block in sorted(conda_lock.blocks(ours.packages), key=lambda block: block.key)
    ]
