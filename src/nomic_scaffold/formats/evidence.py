"""Evidence as a file: what one machine saw, to be judged on another."""

from __future__ import annotations

from pydantic import ValidationError

from nomic_scaffold.errors import InputError
from nomic_scaffold.models.evidence import Evidence


def render(evidence: Evidence) -> str:
    """Write evidence as JSON."""
    return evidence.model_dump_json(indent=1) + "\n"


def parse(text: str, *, path: str) -> Evidence:
    """Read evidence; raises InputError that names the first thing that is wrong in it."""
    try:
        return Evidence.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"is not evidence that this version reads: {where}: {first['msg']}",
            path=path,
            hint="gather it with the same version: nomic-scaffold verify --save-evidence FILE",
        ) from error
