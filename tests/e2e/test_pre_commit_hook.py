"""The hook that this repository offers to pre-commit: which files start it, and what its entry does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nomic_scaffold.errors import ExitCode
from nomic_scaffold.formats.pylock_digest import inputs_digest
from tests.support.locking import Site, site

ROOT = Path(__file__).resolve().parents[2]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
(HOOK,) = HOOKS


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch) as found:
        (found.root / "locks").mkdir()
        lines = f'[tool.nomic-scaffold]\ninputs-digest = "{inputs_digest((), "3.11")}"\n'
        (found.root / "locks" / "pylock.toml").write_text(lines, encoding="utf-8")
        found.lock()
        yield found


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the entry as pre-commit does: in the repository's folder, its environment's programs first, no file names."""
    assert HOOK["pass_filenames"] is False
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program, *arguments = shlex.split(HOOK["entry"])
    found = shutil.which(program, path=path)
    assert found is not None
    return subprocess.run(
        [found, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_fresh_lock_passes_and_a_stale_one_names_the_line(locked: Site) -> None:
    done = run(locked.root)
    assert done.returncode == 0, done.stderr
    locked.edit("environment.yml", "numpy >=2", "numpy >=2.1")
    line = locked.text("environment.yml").splitlines().index("  - numpy >=2.1") + 1
    done = run(locked.root)
    assert done.returncode == ExitCode.INPUT
    assert f"environment.yml:{line}: 'numpy >=2.1' is locked with 'numpy >=2'" in done.stderr
    assert "hint:  nomic-scaffold lock" in done.stderr


@pytest.mark.parametrize(
    ("path", "starts"),
    [
        ("environment.yml", True),
        ("scaffold.toml", True),
        ("conda-lock.yml", True),
        ("locks/cuda.conda-lock.yml", True),
        ("locks/explicit/linux-64-cpu.txt", True),
        ("services/search/environment.yml", True),
        ("src/my_project/embedding.py", False),
        ("my-environment.yml", False),
        ("scaffold.toml.orig", False),
    ],
)
def test_files_that_start_it(path: str, starts: bool) -> None:
    assert bool(re.search(HOOK["files"], path)) is starts


def test_pre_commit_can_install_it() -> None:
    """What pre-commit asks of a manifest, and that its `language: python` can install this repository."""
    assert {"id", "name", "entry", "language"} <= HOOK.keys()
    assert HOOK["language"] == "python"
    assert "nomic-scaffold = " in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_page_on_ci_has_this_hook() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block.partition("```")[0]) for block in page.split("```yaml\n")[1:]]
    (config,) = [block for block in blocks if "repos" in block]
    assert config["repos"][0]["hooks"] == [{"id": HOOK["id"]}]
