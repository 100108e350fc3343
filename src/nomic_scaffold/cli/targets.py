"""Files that people have a command write: looked at before the work, so that an hour of it is not lost on a typo."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from nomic_scaffold.errors import UnavailableError, UsageError


def check_targets(targets: Mapping[str, Path | None]) -> None:
    """Raise UsageError for the first file that can't be written; `targets` maps an option to its file.

    A folder that is not there is not made: it may be a typo.
    """
    for option, path in targets.items():
        if path is None:
            continue
        told = f"{option}{'' if option.endswith('=') else ' '}{path}"
        if path.is_dir():
            raise UsageError(f"{told} is a folder", hint="name a file in it")
        if not path.parent.is_dir():
            raise UsageError(
                f"{told}: there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}"
            )
        if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
            raise UsageError(f"{told}: you may not write in {path.parent}", hint="name a file in another folder")


def write_target(path: Path, text: str) -> None:
    """Write one of the files; raises UnavailableError when the disk has changed its mind since."""
    from nomic_scaffold.disk import atomic

    try:
        atomic.write_text(path, text)
    except OSError as error:
        raise UnavailableError(f"can't write {path}: {error.strerror}", hint="name a file in another folder") from error
