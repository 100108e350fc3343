"""Solve the reference locks of the default answers anew: `nox -s refresh-locks -- [--repodata DIR]`.

Makes a project with `nomic-scaffold new --defaults`, locks its conda part with `nomic-scaffold lock`, and copies what
that wrote into locks/. No PyPI part: a committed file names no package index, and a user's own index adds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = REPOSITORY / "locks"
FILES = ("conda-lock.yml", "locks/cuda.conda-lock.yml", "locks/sizes.json")
FOLDERS = ("locks/explicit",)


def main(arguments: list[str]) -> int:
    """Refresh locks/; `arguments` go on to `nomic-scaffold lock`. Gives its exit code."""
    with tempfile.TemporaryDirectory(prefix="reference-locks-") as scratch:
        project = Path(scratch) / "project"
        run("-q", "--offline", "new", "--defaults", str(project))
        for path in (*FILES, *FOLDERS):
            remove(project / path)
        done = run("-C", str(project), "lock", "--fresh", "--conda-only", *arguments, check=False)
        if done:
            return done
        for path in FILES:
            shutil.copyfile(project / path, LOCKS / Path(path).name)
        for path in FOLDERS:
            remove(LOCKS / Path(path).name)
            shutil.copytree(project / path, LOCKS / Path(path).name)
    return 0


def run(*arguments: str, check: bool = True) -> int:
    """Run the tool as its users do."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run([sys.executable, "-m", "nomic_scaffold", *arguments], check=check, env=environment).returncode


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
