"""What holds for every command: global options, colour, errors and help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nomic_scaffold.cli.main import COMMANDS, run
from nomic_scaffold.errors import ExitCode
from tests.support.weights import make_project

ROOT = Path(__file__).resolve().parents[2]


def told(*arguments: str, cwd: Path, **variables: str) -> tuple[int, str]:
    """Run the command with stderr in a pipe; its exit code and stderr."""
    environ = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS"}}
    done = subprocess.run(
        [sys.executable, "-m", "nomic_scaffold", *arguments],
        cwd=cwd,
        env=environ | {"PYTHONPATH": str(ROOT / "src"), **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("options", "variables", "coloured"),
    [
        ((), {}, False),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_errors_are_coloured_as_asked(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], coloured: bool
) -> None:
    code, err = told(*options, "verify", cwd=tmp_path, **variables)
    assert code == ExitCode.INPUT
    assert "no scaffold.toml in" in err
    assert ("\x1b[" in err) == coloured


@pytest.mark.parametrize(
    ("options", "variables", "traced"),
    [
        ((), {}, False),
        (("-v",), {}, True),
        (("-qv",), {}, True),
        ((), {"NOMIC_SCAFFOLD_VERBOSE": "1"}, True),
        (("-C", "-v"), {}, False),
    ],
)
def test_a_traceback_of_an_error_comes_with_verbose(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], traced: bool
) -> None:
    _, err = told(*options, "verify", cwd=tmp_path, **variables)
    assert ("Traceback" in err) == traced


@pytest.mark.parametrize(("typed", "meant"), [("verfy", "verify"), ("instal", "install"), ("weigths", "weights")])
def test_a_misspelled_command_is_suggested(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([typed]) == ExitCode.USAGE
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


def test_a_command_that_is_like_none_is_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["xyzzy"]) == ExitCode.USAGE
    assert "No such command 'xyzzy'." in capsys.readouterr().err


def listed(text: str) -> list[str]:
    return re.findall(r"^  ([a-z]+) {2,}\S", text.partition("Commands:")[2], re.MULTILINE)


def test_help_lists_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    assert listed(capsys.readouterr().out) == list(COMMANDS)
    assert run(["weights", "--help"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert listed(out) == ["pull", "verify", "add", "list"]
    assert "..." not in out.partition("Commands:")[2]


def test_an_empty_destination_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "", "--defaults"]) == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


# Files that a command writes.


@pytest.mark.parametrize(
    "option", [("--report", "html={}"), ("--save-evidence", "{}"), ("-o", "{}")], ids=lambda option: option[0]
)
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("none/r.html", "there is no folder"),
        ("folder", "is a (folder|directory)"),
        ("file/r.html", "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    option: tuple[str, str], file: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    root = make_project(tmp_path / "project", b"bytes of no model")
    asked = [option[0], option[1].format(tmp_path / file)]
    assert run(["-C", str(root), "verify", "--only", "weights", *asked]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert re.search(words, said.err)
    assert option[0].lstrip("-")[0] in said.err
    assert "WGT" not in said.out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["--save-evidence", "-o"])
def test_an_image_is_not_started_for_a_file_that_cannot_be_written(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_project(tmp_path / "project", b"bytes of no model")
    asked = ["-C", str(root), "image", "verify", option, str(tmp_path / "none" / "file")]
    assert run(asked) == ExitCode.USAGE
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_written_to_and_not_replaced_and_so_are_devices(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    root = make_project(tmp_path / "project", b"bytes of no model")
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # both ends, so that the writer need not wait for a reader
    try:
        told("-C", str(root), "verify", "--only", "weights", "--report", f"json={pipe}", cwd=tmp_path)
        assert b'"schema_version"' in os.read(end, 1 << 16)
    finally:
        os.close(end)
    assert pipe.is_fifo()


def test_evidence_that_is_not_there_names_the_option_and_how_it_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_project(tmp_path / "project", b"bytes of no model")
    assert run(["-C", str(root), "verify", "--evidence", str(tmp_path / "none.json")]) == ExitCode.UNAVAILABLE
    err = capsys.readouterr().err
    assert "--evidence: can't read" in err
    assert "Errno" not in err
    assert "--save-evidence FILE" in err
