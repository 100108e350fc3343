"""The reference locks are refreshed by a command, and a workflow runs it every week."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nomic_scaffold.formats import conda_lock
from nomic_scaffold.formats.builds import flavour_of
from nomic_scaffold.models.lock import LockedPackage
from tests.support import records
from tests.support.records import Record
from tools import refresh_locks

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = REPOSITORY / "locks"
FILES = ("conda-lock.yml", "cuda.conda-lock.yml")


def shipped() -> list[LockedPackage]:
    return [package for name in FILES for package in conda_lock.parse((LOCKS / name).read_text("utf-8")).packages]


def channel(folder: Path) -> Path:
    """Make a channel of just the packages that the shipped locks hold: then the same names solve it."""
    made = {}
    for package in shipped():
        subdir = package.url.rpartition("/")[0].rpartition("/")[2]
        filename, flavour = package.url.rpartition("/")[2], flavour_of(package.build)
        made[filename, subdir] = Record(
            name=package.name,
            version=package.version,
            build=filename.removesuffix(".conda").removesuffix(".tar.bz2").rpartition("-")[2],
            # A lock leaves out which build of libtorch goes with a pytorch.
            depends=(*package.depends, *([f"libtorch * {flavour}*"] if package.name == "pytorch" else [])),
            subdir=subdir,
        )
    return records.write(folder, made.values())


@pytest.mark.timeout(300)
def test_the_command_solves_the_default_answers_and_says_from_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_REPODATA", str(tmp_path / "repodata"))
    made, folder = tmp_path / "locks", channel(tmp_path / "channel")
    made.mkdir()
    assert refresh_locks.main(["--repodata", str(folder)], locks=made) == 0
    for name in FILES:
        locked = conda_lock.parse((made / name).read_text("utf-8")).packages
        assert {(p.name, p.platform) for p in locked} == {
            (p.name, p.platform) for p in conda_lock.parse((LOCKS / name).read_text("utf-8")).packages
        }
    files = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(LOCKS).as_posix() for path in LOCKS.rglob("*") if path.is_file() and path.parent.name != "tool"
    } - {"README.md", "pylock.toml"}
    assert (made / "source.txt").read_text() == f"records sha256:{refresh_locks.digest(folder)}\n"


def test_what_has_no_solution_leaves_the_old_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_REPODATA", str(tmp_path / "repodata"))
    made = tmp_path / "locks"
    made.mkdir()
    (made / "conda-lock.yml").write_text("old")
    empty = records.write(tmp_path / "channel", [])
    assert refresh_locks.main(["--repodata", str(empty)], locks=made) == 4
    assert [(path.name, path.read_text()) for path in made.iterdir()] == [("conda-lock.yml", "old")]


WORKFLOWS = REPOSITORY / ".github" / "workflows"


def step(name: str) -> str:
    jobs: dict[str, Any] = yaml.safe_load((WORKFLOWS / "refresh-locks.yml").read_text("utf-8"))["jobs"]
    (found,) = [step["run"] for step in jobs["refresh"]["steps"] if step.get("name", "").startswith(name)]
    assert isinstance(found, str)
    return found


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name == "nt", reason="the step is run with bash, as on Linux")
@pytest.mark.parametrize(
    ("number", "edit", "told", "code"),
    [
        pytest.param("", 0, ["pr list", "pr create", "workflow run"], 0, id="a new pull request"),
        pytest.param("7", 0, ["pr list", "pr edit", "workflow run"], 0, id="the one that is open"),
        pytest.param("7", 1, ["pr list", "pr edit"], 1, id="an edit that failed makes no second one"),
    ],
)
def test_the_pull_request_is_opened_or_edited_and_ci_is_started(
    tmp_path: Path, number: str, edit: int, told: list[str], code: int
) -> None:
    bin_, work = tmp_path / "bin", tmp_path / "work"
    bin_.mkdir()
    (work / "locks").mkdir(parents=True)
    for name in ("conda-lock.yml", "cuda.conda-lock.yml", "sizes.json"):
        (work / "locks" / name).write_text(name)
    tool = work / ".nox" / "refresh-locks" / "bin"
    tool.mkdir(parents=True)
    program(tool, "nomic-scaffold", "echo a diff")
    program(bin_, "git", 'if [ "$1" = diff ]; then exit 1; fi')
    answer = f'case "$1 $2" in "pr list") echo "{number}";; "pr edit") exit {edit};; esac'
    program(bin_, "gh", f'echo "$1 $2" >> "{tmp_path}/asked"\n{answer}')
    environment = {
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GH_TOKEN": "x",
        "REPOSITORY": "a/b",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step("Open a pull request")],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, (tmp_path / "asked").read_text().splitlines()) == (code, told), done.stderr


def test_ci_can_be_started_by_the_refresh_and_locks_are_judged_first() -> None:
    triggers = yaml.load((WORKFLOWS / "ci.yml").read_text("utf-8"), Loader=yaml.BaseLoader)["on"]
    assert "workflow_dispatch" in triggers
    refresh = yaml.safe_load((WORKFLOWS / "refresh-locks.yml").read_text("utf-8"))["jobs"]["refresh"]
    assert refresh["permissions"]["actions"] == "write"
    names = [str(item.get("name", item.get("run", ""))) for item in refresh["steps"]]
    assert names.index("Nothing is wrong with them by themselves") < len(names) - 1
