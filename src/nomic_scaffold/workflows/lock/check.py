"""Say why locks are not fresh: digests only, in a fraction of a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.formats import explicit, lock_check, lock_inputs, lock_sources
from nomic_scaffold.formats.environment_yml import NAME as ENVIRONMENT
from nomic_scaffold.formats.lock_check import Finding
from nomic_scaffold.formats.lock_inputs import SCAFFOLD
from nomic_scaffold.formats.pylock_digest import inputs_digest, recorded
from nomic_scaffold.models.lock import LockInputs, LockPaths
from nomic_scaffold.models.variant import Accelerator

PYLOCK = "locks/pylock.toml"


def read_inputs(root: Path) -> tuple[LockInputs, ...]:
    """Read what the locks of the project at `root` are made from; raises InputError with file and line."""
    texts = (lock_files.read_text(root / ENVIRONMENT), lock_files.read_text(root / SCAFFOLD))
    return lock_inputs.read(*texts)


def check(root: Path) -> tuple[Finding, ...]:
    """Say why locks are not fresh, without a solve and without a network; empty when they are."""
    inputs = read_inputs(root)
    heads = {name: lock_files.read_head(root / LockPaths(accelerator=name).lock) for name in accelerators(inputs)}
    found = list(lock_check.compare(inputs, heads))
    if not found:
        found += _derived(root, inputs)
    requirements, python = lock_inputs.pypi(lock_files.read_text(root / SCAFFOLD))
    text = lock_files.derived_text(root / PYLOCK)
    if text is None:
        found.append(Finding(kind="missing", message="is missing", file=PYLOCK, lock=PYLOCK))
    elif recorded(text) != inputs_digest(requirements, python):
        message = f"[pypi] is not what {PYLOCK} was made from"
        found.append(Finding(kind="changed", message=message, file=SCAFFOLD, lock=PYLOCK))
    return tuple(found)


def accelerators(inputs: Sequence[LockInputs]) -> tuple[Accelerator, ...]:
    """Give the accelerators in the order of scaffold.toml."""
    return tuple(dict.fromkeys(item.accelerator for item in inputs))


def sources(inputs: Sequence[LockInputs]) -> dict[str, str]:
    """Make the files that tell conda-lock of the variants: path -> text."""
    made = {}
    for accelerator in accelerators(inputs):
        paths = LockPaths(accelerator=accelerator)
        of_it = [item for item in inputs if item.accelerator is accelerator]
        made[paths.environment] = lock_sources.environment(of_it)
        made[paths.virtual_packages] = lock_sources.virtual_packages(of_it)
    return made


def _derived(root: Path, inputs: Sequence[LockInputs]) -> list[Finding]:
    """Look at the files that are made from the locks and from scaffold.toml."""
    found = []
    for name, text in sources(inputs).items():
        if lock_files.derived_text(root / name) != text:
            found.append(Finding(kind="derived", message="is not what scaffold.toml gives", file=name, lock=name))
    for item in inputs:
        for sha256 in (False, True):
            name = LockPaths(accelerator=item.accelerator).explicit(item.platform, sha256=sha256)
            there = lock_files.derived_text(root / name)
            if there is None or explicit.digest_of(there) != lock_inputs.digest(lock_inputs.lines(item)):
                found.append(Finding(kind="derived", message="is not made from the lock", file=name, lock=name))
    return found
