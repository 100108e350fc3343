"""git merges locks through our driver: never a conflict in a lock, never a merged lock that passes for fresh."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.adapters.lock_files import check
from nomic_scaffold.formats import conda_lock, lock_header, lock_merge
from nomic_scaffold.formats.pylock_digest import inputs_digest
from nomic_scaffold.models.variant import Platform
from tests.support.locking import Site, site
from tests.support.records import Record

ATTRIBUTES = "conda-lock.yml merge=nomic-scaffold-lock\nlocks/** merge=nomic-scaffold-lock\n"
NUMPY = Record(name="numpy", version="2.3.0", build="py313_9", depends=("python",), day=200)
RICH = Record(name="rich", version="14.0", build="pyh9_0", depends=("python", "pygments >=2"), day=200)


def git(site: Site, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = shutil.which("git")
    assert program
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(
        [program, *identity, *arguments], cwd=site.root, check=check, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"]) as found:
        (found.root / "locks").mkdir()
        digest = inputs_digest((), "3.11")
        (found.root / "locks" / "pylock.toml").write_text(f'[tool.nomic-scaffold]\ninputs-digest = "{digest}"\n')
        (found.root / ".gitattributes").write_text(ATTRIBUTES)
        (found.root / ".gitignore").write_text(".nomic-scaffold/\n")
        found.lock()
        git(found, "init", "-q", "-b", "main")
        driver = f'"{sys.executable}" -m nomic_scaffold lock --merge-driver %O %A %B %P'
        git(found, "config", "merge.nomic-scaffold-lock.driver", driver)
        git(found, "add", "-A")
        git(found, "commit", "-qm", "start")
        found.publish(NUMPY, RICH)
        yield found


def change(site: Site, branch: str, **wanted: object) -> None:
    git(site, "checkout", "-q", "-b", branch, "main")
    site.lock(**wanted)
    git(site, "commit", "-qam", branch)


def versions(site: Site, platform: Platform = Platform.LINUX_64) -> dict[str, str]:
    return {package.name: package.version for package in conda_lock.parse(site.text()).on(platform)}


def test_upgrades_on_two_branches_are_both_kept_once_locked_again(here: Site) -> None:
    change(here, "numpy", upgrade=("numpy",))
    change(here, "rich", upgrade=("rich",))
    done = git(here, "merge", "-q", "--no-edit", "numpy", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (versions(here)["numpy"], versions(here)["rich"]) == ("2.3.0", "14.0")
    assert {finding.kind for finding in check(here.root)} == {"changed"}
    assert "both sides of a merge changed linux-64" in str(check(here.root)[0])
    here.lock()
    assert (versions(here)["numpy"], versions(here)["rich"]) == ("2.3.0", "14.0")
    assert check(here.root) == ()
    assert "merged=yes" not in here.text()


def test_what_only_one_branch_changed_is_taken_as_it_is(here: Site) -> None:
    change(here, "numpy", upgrade=("numpy",), platforms=("osx-arm64",))
    change(here, "rich", upgrade=("rich",), platforms=("win-64",))
    assert git(here, "merge", "-q", "--no-edit", "numpy").returncode == 0
    assert versions(here, Platform.OSX_ARM64)["numpy"] == "2.3.0"
    assert versions(here, Platform.WIN_64)["rich"] == "14.0"
    assert {record.merged for record in lock_header.parse(here.text()) or ()} == {False}
    assert check(here.root) == ()
    assert set(here.lock().written) <= {"locks/sizes.json"}  # both sides had added to it


def test_requirements_of_two_branches_are_locked_together(here: Site) -> None:
    git(here, "checkout", "-q", "-b", "one", "main")
    here.edit("environment.yml", "python 3.13.*", "python 3.13.1")
    here.lock()
    git(here, "commit", "-qam", "one")
    git(here, "checkout", "-q", "-b", "two", "main")
    here.edit("environment.yml", "- rich", "- rich >=13.0")
    here.lock()
    git(here, "commit", "-qam", "two")
    assert git(here, "merge", "-q", "--no-edit", "one").returncode == 0
    assert check(here.root) != ()
    here.lock()
    assert check(here.root) == ()
    assert versions(here)["rich"] == "13.0"


def test_without_the_driver_a_conflict_is_still_solved_by_locking(here: Site) -> None:
    git(here, "config", "--unset", "merge.nomic-scaffold-lock.driver")
    change(here, "numpy", upgrade=("numpy",))
    change(here, "rich", upgrade=("rich",))
    assert git(here, "merge", "-q", "--no-edit", "numpy", check=False).returncode == 1
    assert "<<<<<<<" in here.text()
    assert check(here.root)[0].kind == "foreign"
    here.lock()
    assert check(here.root) == ()


GOLDEN = '{\n "first": 1,\n "a": 0,\n "b": 0,\n "c": 0,\n "last": 1\n}\n'


def test_a_file_that_lock_does_not_write_is_merged_as_git_would(here: Site) -> None:
    """git calls the driver for all of locks/, and takes its word for what is in the file."""
    path = here.root / "locks" / "golden.json"
    path.write_text(GOLDEN)
    git(here, "add", "-A")
    git(here, "commit", "-qm", "golden")
    for branch, key, value in (("one", "first", 2), ("two", "last", 2), ("three", "last", 3)):
        git(here, "checkout", "-q", "-b", branch, "main")
        path.write_text(GOLDEN.replace(f'"{key}": 1', f'"{key}": {value}'))
        git(here, "commit", "-qam", branch)
    git(here, "checkout", "-q", "two")
    assert git(here, "merge", "-q", "--no-edit", "one").returncode == 0
    assert path.read_text() == GOLDEN.replace('"first": 1', '"first": 2').replace('"last": 1', '"last": 2')
    done = git(here, "merge", "-q", "--no-edit", "three", check=False)
    assert done.returncode == 1
    assert '<<<<<<< ours\n "last": 2\n=======\n "last": 3\n>>>>>>> theirs\n' in path.read_text()
    assert git(here, "status", "--porcelain").stdout == "UU locks/golden.json\n"


def test_channels_that_only_the_other_side_changed_are_taken(here: Site) -> None:
    base = here.text()
    theirs = base.replace("  - url: conda-forge\n", "  - url: bioconda\n")
    ours = base.replace("pypi=none", "pypi=none merged=yes", 1)
    assert base not in (ours, theirs)
    merged = conda_lock.split(lock_merge.merge("conda-lock.yml", base, ours, theirs) or "")
    assert merged is not None
    assert [channel["url"] for channel in merged.channels] == ["bioconda"]


@pytest.mark.parametrize(
    ("path", "base", "ours", "theirs", "merged"),
    [
        pytest.param("locks/sizes.json", "a", "b", "c", "b", id="derived: ours, lock writes it again"),
        pytest.param("locks/explicit/win-64-cpu.txt", "a", "b", "c", "b", id="explicit"),
        pytest.param("locks/cpu.environment.yml", "a", "b", "c", "b", id="overlay"),
        pytest.param("locks/golden.json", "a", "b", "c", None, id="not ours to choose"),
        pytest.param("locks/golden.json", "a", "a", "c", "c", id="theirs alone changed"),
        pytest.param("locks/golden.json", "a", "b", "a", "b", id="ours alone changed"),
        pytest.param("conda-lock.yml", "a", "b", "c", None, id="another tool's lock"),
        pytest.param("locks/pylock.toml", "a", "b", "c", None, id="another tool's pylock"),
        pytest.param(
            "locks/pylock.toml",
            "a",
            f'inputs-digest = "{"1" * 64}"\n',
            f'inputs-digest = "{"2" * 64}"\n',
            f'inputs-digest = "{"0" * 64}"\n',
            id="pylock: to be resolved again",
        ),
    ],
)
def test_each_kind_of_file_has_its_rule(path: str, base: str, ours: str, theirs: str, merged: str | None) -> None:
    assert lock_merge.merge(path, base, ours, theirs) == merged
