"""How long `nomic-scaffold --help` takes, beside Python with click alone: `nox -s bench -- startup`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
COMMANDS = {
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "nomic-scaffold --help": [str(Path(sys.executable).with_name("nomic-scaffold")), "--help"],
    "nomic-scaffold --version": [str(Path(sys.executable).with_name("nomic-scaffold")), "--version"],
}


def best(command: list[str]) -> float:
    """Give the shortest of some rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the times and their ratios."""
    found = {name: best(command) for name, command in COMMANDS.items()}
    base = next(iter(found.values()))
    for name, seconds in found.items():
        print(f"{name:28} {seconds:6.3f} s  {seconds / base:4.2f}x")


main()
