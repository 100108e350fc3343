"""The whole chain on real input, one command at a time: `make demo`.

Makes `demo/my-project`, its environment, the official weights, and verifies; a second run starts from what is there.
Takes `--fresh` to start over.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from nomic_scaffold.formats import report_json
from nomic_scaffold.formats.report_words import proven, verdict
from nomic_scaffold.models.report import Report

PROJECT = Path(__file__).resolve().parent.parent / "demo" / "my-project"
SCRIPTS = Path(sys.executable).parent
PAGE, DATA = PROJECT / "report.html", PROJECT / ".nomic-scaffold" / "report.json"


def bold(text: str) -> str:
    """Stress a text where colour is wanted."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[1m{text}\033[0m" if wanted else text


def step(why: str, *arguments: str) -> None:
    """Say why, show the command, run it; stop at the first failure with its exit code."""
    print("\n" + bold(why))
    print("$ " + shlex.join(["nomic-scaffold", *arguments]), flush=True)
    start = time.monotonic()
    code = subprocess.run([str(SCRIPTS / "nomic-scaffold"), *arguments], check=False).returncode
    if code:
        print(f"\nThe demo stopped here: exit code {code}. The line above says what to type.")
        sys.exit(code)
    print(f"({time.monotonic() - start:.1f} s)", flush=True)


def ending(report: Report, seconds: float) -> str:
    """Say what was proven, where the report is, and what to type: every line can be."""
    activate = f"source {shlex.quote(str(SCRIPTS / 'activate'))}"
    if os.name == "nt":
        activate = f'"{SCRIPTS / "activate.bat"}"'
    told = textwrap.fill(proven(report), width=100, initial_indent="  ", subsequent_indent="  ")
    return f"""
{bold(f"Done in {seconds:.0f} s. {verdict(report)}")}
{told}
  The report as a page, with the heat map: {PAGE}

Now it is yours:
  {activate}
  cd {shlex.quote(str(PROJECT))}
  cat README.md                       # what a teammate types
  nomic-scaffold verify               # the proof again
  nomic-scaffold --help"""


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
    reports = ("--report", f"html={PAGE}", "--report", f"json={DATA}")
    step("4. Prove it: locks, files, weights, vectors, languages, privacy.", *here, "verify", *reports)
    print(ending(report_json.parse(DATA.read_text(encoding="utf-8"), path=str(DATA)), time.monotonic() - start))


if __name__ == "__main__":
    main()
