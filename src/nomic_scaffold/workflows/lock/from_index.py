"""What comes from a PyPI index: the pip sections and locks/pylock.toml, and what becomes of them when none answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.adapters.lock_files import PYLOCK
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats.lock_inputs import SCAFFOLD, pypi
from nomic_scaffold.formats.names import normal_name
from nomic_scaffold.formats.pylock_digest import altered, cutoff, inputs_digest, names, recorded
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.workflows.lock.plan import Variant
from nomic_scaffold.workflows.lock.wanted import Wanted


def pip_sections(variants: Sequence[Variant], wanted: Wanted, progress: Progress) -> Iterator[str]:
    """Lock the pip sections; give a sentence for what has to wait because no index answers.

    A variant that never had its pip section goes without, since its conda part is worth having alone. One that has it
    keeps it, and where it no longer fits nothing is locked at all: UnavailableError.
    """
    todo = [variant for variant in variants if variant.index]
    if not todo:
        return
    from nomic_scaffold.adapters.pypi.for_conda import PypiPart, solve_for_conda

    progress.say(f"locking the pip section of {len(todo)} variants")

    def one(variant: Variant) -> PypiPart:
        return solve_for_conda(
            variant.inputs,
            variant.conda,
            keep=() if wanted.fresh else variant.pip,
            upgrade=wanted.upgrade,
            offline=wanted.offline,
            patient=wanted.patient,
            exclude_newer=wanted.exclude_newer,
        )

    try:
        first = one(todo[0])  # alone: it fills uv's cache for the others, and finds out whether an index answers
        with ThreadPoolExecutor(2) as pool:
            parts = [first, *pool.map(one, todo[1:])]
    except UnavailableError as error:
        yield from _without_index(todo, wanted, error)
        return
    for variant, part in zip(todo, parts, strict=True):
        variant.pip, variant.left_out, variant.complete = part.packages, part.left_out, True
        variant.resolver = part.resolver


def pylock(root: Path, wanted: Wanted, missing: list[str], progress: Progress) -> dict[str, str]:
    """Resolve locks/pylock.toml beside the old one, which stays until everything is written."""
    requirements, python = pypi(lock_files.read_text(root / SCAFFOLD))
    before = lock_files.derived_text(root / PYLOCK)
    edited = before is not None and altered(before)
    fresh = before is not None and not edited and recorded(before) == inputs_digest(requirements, python)
    day = wanted.exclude_newer.isoformat() if wanted.exclude_newer else None
    asked = wanted.fresh or (day is not None and day != cutoff(before or ""))
    if fresh and not asked and not set(map(normal_name, wanted.upgrade)) & names(before or ""):
        return {}
    from nomic_scaffold.adapters import pypi as adapter

    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as scratch:
        destination = Path(scratch) / "pylock.toml"
        if before is not None:
            destination.write_text(before, encoding="utf-8", newline="\n")
        try:
            adapter.lock(
                requirements,
                python=python,
                destination=destination,
                offline=wanted.offline,
                progress=progress,
                upgrade="all" if wanted.fresh else wanted.upgrade,
                patient=wanted.patient,
                exclude_newer=wanted.exclude_newer,
            )
        except UnavailableError as error:
            if fresh:
                missing.append(f"{PYLOCK} could not be renewed ({_short(error)}): it stays as it was")
                return {}
            state = "is not what was resolved" if edited else "is still what [pypi] of scaffold.toml asked for before"
            state = state if before is not None else "is not locked yet"
            missing.append(f"{PYLOCK} {state} ({_short(error)}): nomic-scaffold lock mends that")
            return {}
        return {PYLOCK: destination.read_text(encoding="utf-8")}


def _without_index(todo: Sequence[Variant], wanted: Wanted, error: UnavailableError) -> Iterator[str]:
    had = [variant for variant in todo if variant.had_pip]
    lost = [variant for variant in had if not variant.pip_still_fits(wanted)]
    if lost:
        raise UnavailableError(
            f"the pip section of {', '.join(variant.inputs.id for variant in lost)} has to be locked anew, "
            f"and no index answers: {_short(error)}",
            hint="nothing was changed; try again, or lock without it: nomic-scaffold lock --conda-only",
        ) from error
    for variant in had:
        variant.keep_pip()
    if len(had) < len(todo):
        for variant in todo:
            if variant not in had:
                variant.pip, variant.left_out, variant.complete = (), (), False
        yield f"the pip section of environment.yml is not locked yet ({_short(error)}): nomic-scaffold lock adds it"
    if had:
        yield f"the pip section of environment.yml could not be renewed ({_short(error)}): it stays as it was"


def _short(error: UnavailableError) -> str:
    """Give uv's first words; what caused what behind them fills lines."""
    return error.message.partition(" cause: ")[0].rstrip(".")
