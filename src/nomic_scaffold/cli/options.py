"""The global options, and what they resolve to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.errors import InputError, UsageError

PROJECT_FILE = "scaffold.toml"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Global options; found in click's `ctx.obj`."""

    project: Path | None
    quiet: bool
    verbose: bool
    format: str | None
    offline: bool
    progress: bool
    color: str

    @property
    def in_ci(self) -> bool:
        """CI=true: no prompt, no progress bar, never a silent re-lock."""
        return os.environ.get("CI", "").lower() in {"1", "true"}

    @property
    def coloured(self) -> bool | None:
        """Whether output is coloured: --color, then NO_COLOR and FORCE_COLOR; None where the terminal decides."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        return True if os.environ.get("FORCE_COLOR") else None

    def root(self) -> Path:
        """Find the project's folder: `--project`, or the nearest parent with scaffold.toml.

        Raises InputError when there is none.
        """
        if self.project is not None:
            if not (self.project / PROJECT_FILE).is_file():
                raise InputError(f"no {PROJECT_FILE} in {self.project}", hint="nomic-scaffold new DEST makes a project")
            return self.project.resolve()
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / PROJECT_FILE).is_file():
                return folder
        raise InputError(
            f"no {PROJECT_FILE} in {here} or above it",
            hint="go into a project, pass --project DIR, or make one: nomic-scaffold new DEST",
        )

    def format_in(self, *allowed: str) -> str:
        """Give the format asked for, or the first allowed one; raise UsageError for any other."""
        if self.format is None:
            return allowed[0]
        if self.format not in allowed:
            raise UsageError(f"--format {self.format} is not for this command", hint=f"one of: {', '.join(allowed)}")
        return self.format
