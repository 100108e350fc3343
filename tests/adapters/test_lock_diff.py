"""`diff`: what changed, folded where it is the same, between commits, files and folders."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.errors import InputError, UsageError
from nomic_scaffold.formats import lock_diff
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.lock_diff import LockDiff
from nomic_scaffold.models.variant import Platform
from nomic_scaffold.workflows.diff import diff
from tests.support.locking import Site, site
from tests.support.records import Record

IDS = ["linux-64-cpu", "linux-64-cuda", "osx-arm64-cpu", "win-64-cpu", "win-64-cuda"]


def package(name: str, version: str, build: str | None = "0", size: int | None = 1_000_000) -> LockedPackage:
    url = f"https://conda.anaconda.org/conda-forge/noarch/{name}-{version}-{build}.conda"
    return LockedPackage(
        name=name,
        version=version,
        manager="conda" if build else "pip",
        platform=Platform.LINUX_64,
        url=url,
        sha256=url,
        md5=None,
        size=size,
        build=build,
    )


def everywhere(*packages: LockedPackage) -> dict[str, list[LockedPackage]]:
    return {variant: list(packages) for variant in IDS}


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        (IDS, "everywhere"),
        (["linux-64-cuda", "win-64-cuda"], "cuda"),
        (["linux-64-cpu", "osx-arm64-cpu", "win-64-cpu"], "cpu"),
        (["win-64-cpu", "win-64-cuda"], "win-64"),
        (["linux-64-cpu", "osx-arm64-cpu", "win-64-cpu", "win-64-cuda"], "cpu, win-64-cuda"),
        (["osx-arm64-cpu"], "osx-arm64-cpu"),
        (["osx-arm64-cpu", "linux-64-cuda"], "linux-64-cuda, osx-arm64-cpu"),
    ],
)
def test_variants_are_named_as_shortly_as_can_be(variants: list[str], words: str) -> None:
    assert lock_diff.where(variants, IDS) == words


@pytest.mark.parametrize(
    ("before", "after", "words", "cells"),
    [
        pytest.param(
            *(("2.5", "cpu_mkl_py313_h1a_0"), ("2.6", "cpu_mkl_py313_h2b_1")), "2.5 -> 2.6", "| 2.5 | 2.6 |", id="alike"
        ),
        pytest.param(
            *(("2.5", "cpu_mkl_py313_h1a_0"), ("2.6", "cpu_generic_py313_h2b_1")),
            "2.5 cpu_mkl_py313_h1a_0 -> 2.6 cpu_generic_py313_h2b_1",
            "| 2.5 cpu_mkl_py313_h1a_0 | 2.6 cpu_generic_py313_h2b_1 |",
            id="another BLAS",
        ),
        pytest.param(
            *(("2.5", "cuda129_py313_h1a_0"), ("2.5", "cpu_generic_py313_h1a_0")),
            "2.5 (cuda129_py313_h1a_0 -> cpu_generic_py313_h1a_0)",
            "| 2.5 cuda129_py313_h1a_0 | 2.5 cpu_generic_py313_h1a_0 |",
            id="another build of a version",
        ),
    ],
)
def test_builds_are_told_where_they_are_of_another_flavour(
    before: tuple[str, str], after: tuple[str, str], words: str, cells: str
) -> None:
    found = lock_diff.compare(
        everywhere(package("pytorch", *before)), everywhere(package("pytorch", *after)), names=("a", "b")
    )
    assert [lock_diff.versions(change) for change in found.changes] == [words]
    assert cells in lock_diff.markdown(found)


def test_the_same_name_with_other_bytes_is_a_change() -> None:
    old = package("numpy", "2.0", "h1")
    found = lock_diff.compare(everywhere(old), everywhere(replace(old, sha256="of others")), names=("a", "b"))
    assert [(change.kind, lock_diff.versions(change)) for change in found.changes] == [
        ("rebuilt", "2.0 (h1, other bytes)")
    ]
    assert "| 2.0 h1 | 2.0 h1 (other bytes) |" in lock_diff.markdown(found)
    unknown = lock_diff.compare(everywhere(old), everywhere(replace(old, sha256=None)), names=("a", "b"))
    assert unknown.changes == ()


def test_a_change_that_is_the_same_everywhere_is_told_once() -> None:
    old = everywhere(package("numpy", "2.0"), package("gone", "1"), package("same", "1"), package("built", "1", "h1"))
    new = everywhere(package("numpy", "2.1"), package("came", "1"), package("same", "1"), package("built", "1", "h2"))
    new["win-64-cpu"] = [package("numpy", "2.2"), *new["win-64-cpu"][1:]]
    found = lock_diff.compare(old, new, names=("a", "b"))
    told = [(c.kind, c.name, lock_diff.versions(c), lock_diff.where(c.variants, IDS)) for c in found.changes]
    assert told == [
        ("added", "came", "1", "everywhere"),
        ("removed", "gone", "1", "everywhere"),
        ("changed", "numpy", "2.0 -> 2.1", "cuda, linux-64-cpu, osx-arm64-cpu"),
        ("changed", "numpy", "2.0 -> 2.2", "win-64-cpu"),
        ("rebuilt", "built", "1 (h1 -> h2)", "everywhere"),
    ]


def test_figures_say_what_is_to_be_downloaded() -> None:
    old = {"linux-64-cpu": [package("a", "1", size=5_000_000), package("b", "1")]}
    new = {"linux-64-cpu": [package("a", "2", size=7_000_000), package("b", "1"), package("c", "1", size=None)]}
    (figures,) = lock_diff.compare(old, new, names=("a", "b")).variants
    assert (figures.before, figures.after) == (2, 3)
    assert (figures.bytes_before, figures.bytes_after, figures.download) == (6_000_000, 8_000_000, 7_000_000)
    assert figures.unknown == 1


def test_a_variant_that_came_is_a_figure_and_not_a_hundred_rows() -> None:
    found = lock_diff.compare({}, {"win-64-cuda": [package("a", "1")]}, names=("a", "b"))
    assert found.changes == ()
    assert (found.variants[0].before, found.variants[0].after) == (None, 1)
    assert "| win-64-cuda | none → 1 |" in lock_diff.markdown(found)


def test_markdown_is_a_table_that_no_name_can_break() -> None:
    old, new = everywhere(package("numpy", "2.0")), everywhere(package("numpy", "2.1"), package("pipped", "1", None))
    text = lock_diff.markdown(lock_diff.compare(old, new, names=("a|b", "`c`")))
    assert text.splitlines()[:7] == [
        "### Locks: a\\|b → c",
        "",
        "| package | from | to | where |",
        "|---|---|---|---|",
        "| pipped (PyPI) |  | 1 | everywhere |",
        "| numpy | 2.0 | 2.1 | everywhere |",
        "",
    ]
    assert lock_diff.markdown(lock_diff.compare(old, old, names=("a", "b"))).endswith("\nNothing changed.\n")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"]) as found:
        found.lock()
        (found.root / ".gitignore").write_text(".nomic-scaffold/\n")
        git(found, "init", "-q", "-b", "main")
        git(found, "add", "-A")
        git(found, "commit", "-qm", "start")
        found.publish(Record(name="numpy", version="2.3.0", build="py313_9", depends=("python",), day=200))
        yield found


def git(site: Site, *arguments: str) -> None:
    program = shutil.which("git")
    assert program
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.hooksPath=/dev/null"]
    subprocess.run([program, *identity, *arguments], cwd=site.root, check=True, capture_output=True, timeout=60)


def told(found: LockDiff) -> list[tuple[str, str | None, str | None]]:
    return [(change.name, change.before, change.after) for change in found.changes]


def test_the_last_commit_against_the_working_tree_commits_files_and_folders(here: Site, tmp_path: Path) -> None:
    def ask(old: str | None = None, new: str | None = None) -> LockDiff:
        return diff(old, new, root=lambda: here.root)

    assert told(ask()) == []
    shutil.copytree(here.root, tmp_path / "before")
    here.lock(upgrade=("numpy",))
    moved = [("numpy", "2.1.0", "2.3.0")]
    assert told(ask()) == moved
    git(here, "commit", "-qam", "numpy")
    assert told(ask()) == []
    assert told(ask("HEAD~1")) == moved
    assert told(ask("HEAD~1", "main")) == moved
    assert told(ask("main", "HEAD~1")) == [("numpy", "2.3.0", "2.1.0")]
    assert told(ask(str(tmp_path / "before"), str(here.root))) == moved
    files = [str(folder / "conda-lock.yml") for folder in (tmp_path / "before", here.root)]
    found = diff(files[0], files[1], root=lambda: pytest.fail("two files need no project"))
    assert told(found) == moved
    assert {item.id for item in found.variants} == {"linux-64-cpu", "linux-aarch64-cpu", "osx-arm64-cpu", "win-64-cpu"}
    assert all(item.unknown == 0 and item.download > 0 for item in found.variants)


@pytest.mark.parametrize("place", ["nosuch", "HEAD~9", "--output=/tmp/x", "main:conda-lock.yml"])
def test_what_is_no_place_is_refused(here: Site, place: str) -> None:
    with pytest.raises(UsageError, match="is no commit, lock file or folder here"):
        diff(place, None, root=lambda: here.root)


def test_a_lock_that_cannot_be_read_is_named(here: Site, tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("version: 7\n")
    with pytest.raises(InputError, match=r"broken.yml: is no conda-lock file"):
        diff(str(tmp_path / "broken.yml"), None, root=lambda: here.root)


def test_the_command_writes_every_format(here: Site) -> None:
    here.lock(upgrade=("numpy",))

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "nomic_scaffold", "-C", str(here.root), *arguments, "diff"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert run().splitlines()[0] == "~ numpy  2.1.0 -> 2.3.0  everywhere"
    assert "| numpy | 2.1.0 | 2.3.0 | everywhere |" in run("--format", "markdown")
    told = json.loads(run("--format", "json"))
    assert told["schema_version"] == 1
    assert told["changes"][0]["package"] == "numpy"
    assert told["changes"][0]["variants"][0] == {
        "id": "linux-64-cpu",
        "build_before": "py313_0",
        "build_after": "py313_9",
    }
