"""How long `nomic-scaffold --help` takes, beside Python with click alone: `nox -s bench -- startup`.

Goals: under 0.15 s, and within 3 times `python -c "import click"`. The table lands in docs/explanation/tool-speed.md;
`--quick` measures a few rounds and only prints.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._tables import finish, goals, rows

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/tool-speed.md"
SECONDS, RATIO = 0.15, 3
CLICK, HELP = "`python -c 'import click'`", "`nomic-scaffold --help`"
SCRIPT = Path(sys.executable).with_name("nomic-scaffold")
TOOL = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "nomic_scaffold"]
COMMANDS = {
    CLICK: [sys.executable, "-c", "import click"],
    HELP: [*TOOL, "--help"],
    "`nomic-scaffold --version`": [*TOOL, "--version"],
}


def best(command: list[str], rounds: int) -> float:
    """Give the shortest of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure, print, and put the table into the documentation."""
    quick = "--quick" in sys.argv[1:]
    rounds = 3 if quick else 15
    found = {name: best(command, rounds) for name, command in COMMANDS.items()}
    base = found[CLICK]
    measured = rows(
        ("", "seconds", "times click"), *((name, f"{s:.3f}", f"{s / base:.2f}") for name, s in found.items())
    )
    held = goals(
        (f"under {SECONDS} s: {HELP}", f"{found[HELP]:.3f} s", found[HELP] < SECONDS),
        (f"at most {RATIO} times {CLICK}", f"{found[HELP] / base:.2f} times", found[HELP] <= RATIO * base),
    )
    finish(PAGE, "startup", f"Best of {rounds} rounds:\n\n{measured}\n\n{held}", quick=quick)


if __name__ == "__main__":
    main()
