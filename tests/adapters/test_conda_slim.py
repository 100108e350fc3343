"""A slim environment lacks what embedding never opens, says so, and is still held against the lock for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda.slim import slim
from nomic_scaffold.formats.left_out import NAME, PATTERNS, LeftOut
from nomic_scaffold.models.report import Status
from tests.support.channel import locked, mirrored, write
from tests.support.conda_environment import Bench, needs_linux
from tests.support.conda_package import Package
from tests.support.server import serve

pytestmark = needs_linux
NEEDED = ("lib/libfat.so.1", "share/fat/table.bin")
NOT_NEEDED = ("include/fat/fat.h", "lib/libfat.a", "lib/cmake/fat/fat.cmake", "share/man/man1/fat.1")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    channel = tmp_path_factory.mktemp("channel")
    package = Package("fat", "1.0", "h0_0")
    for number, name in enumerate((*NEEDED, *NOT_NEEDED)):
        package.add(name, bytes([number]) * 1000)
    package.links |= {"lib/libfat.so": "libfat.so.1"}
    write(channel, [package])
    with serve(channel) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench = Bench(tmp_path_factory.mktemp("filled"), locked(channel, "fat"))
        bench.install()
        yield bench


@pytest.fixture
def bench(filled: Bench, tmp_path: Path) -> Bench:
    made = Bench(tmp_path, filled.packages)
    made.install()
    return made


def test_a_slim_environment_lacks_what_is_not_needed_and_passes(bench: Bench) -> None:
    left = slim(bench.prefix)
    assert (left.files, left.bytes) == (len(NOT_NEEDED), 1000 * len(NOT_NEEDED))
    assert [name for name in (*NEEDED, *NOT_NEEDED) if (bench.prefix / name).exists()] == list(NEEDED)
    assert not (bench.prefix / "include").exists()
    assert bench.look(deep=True).left_out == PATTERNS
    assert bench.troubles(deep=True) == {}


def test_two_slim_environments_are_the_same_bytes(bench: Bench, filled: Bench) -> None:
    contents = []
    for number in range(2):
        prefix = bench.root / str(number) / "env"
        bench.install(prefix=prefix, copy=True)
        slim(prefix)
        found = {p.relative_to(prefix).as_posix(): p.read_bytes() for p in prefix.rglob("*") if p.is_file()}
        contents.append({name: data.replace(str(prefix).encode(), b"PREFIX") for name, data in found.items()})
    assert contents[0] == contents[1]


def test_another_missing_file_still_fails(bench: Bench) -> None:
    slim(bench.prefix)
    (bench.prefix / NEEDED[1]).unlink()
    assert bench.findings(deep=True) == {NEEDED[1]: "missing"}
    assert Status.FAIL in bench.troubles(deep=True).values()


def test_without_the_record_nothing_is_excused(bench: Bench) -> None:
    slim(bench.prefix)
    (bench.prefix / NAME).unlink()
    assert bench.findings(deep=True) == dict.fromkeys(sorted(NOT_NEEDED), "missing")


@pytest.mark.parametrize("pattern", ["*", "lib/*", "share/fat/*"])
def test_a_forged_record_excuses_nothing(bench: Bench, pattern: str) -> None:
    (bench.prefix / NEEDED[1]).unlink()
    forged = LeftOut(patterns=(pattern,), files=1, bytes=1)
    (bench.prefix / NAME).write_text(forged.model_dump_json(), encoding="utf-8")
    assert bench.findings(deep=True) == {NEEDED[1]: "missing"}


def test_a_file_that_was_left_out_and_came_back_is_looked_at(bench: Bench) -> None:
    slim(bench.prefix)
    (bench.prefix / "lib" / "libfat.a").write_bytes(b"another")
    assert bench.findings(deep=True) == {"lib/libfat.a": "resized"}


def test_slim_twice_adds_up(bench: Bench) -> None:
    first = slim(bench.prefix)
    (bench.prefix / "include").mkdir()
    (bench.prefix / "include" / "more.h").write_bytes(b"12345")
    second = slim(bench.prefix)
    assert (second.files, second.bytes) == (first.files + 1, first.bytes + 5)
    assert json.loads((bench.prefix / NAME).read_text(encoding="utf-8"))["files"] == first.files + 1
    assert slim(bench.prefix) == second
