"""Golden vectors and the probe's texts: what ships with the tool, and what a project blessed."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from nomic_scaffold.disk import atomic
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.errors import InputError
from nomic_scaffold.models.probe import Golden, ProbeTexts


def shipped_texts() -> ProbeTexts:
    """Read the texts that the probe embeds."""
    return ProbeTexts.model_validate_json(shipped("probe", "texts.json").read_bytes())


def shipped_golden() -> tuple[Golden, ...]:
    """Read the golden vectors that ship with the tool, one per model file."""
    return tuple(Golden.model_validate_json(path.read_bytes()) for path in sorted(shipped("golden").glob("*.json")))


COMMON = "locks/golden.json"
"""A project's golden vectors in float32 on a CPU."""


def own_path(*, device: str, dtype: str) -> str:
    """Name the project's golden file for a class of devices and a type, relative to the project.

    float32 on a CPU is the common one; others are named like `locks/golden.cuda-bfloat16.json`.
    """
    kind = device.partition(":")[0]
    return COMMON if (kind, dtype) == ("cpu", "float32") else f"locks/golden.{kind}-{dtype}.json"


def read_own(root: Path, path: str) -> Golden | None:
    """Read a golden file of the project at `root`, or None when nobody blessed one.

    Raises InputError when it is damaged.
    """
    try:
        return Golden.model_validate_json((root / path).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"is not a golden file: {where}: {first['msg']}",
            path=path,
            hint=f"restore it from git (git checkout -- {path}), or make it anew: nomic-scaffold bless",
        ) from error


def write_own(root: Path, path: str, golden: Golden) -> None:
    """Write a golden file of the project, whole or not at all."""
    atomic.write_text(root / path, golden.model_dump_json(indent=1) + "\n")
