"""The locks of the default answers, which ship with the tool: a new project has its locks at once, with no network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import conda_lock, lock_check, lock_header, lock_sizes, lock_sources
from nomic_scaffold.models.lock import SIZES_PATH, LockInputs, LockPaths

_SHA256 = re.compile(r"(?m)^    sha256: ([0-9a-f]{64})$")


def reference_locks(inputs: Sequence[LockInputs]) -> dict[str, str] | None:
    """Give path -> text of every derived file for `inputs`, byte for byte what a solve of the same records gives.

    None when the shipped locks are of other inputs, or not there: then somebody has to solve. The conda part only: a
    pip section stays to be locked (`nomic-scaffold lock`), since that needs the user's index.
    """
    made: dict[str, str] = {}
    locks: dict[str, str] = {}
    try:
        for accelerator in dict.fromkeys(item.accelerator for item in inputs):
            of_it = [item for item in inputs if item.accelerator is accelerator]
            paths = LockPaths(accelerator=accelerator)
            text = _shipped(paths.lock)
            records = lock_header.parse(text) or ()
            if not all(lock_check.fresh(item, records) for item in of_it):
                return None
            locks[paths.lock] = conda_lock.subset(text, [item.platform for item in of_it])
            made[paths.environment] = lock_sources.environment(of_it)
            made[paths.virtual_packages] = lock_sources.virtual_packages(of_it)
            for item in of_it:
                for sha256 in (False, True):
                    name = paths.explicit(item.platform, sha256=sha256)
                    made[name] = _shipped(name)
        used = {sha256 for text in locks.values() for sha256 in _SHA256.findall(text)}
        made[SIZES_PATH] = lock_sizes.subset(_shipped(SIZES_PATH), used)
    except (FileNotFoundError, InputError):
        return None
    return {**made, **locks}


def _shipped(path: str) -> str:
    """Read a shipped file by its path in a project; they all lie in one folder."""
    return shipped("locks", *path.removeprefix("locks/").split("/")).read_text(encoding="utf-8")
