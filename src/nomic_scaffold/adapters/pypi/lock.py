"""Resolve requirements into locks/pylock.toml."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from nomic_scaffold.adapters.pypi.uv import run_uv, until
from nomic_scaffold.disk.atomic import write_text
from nomic_scaffold.errors import InputError, UnsolvableError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.progress import Progress

_IMPATIENT = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "2", "UV_HTTP_TIMEOUT": "5"}


def lock(
    requirements: Sequence[str],
    *,
    python: str,
    destination: Path,
    offline: bool,
    progress: Progress,
    upgrade: Sequence[str] | Literal["all"] = (),
    patient: bool = True,
    exclude_newer: date | None = None,
) -> PypiLock:
    """Resolve `requirements` for every platform and every Python from `python` (e.g. `3.11`) on; write `destination`.

    Versions of a lock that is already there are kept where they still fit, but for the packages in `upgrade`.
    `exclude_newer` is the last day (UTC) whose files are looked at.
    Only wheels are taken: what a source archive builds differs from machine to machine. Raises UnsolvableError, and
    UnavailableError when no index answers; unless `patient` that takes seconds.
    """
    progress.say(f"resolving {len(requirements)} PyPI requirements for Python {python} and later, every platform")
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as scratch:
        folder = Path(scratch)
        made = folder / pylock.NAME
        wanted = folder / "requirements.in"
        wanted.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
        if upgrade != "all" and (before := _valid(destination)) is not None:
            # uv keeps the versions that it finds in its output file.
            made.write_text(before, encoding="utf-8")
        arguments: list[str | Path] = ["pip", "compile", wanted, "--output-file", made, "--universal"]
        arguments += ["--python-version", python, "--python", sys.executable, "--only-binary", ":all:"]
        arguments += ["--generate-hashes", "--no-annotate"]
        environ = os.environ if patient else {**_IMPATIENT, **os.environ}
        if upgrade == "all":
            arguments.append("--upgrade")
        else:
            arguments += [part for name in upgrade for part in ("--upgrade-package", name)]
        arguments += until(exclude_newer)
        run_uv(arguments, offline=offline, cwd=folder, environ=environ, for_everyone=True)
        resolved = _read(made.read_text(encoding="utf-8"))
    result = PypiLock(
        requires_python=resolved.requires_python,
        inputs_digest=pylock.inputs_digest(tuple(requirements), python),
        packages=resolved.packages,
        exclude_newer=exclude_newer.isoformat() if exclude_newer else None,
    )
    write_text(destination, pylock.write(result))
    return result


def _valid(path: Path) -> str | None:
    """Give the text of the lock that is there, or None if there is none to go by (a merge conflict, say)."""
    try:
        text = path.read_text(encoding="utf-8")
        pylock.parse(text)
    except (OSError, UnicodeDecodeError, InputError):
        return None
    return text


def _read(text: str) -> PypiLock:
    try:
        return pylock.parse(text, path="what uv resolved")
    except InputError as error:
        raise UnsolvableError(error.message, hint=error.hint) from error
