"""The whole chain on real input, one command at a time: `make demo`.

Makes `demo/my-project`, its environment, the official weights, and verifies; a second run starts from what is there.
Takes `--fresh` to start over.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "demo" / "my-project"
TOOL = [str(Path(sys.executable).with_name("nomic-scaffold"))]


def step(why: str, *arguments: str) -> None:
    """Say why, show the command, run it; stop at the first failure with its exit code."""
    print(f"\n\033[1m{why}\033[0m" if sys.stdout.isatty() else f"\n{why}")
    print("$ " + shlex.join(["nomic-scaffold", *arguments]), flush=True)
    start = time.monotonic()
    code = subprocess.run([*TOOL, *arguments], check=False).returncode
    if code:
        print(f"\nThe demo stopped here: exit code {code}. The line above says what to type.")
        sys.exit(code)
    print(f"({time.monotonic() - start:.1f} s)", flush=True)


def main() -> None:
    """Run the demo."""
    if "--fresh" in sys.argv[1:]:
        shutil.rmtree(PROJECT, ignore_errors=True)
    start = time.monotonic()
    here = ("-C", str(PROJECT))
    if (PROJECT / "scaffold.toml").exists():
        print(f"{PROJECT} is there from an earlier run (make demo starts over after: rm -r demo)")
    else:
        PROJECT.parent.mkdir(exist_ok=True)
        step("1. Make a project from the template, with its locks.", "new", str(PROJECT), "--defaults")
    step("2. Make the environment from the lock, every file by its hash.", *here, "install")
    step("3. Fetch the official weights; the sha256 decides, not the source.", *here, "weights", "pull")
    step("4. Prove it: files, weights, vectors, languages, privacy.", *here, "verify")
    print(f"\nDone in {time.monotonic() - start:.0f} s. Now it is yours:\n  cd {shlex.quote(str(PROJECT))}")
    print("  cat README.md                         what a teammate types")
    print("  nomic-scaffold verify --format html   the same report as a page, with the heat map")


if __name__ == "__main__":
    main()
