"""Solve the reference locks of the default answers anew: `nox -s refresh-locks -- [--repodata DIR]`.

Makes a project with `nomic-scaffold new --defaults`, locks its conda part with `nomic-scaffold lock`, and copies what
that wrote into locks/. No PyPI part: a committed file names no package index, and a user's own index adds it.
locks/source.txt says which records they were solved from, so that a test solves them again only against the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = REPOSITORY / "locks"
FILES = ("conda-lock.yml", "locks/cuda.conda-lock.yml", "locks/sizes.json")
SOURCE = "source.txt"
FOLDERS = ("locks/explicit",)


def main(arguments: list[str], *, locks: Path = LOCKS) -> int:
    """Refresh the folder `locks`; `arguments` go on to `nomic-scaffold lock`. Gives its exit code."""
    with tempfile.TemporaryDirectory(prefix="reference-locks-") as scratch:
        project = Path(scratch) / "project"
        run("-q", "--offline", "new", "--defaults", str(project))
        for path in (*FILES, *FOLDERS):
            remove(project / path)
        done = run("-C", str(project), "lock", "--fresh", "--conda-only", *arguments, check=False)
        if done:
            return done
        for path in FILES:
            shutil.copyfile(project / path, locks / Path(path).name)
        for path in FOLDERS:
            remove(locks / Path(path).name)
            shutil.copytree(project / path, locks / Path(path).name)
    (locks / SOURCE).write_text(f"{source(arguments)}\n", encoding="utf-8", newline="\n")
    return 0


def source(arguments: list[str]) -> str:
    """Say what locks are solved from: the channel, or a folder of records by the sha256 of all of them."""
    if "--repodata" not in arguments:
        return "https://conda.anaconda.org/conda-forge"
    return f"records sha256:{digest(Path(arguments[arguments.index('--repodata') + 1]))}"


def digest(folder: Path) -> str:
    """Hash the records of a folder, `<subdir>/repodata.json[.zst]`; lower-case hex."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*/repodata.json*")):
        found.update(
            f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return found.hexdigest()


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
