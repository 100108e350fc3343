"""The tool as people get it: its wheel, and a machine that has its dependencies but not the tool."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
OURS = ("nomic_scaffold", "_nomic_scaffold", "pip", "setuptools", "_virtualenv", "distutils-precedence")


@pytest.fixture(scope="session")
def tool_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository, alone in its folder; built once for all processes of a run."""
    run = tmp_path_factory.getbasetemp()
    folder = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "tool-wheel"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def bare_machine(folder: Path) -> Path:
    """Make a virtual environment in which `pip install` of the tool finds every dependency; give its programs.

    The dependencies are links into the environment that runs the tests, so nothing is downloaded.
    """
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    programs, lent = folder / "bin", folder / "lent"
    lent.mkdir()
    for place in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
        for item in Path(place).iterdir():
            if item.suffix != ".pth" and item.name.partition("-")[0].partition(".")[0] not in OURS:
                (lent / item.name).symlink_to(item)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    (programs / "uv").symlink_to(Path(sysconfig.get_path("scripts")) / "uv")
    return programs
