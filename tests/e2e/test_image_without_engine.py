"""What `image build` says before it needs an engine, or without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    run(folder, "new", str(folder / "p"), "--defaults")
    return folder / "p"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/none.sock", "CI": "true"}
    command = [sys.executable, "-m", "nomic_scaffold", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_an_engine_the_error_says_how_to_get_one(project: Path) -> None:
    done = run(project.parent, "-C", str(project), "image", "build", "--platform", "linux-64")
    assert done.returncode == 7
    assert "DOCKER_HOST" in done.stderr


def test_a_gpu_is_asked_for_with_the_cuda_variant_only(project: Path) -> None:
    done = run(project.parent, "-C", str(project), "image", "verify", "--gpu")
    assert done.returncode == 2
    assert "--variant cuda" in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "is missing"), (b"\xff", "is not UTF-8"), (b"FORM debian\n", "no line starts with FROM")],
)
def test_a_broken_dockerfile_is_told_before_an_engine_is_asked(project: Path, content: bytes | None, told: str) -> None:
    path = project / "Dockerfile"
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = run(project.parent, "-C", str(project), "image", "build", "--platform", "linux-64")
    path.write_bytes(before)
    assert done.returncode == 3
    assert "error: Dockerfile: " in done.stderr
    assert told in done.stderr


def test_a_stale_lock_is_refused_before_anything_else(project: Path) -> None:
    text = (project / "environment.yml").read_text(encoding="utf-8")
    (project / "environment.yml").write_text(text.replace("  - pandas", "  - scipy\n  - pandas"), encoding="utf-8")
    done = run(project.parent, "-C", str(project), "image", "build", "--platform", "linux-64")
    assert done.returncode == 3
    assert "environment.yml" in done.stderr
    assert "nomic-scaffold lock" in done.stderr
