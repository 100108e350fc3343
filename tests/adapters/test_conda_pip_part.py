"""The pip section of a lock in a conda environment, with the real uv and an index on this machine."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda.install import PipPart
from nomic_scaffold.adapters.pypi.into_conda import install_into
from nomic_scaffold.errors import HashMismatchError, UnavailableError
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Platform
from tests.support.channel import interpreter_channel, locked, mirrored
from tests.support.conda_environment import Bench, needs_linux
from tests.support.conda_package import HERE
from tests.support.server import Fault, Served, serve
from tests.support.simple_index import configured_index
from tests.support.wheels import PYTHON

pytestmark = needs_linux
SITE = f"lib/python{PYTHON}/site-packages"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Served]:
    """An index with `tea` (which needs `cup`) and `cup`; pip is configured for it."""
    with configured_index(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A cache that holds a Python that runs."""
    bench = Bench(tmp_path_factory.mktemp("python"), locked(interpreter_channel(), "python", "python_abi"))
    with serve(interpreter_channel()) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    return bench


@pytest.fixture
def bench(cache: Bench, tmp_path: Path, index: Served) -> Bench:
    conda = Bench(tmp_path / "bench", cache.packages)
    conda.root.mkdir()
    (conda.root / "pkgs").symlink_to(cache.cache)
    conda.packages = (*cache.packages, wheel(index, "cup"), wheel(index, "tea"))
    return conda


def wheel(index: Served, name: str) -> LockedPackage:
    file = index.folder / "files" / f"{name}-1.0-py3-none-any.whl"
    return LockedPackage(
        name=name,
        version="1.0",
        manager="pip",
        platform=Platform(HERE),
        url=f"https://example.org/{file.name}",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        md5=None,
    )


def pip_part(folder: Path, asked: list[list[str]] | None = None) -> PipPart:
    def put(prefix: Prefix, packages: Sequence[LockedPackage]) -> None:
        if asked is not None:
            asked.append([package.name for package in packages])
        install_into(prefix, packages, wheels=folder / "wheels", offline=False, progress=Silent())

    return put


def test_wheels_are_put_in_by_hash_and_only_the_locked_ones(bench: Bench, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    bench.install(offline=True, pip=pip_part(tmp_path, asked))
    assert asked == [["cup", "tea"]]
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    evidence = bench.look(deep=True)
    assert {p.name: p.sha256 for p in evidence.packages if p.manager == "pip"} == {
        p.name: p.sha256 for p in bench.packages if p.manager == "pip"
    }
    done = subprocess.run([bench.prefix / "bin/brew"], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
    bench.install(offline=True, pip=pip_part(tmp_path, asked))
    assert len(asked) == 1, "nothing to do the second time"


def test_only_what_is_broken_is_put_in_again(bench: Bench, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    bench.install(offline=True, pip=pip_part(tmp_path, asked))
    (bench.prefix / SITE / "tea/leaves.py").write_text("LEAVES = 8\n")
    assert bench.troubles(deep=False)["ENV006"] is Status.FAIL
    bench.install(offline=True, pip=pip_part(tmp_path, asked))
    assert asked[1:] == [["tea"]]
    assert bench.troubles(deep=True) == {}


def test_dependencies_that_the_lock_lacks_are_not_pulled_in(bench: Bench, tmp_path: Path) -> None:
    bench.packages = tuple(p for p in bench.packages if p.name != "cup")
    bench.install(offline=True, pip=pip_part(tmp_path))
    assert not (bench.prefix / SITE / "cup").exists()
    assert bench.troubles(deep=True) == {}


def test_other_bytes_than_the_locks_are_refused(bench: Bench, tmp_path: Path, index: Served) -> None:
    bench.packages = tuple(replace(p, sha256="0" * 64) if p.name == "tea" else p for p in bench.packages)
    with pytest.raises((HashMismatchError, UnavailableError)):
        bench.install(offline=True, pip=pip_part(tmp_path))
    assert not (bench.prefix / SITE / "tea").exists()
    assert not (bench.prefix / ".nomic-scaffold.json").exists()


def test_an_index_that_is_gone_leaves_it_unfinished_and_the_next_run_goes_on(
    bench: Bench, tmp_path: Path, index: Served
) -> None:
    index.faults["*"] = Fault(status=503)
    with pytest.raises(UnavailableError):
        bench.install(offline=True, pip=pip_part(tmp_path))
    assert not (bench.prefix / ".nomic-scaffold.json").exists()
    index.faults.clear()
    bench.install(offline=True, pip=pip_part(tmp_path))
    assert bench.troubles(deep=True) == {}


def test_what_pip_was_told_by_hand_goes_away(bench: Bench, tmp_path: Path, index: Served) -> None:
    bench.packages = tuple(p for p in bench.packages if p.name != "tea")
    bench.install(offline=True, pip=pip_part(tmp_path))
    extra = Prefix(path=bench.prefix, provider="conda", accelerator="cpu", python=bench.prefix / "bin/python")  # type: ignore[arg-type]
    install_into(extra, [wheel(index, "tea")], wheels=tmp_path, offline=False, progress=Silent())
    assert bench.troubles(deep=True) == {"ENV003": Status.FAIL, "ENV012": Status.UNKNOWN}
    bench.install(offline=True, pip=pip_part(tmp_path))
    assert bench.troubles(deep=True) == {}
    assert not (bench.prefix / "bin/brew").exists()
