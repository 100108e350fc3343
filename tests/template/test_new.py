"""`nomic-scaffold new`: where a project may be made, and that nothing half-made ever stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.adapters.project import read_spec
from nomic_scaffold.cli.main import run
from nomic_scaffold.errors import ExitCode

COMMAND = [sys.executable, "-m", "nomic_scaffold", "--offline"]
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and terminals as POSIX has them")


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No CI variable, a git user, nobody's git configuration."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("CI", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def left() -> list[str]:
    """Everything in the working folder, hidden or not."""
    return sorted(path.name for path in Path.cwd().iterdir())


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", ["my-project", "with blanks", "我的项目", "a/b/c", "Ünï ' \" $x"])
def test_a_project_is_made_whole_and_committed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--offline", "new", name, "--defaults"]) == ExitCode.OK
    root = Path(name)
    assert read_spec(root).name == root.name
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "log", "--format=%an %s") == "Ada Project made by nomic-scaffold 0.1.0"
    assert set(git(root, "ls-files", "-z").strip("\0").split("\0")) >= {
        "scaffold.toml",
        "locks/pylock.toml",
        ".gitignore",
    }
    assert left() == [Path(name).parts[0]]
    told = capsys.readouterr()
    assert told.out == ""
    assert "nomic-scaffold verify" in told.err


def test_an_existing_empty_folder_is_filled_and_stays_itself() -> None:
    Path("here").mkdir()
    before = Path("here").stat().st_ino
    assert run(["--offline", "new", "here", "--defaults"]) == ExitCode.OK
    assert Path("here").stat().st_ino == before
    assert (Path("here") / "scaffold.toml").is_file()
    assert not list(Path("here").glob(".nomic-scaffold-*"))


def test_the_current_folder_is_a_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("atlas").mkdir()
    monkeypatch.chdir("atlas")
    assert run(["--offline", "new", ".", "--defaults"]) == ExitCode.OK
    assert read_spec(Path()).package == "atlas"


def test_answers_come_from_options() -> None:
    given = ["--name", "Suche", "--package", "suche", "--language", "de", "--language", "en", "--license", "mit"]
    given += ["--platform", "linux-64", "--variant", "cpu", "--python", "3.12", "--author", "Ada", "--description", "D"]
    assert run(["--offline", "new", "x", *given]) == ExitCode.OK
    spec = read_spec(Path("x"))
    assert (spec.name, spec.package, spec.languages, spec.python) == ("Suche", "suche", ("en", "de"), "3.12")
    assert [variant.id for variant in spec.variants] == ["linux-64-cpu"]
    assert (Path("x") / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n\nCopyright (c) Ada\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["full"], "is not empty (it holds notes.txt)"),
        (["file"], "is a file"),
        (["file/below"], "is a file"),
        (["x", "--package", "json"], "--package 'json'"),
        (["x", "--package", "2fast"], "--package '2fast'"),
        (["x", "--licence", "WTFPL"], "--licence 'WTFPL'"),
        (["x", "--language", "tlh"], "--language 'tlh'"),
        (["x", "--platform", "osx-64"], "--platform 'osx-64'"),
        (["x", "--variant", "rocm"], "--variant 'rocm'"),
        (["x", "--python", "2.7"], "--python '2.7'"),
        (["x", "--from", "absent.yml"], "absent.yml: can't be read"),
        (["x", "--from", "bad.yml"], "bad.yml:4: "),
        (["x", "--from", "old.yml"], "old.yml:3: 'pytorch ==2.1' excludes"),
        (["n" * 300, "--name", "x"], "can't write in"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_cannot_be_is_named_and_leaves_nothing(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    Path("file").write_text("mine")
    Path("bad.yml").write_text("channels: [conda-forge]\ndependencies:\n  - [\n")
    Path("old.yml").write_text("channels: [conda-forge]\ndependencies:\n  - pytorch ==2.1\n")
    before = left()
    assert run(["--offline", "new", *arguments, "--defaults"]) in (ExitCode.USAGE, ExitCode.INPUT)
    error = capsys.readouterr().err
    assert told in error
    assert "hint:" in error
    assert "Traceback" not in error
    assert left() == before
    assert Path("full/notes.txt").read_text() == "mine"


@posix_only
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = Path("/sys") if os.geteuid() == 0 else tmp_path / "locked"
    if os.geteuid():
        locked.mkdir(mode=0o555)
    assert run(["--offline", "new", str(locked / "x"), "--defaults"]) == ExitCode.USAGE
    assert f"can't write in {locked}: " in capsys.readouterr().err
    assert not (locked / "x").exists()


def test_a_file_of_windows_is_adopted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [b"name: old", b"channels:", b"  - conda-forge", b"dependencies:", b"  - python=3.12", b"  - pandas # t"]
    Path("theirs.yml").write_bytes(b"\xef\xbb\xbf" + b"".join(line + b"\r\n" for line in lines))
    assert run(["--offline", "new", "x", "--defaults", "--from", "theirs.yml"]) == ExitCode.OK
    text = (Path("x") / "environment.yml").read_bytes().decode()
    assert text.startswith("name: old\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.12\n  - pandas # t\n")
    assert "\r" not in text
    spec = read_spec(Path("x"))
    assert spec.python == "3.12"
    assert "pytorch >=2.6" in spec.requirements
    told = capsys.readouterr().err
    assert "added what the embedding code needs: pip, pytorch" in told
    assert "conda-lock.yml is not there yet" in told
    assert "nomic-scaffold lock\n" in told


def test_json_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--offline", "--format", "json", "new", "x", "--defaults"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["project"] == str(Path("x").absolute())
    assert answer["commit"] == "committed"
    assert "locks/pylock.toml" in answer["locks"]
    assert answer["files"] == sum(1 for path in Path("x").rglob("*") if path.is_file() and ".git" not in path.parts)


class TestFirstCommit:
    """The first commit is the same whatever git's configuration is."""

    def test_none_is_made_when_not_wanted(self) -> None:
        assert run(["--offline", "new", "x", "--defaults", "--no-git"]) == ExitCode.OK
        assert not Path("x/.git").exists()

    def test_without_a_user_it_is_nobodys_and_says_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        assert run(["--offline", "new", "x", "--defaults"]) == ExitCode.OK
        assert git(Path("x"), "log", "--format=%ae") == "nomic-scaffold@localhost"
        assert "git commit --amend --reset-author" in capsys.readouterr().err

    def test_inside_a_repository_none_is_made(self, capsys: pytest.CaptureFixture[str]) -> None:
        git(Path(), "init", "--quiet")
        assert run(["--offline", "new", "x", "--defaults"]) == ExitCode.OK
        assert not Path("x/.git").exists()
        assert "commit it there" in capsys.readouterr().err

    def test_a_folder_that_the_repository_around_ignores_has_its_own(self) -> None:
        git(Path(), "init", "--quiet")
        Path(".gitignore").write_text("/x/\n")
        assert run(["--offline", "new", "x", "--defaults"]) == ExitCode.OK
        assert git(Path("x"), "status", "--porcelain") == ""
        assert Path("x/.git").is_dir()

    @posix_only
    def test_hooks_signing_ignore_files_and_templates_of_the_user_do_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hooks = tmp_path / "hooks"
        hooks.mkdir()
        for name in ("pre-commit", "commit-msg", "post-commit", "prepare-commit-msg"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/hooked'\nexit 1\n")
            (hooks / name).chmod(0o755)
        template = tmp_path / "template"
        shutil.copytree(hooks, template / "hooks")
        (tmp_path / "ignored").write_text("*.toml\nlocks/\n")
        config = Path(os.environ["GIT_CONFIG_GLOBAL"])
        config.write_text(
            config.read_text()
            + f"[core]\n\thooksPath = {hooks}\n\texcludesFile = {tmp_path}/ignored\n\tautocrlf = true\n"
            + f"[init]\n\ttemplateDir = {template}\n[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n"
        )
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        assert run(["--offline", "new", "x", "--defaults"]) == ExitCode.OK
        monkeypatch.delenv("GIT_DIR")
        assert "scaffold.toml" in git(Path("x"), "ls-files").splitlines()
        assert not (tmp_path / "hooked").exists()
        assert not (tmp_path / "elsewhere").exists()

    def test_without_git_there_is_a_project_all_the_same(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "nothing").mkdir()
        done = subprocess.run(
            [*COMMAND, "new", "x", "--defaults"],
            env={**os.environ, "PATH": str(tmp_path / "nothing")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "git is not installed" in done.stderr
        assert Path("x/scaffold.toml").is_file()


@posix_only
class TestKilled:
    """A killed `new` leaves nothing that could be taken for a project, and can be run again."""

    @pytest.fixture
    def stuck(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        """A `new` that is in the middle: its files are written, git hangs."""
        (tmp_path / "bin").mkdir()
        hanging = tmp_path / "bin" / "git"
        real = shutil.which("git")
        hanging.write_text(
            f'#!/bin/sh\ncase "$*" in *"init --quiet"*) touch "{tmp_path}/reached"; exec sleep 60;; esac\n'
            f'exec {real} "$@"\n'
        )
        hanging.chmod(0o755)
        process = subprocess.Popen(
            [*COMMAND, "new", "x", "--defaults"],
            env={**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
        if process.poll() is None:
            process.kill()
        process.communicate()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
    def test_a_signal_leaves_nothing(self, stuck: subprocess.Popen[str], number: signal.Signals) -> None:
        assert left() != []
        stuck.send_signal(number)
        _, told = stuck.communicate(timeout=30)
        assert stuck.returncode == ExitCode.INTERRUPTED
        assert "Traceback" not in told
        assert left() == []

    def test_a_kill_leaves_no_project_and_the_next_run_clears_up(self, stuck: subprocess.Popen[str]) -> None:
        os.killpg(stuck.pid, signal.SIGKILL)
        stuck.communicate(timeout=30)
        (leftover,) = left()
        assert leftover.startswith(".nomic-scaffold-")
        os.utime(leftover, (0, 0))
        assert run(["--offline", "new", "x", "--defaults"]) == ExitCode.OK
        assert left() == ["x"]

    def test_a_run_clears_nothing_of_another_that_is_still_at_work(self, stuck: subprocess.Popen[str]) -> None:
        (working,) = left()
        os.utime(working, (0, 0))
        assert run(["--offline", "new", "y", "--defaults"]) == ExitCode.OK
        assert left() == [working, "y"]
