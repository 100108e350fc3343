"""Ask whether the package index that people configured for pip answers to uv."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nomic_scaffold.adapters.pypi.uv import run_uv
from nomic_scaffold.errors import ScaffoldError

_IMPATIENT = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "2", "UV_HTTP_TIMEOUT": "5"}


def ask_index(name: str = "nomic") -> str | None:
    """Look one package up, past every cache; None when the index has it, else why not."""
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as scratch:
        wanted = Path(scratch, "requirements.in")
        wanted.write_text(f"{name}\n", encoding="utf-8")
        arguments: list[str | Path] = ["pip", "compile", wanted, "--no-deps", "--no-cache", "--only-binary", ":all:"]
        try:
            run_uv(arguments, offline=False, cwd=Path(scratch), environ={**os.environ, **_IMPATIENT})
        except ScaffoldError as error:
            return error.message.rpartition("cause: ")[2][:160]
    return None
