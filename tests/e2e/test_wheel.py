"""The built wheel, in a clean environment, from an empty folder: everything that ships is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tool_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the installed command."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([str(scripts / "python"), "-m", "pip", "install", "--quiet", str(tool_wheel)], check=True)
    return scripts


def run(scripts: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(scripts / "nomic-scaffold"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_is_small(tool_wheel: Path) -> None:
    assert tool_wheel.stat().st_size < 5_000_000


def test_new_works_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "new", "my project", "--defaults")
    assert done.returncode == 0, done.stderr
    project = tmp_path / "my project"
    for name in ("environment.yml", "scaffold.toml", "conda-lock.yml", "locks/pylock.toml", "locks/golden.json"):
        assert (project / name).is_file(), name
    where = [str(installed / "python"), "-c", "import nomic_scaffold; print(nomic_scaffold.__file__)"]
    place = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert str(ROOT / "src") not in place


def test_a_project_made_from_the_wheel_has_nothing_of_the_machine_in_it(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "new", "there", "--defaults").returncode == 0
    for path in (tmp_path / "there").rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            assert str(tmp_path).encode() not in path.read_bytes(), path


def test_the_wheel_holds_all_that_the_tools_image_is_built_from(installed: Path, tmp_path: Path) -> None:
    script = (
        "import hashlib, nomic_scaffold.workflows.image.tool_image as t\n"
        "for name, path in sorted(t.source().items()): print(name, hashlib.sha256(path.read_bytes()).hexdigest())"
    )
    texts = []
    for python, environment in (
        (installed / "python", {}),
        (Path(sys.executable), {"PYTHONPATH": str(ROOT / "src")}),
    ):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environment
        command = [str(python), "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
        texts.append(done.stdout)
    assert texts[0] == texts[1]
    assert "Dockerfile " in texts[0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["--help"], 0), (["verify"], 3), (["nonsense"], 2), (["lock", "--check"], 3)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_commands_outside_a_project(installed: Path, tmp_path: Path, arguments: list[str], code: int) -> None:
    done = run(installed, tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
