"""What the explicit files are for: an install that refuses other bytes, and a check of files that were copied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.formats import explicit
from nomic_scaffold.models.lock import LockRecord
from nomic_scaffold.models.variant import Platform
from tests.support import conda_shim
from tests.support.channel import locked, mirrored, tiny_channel
from tests.support.conda_environment import TINY, needs_linux
from tests.support.conda_package import HERE
from tests.support.server import Served, serve

pytestmark = needs_linux
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "locks.md"


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serve(tiny_channel()) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("RATTLER_CACHE_DIR", str(tmp_path / "cache"))
        yield served


def written(*, sha256: bool) -> str:
    record = LockRecord(platform=Platform(HERE), digest="0" * 64, inputs=(), packages="1" * 64, solver="s", pypi="none")
    return explicit.render(locked(tiny_channel(), *TINY), record, source="conda-lock.yml", sha256=sha256)


def create(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "explicit.txt").write_text(text)
    program = conda_shim.install(folder)
    arguments = ["create", "--prefix", str(folder / "prefix"), "--file", str(folder / "explicit.txt")]
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("sha256", [True, False], ids=["sha256", "md5"])
def test_an_install_from_an_explicit_file_refuses_other_bytes(channel: Served, tmp_path: Path, sha256: bool) -> None:
    text = written(sha256=sha256)
    (row,) = [row for row in text.splitlines() if "/tiny-data-" in row]
    wrong = create(tmp_path, text.replace(row, row[:-8] + ("0" * 8 if row[-8:] != "0" * 8 else "1" * 8)))
    assert wrong.returncode != 0
    assert re.search(r"(?i)checksum|hash mismatch", wrong.stderr), wrong.stderr
    right = create(tmp_path, text)
    assert right.returncode == 0, right.stderr
    assert (tmp_path / "prefix" / "conda-meta").is_dir()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_the_pages_command_finds_an_archive_that_is_not_the_locked_one(tmp_path: Path) -> None:
    (command,) = re.findall(r"(?m)^    (sed .*sha256sum.*)$", PAGE.read_text(encoding="utf-8"))
    text = written(sha256=True)
    (tmp_path / "locks" / "explicit").mkdir(parents=True)
    (tmp_path / "locks" / "explicit" / "linux-64-cpu.sha256.txt").write_text(text)
    for url, _ in explicit.parse(text) or ():
        subdir, name = url.split("/")[-2:]
        shutil.copyfile(tiny_channel() / subdir / name, tmp_path / name)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert run().returncode == 0, run().stderr
    altered = next(tmp_path.glob("*.conda"))
    os.truncate(altered, altered.stat().st_size - 1)
    done = run()
    assert done.returncode == 1
    assert f"{altered.name}: FAILED" in done.stdout
