"""The steps of `lock`: read, solve what is not fresh, add the PyPI part, write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.adapters.lock_files import accelerators, read_inputs, sources
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.content_hash import ContentHashes, plain
from nomic_scaffold.formats.environment_yml import NAME as ENVIRONMENT
from nomic_scaffold.formats.lock_check import line_with
from nomic_scaffold.formats.lock_inputs import SCAFFOLD, pypi
from nomic_scaffold.formats.lock_url import has_credentials, holds_credentials
from nomic_scaffold.models.lock import LockInputs, LockPaths
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Accelerator
from nomic_scaffold.workflows.lock.from_index import pip_sections, pylock
from nomic_scaffold.workflows.lock.plan import OldLock, Variant, named, plan, read_old
from nomic_scaffold.workflows.lock.wanted import LockedVariant, LockResult, Wanted


def lock(root: Path, wanted: Wanted, *, progress: Progress) -> LockResult:
    """Lock the project at `root`; old files stay as they were unless everything could be made.

    Raises InputError, UnsolvableError, UnavailableError, UsageError.
    """
    inputs = read_inputs(root)
    _refuse_credentials(root, inputs)
    selected = wanted.select(inputs)
    with lock_files.exclusive(root / lock_files.STATE, progress):
        old = read_old(root, accelerators(inputs))
        wanted = named(wanted, selected, old, lock_files.derived_text(root / lock_files.PYLOCK) or "")
        variants = plan(selected, old, wanted)
        derived = sources(inputs)
        missing: list[str] = []
        files: dict[str, str] = {}
        if wanted.pylock:
            files |= pylock(root, wanted, missing, progress)
        made = _locks(root, inputs, variants, old, derived, wanted, missing, progress)
        written = lock_files.write(root, {**files, **derived, **made})
        if wanted.everything:
            written += lock_files.remove(root, lock_files.leftovers(root, inputs))
    return LockResult(variants=tuple(map(_told, variants)), written=written, missing=tuple(missing))


def _refuse_credentials(root: Path, inputs: Iterable[LockInputs]) -> None:
    """Raise InputError for the first address with a login, wherever it is written."""
    for what, file, line in _logins(root, inputs):
        raise InputError(
            f"{what}'s address holds a password or token, which would end up in every lock",
            path=file,
            line=line,
            hint="write ${NAME} in its place and set that variable, or put the login into ~/.netrc or the keyring",
        )


def _logins(root: Path, inputs: Iterable[LockInputs]) -> Iterator[tuple[str, str, int | None]]:
    texts = {name: lock_files.read_text(root / name) for name in (ENVIRONMENT, SCAFFOLD)}
    for item in inputs:
        for channel in item.channels:
            if has_credentials(channel):
                yield "a channel", ENVIRONMENT, line_with(texts[ENVIRONMENT], channel)
        for requirement in (*item.requirements, *item.pip):
            if holds_credentials(requirement.text):
                yield "a requirement", requirement.file, requirement.line
    for text in pypi(texts[SCAFFOLD])[0]:
        if holds_credentials(text):
            yield "a requirement", SCAFFOLD, line_with(texts[SCAFFOLD], text)


def _locks(
    root: Path,
    inputs: Sequence[LockInputs],
    variants: Sequence[Variant],
    old: Mapping[Accelerator, OldLock],
    derived: Mapping[str, str],
    wanted: Wanted,
    missing: list[str],
    progress: Progress,
) -> dict[str, str]:
    """Solve, and make the texts; conda-lock's library loads and hashes beside the solves, which are not Python."""
    from nomic_scaffold.adapters.conda.solve import solver_version
    from nomic_scaffold.workflows.lock import files

    def unknown(*, complete: bool) -> dict[Accelerator, None]:
        touched = [item for item in variants if item.touched or item.old.pieces is None]
        return dict.fromkeys(
            item.inputs.accelerator
            for item in touched
            if not files.hashes_known(item, complete=complete or item.complete)
        )

    with ThreadPoolExecutor(1) as beside:
        tasks = {name: beside.submit(_hashes, root, inputs, name, derived) for name in unknown(complete=wanted.pypi)}
        _solve(variants, wanted, progress)
        _refuse_mixtures(variants)
        missing += pip_sections(variants, wanted, progress)
        for name in unknown(complete=False):
            if name not in tasks:
                tasks[name] = beside.submit(_hashes, root, inputs, name, derived)
        hashes = {name: task.result() for name, task in tasks.items()}
    cutoff = wanted.exclude_newer.isoformat() if wanted.exclude_newer else None
    solver = solver_version() if any(variant.solve for variant in variants) else ""
    return files.texts(root, inputs, variants, old, hashes, solver=solver, exclude_newer=cutoff)


def _hashes(
    root: Path, inputs: Sequence[LockInputs], accelerator: Accelerator, derived: Mapping[str, str]
) -> ContentHashes:
    of_it = [item for item in inputs if item.accelerator is accelerator]
    environment = lock_files.read_text(root / ENVIRONMENT)
    if found := plain(of_it, environment):
        return found
    from nomic_scaffold.adapters.conda.content_hash import content_hashes

    paths = LockPaths(accelerator=accelerator)
    return content_hashes(
        environment,
        derived[paths.environment],
        derived[paths.virtual_packages],
        platforms=[item.platform for item in of_it],
    )


def _solve(variants: Sequence[Variant], wanted: Wanted, progress: Progress) -> None:
    from nomic_scaffold.adapters.conda.repodata import open_source
    from nomic_scaffold.adapters.conda.solve import Request, solve

    to_solve = [variant for variant in variants if variant.solve]
    if not to_solve:
        return
    names = ", ".join(variant.inputs.id for variant in to_solve)
    progress.say(f"solving {len(to_solve)} of {len(variants)}: {names}")
    requests = [
        Request(
            inputs=variant.inputs,
            keep=() if wanted.fresh else tuple(p for p in variant.conda if p.name not in wanted.upgrade),
            upgrade=tuple(name for name in wanted.upgrade if name in {p.name for p in variant.conda}),
            exclude_newer=wanted.exclude_newer,
        )
        for variant in to_solve
    ]
    with open_source(offline=wanted.offline, folder=wanted.repodata) as source:
        for variant, solution in zip(
            to_solve, solve(requests, source=source, progress=progress, timeout=wanted.timeout), strict=True
        ):
            variant.conda, variant.seconds = solution.packages, solution.seconds


def _refuse_mixtures(variants: Iterable[Variant]) -> None:
    from nomic_scaffold.formats.builds import accelerator_of

    for variant in variants:
        for package in variant.conda:
            found = accelerator_of(package)
            if found is not None and found is not variant.inputs.accelerator:
                want = variant.inputs.accelerator
                raise InputError(
                    f"{variant.inputs.id} would hold {package.name} {package.version} {package.build}: a {found} build",
                    path=SCAFFOLD,
                    hint=f'pin it in [variants.{want}.requirements], e.g. "pytorch * {want}*"',
                )


def _told(variant: Variant) -> LockedVariant:
    return LockedVariant(
        id=variant.inputs.id,
        outcome="solved" if variant.touched else "kept",
        packages=len(variant.packages),
        size=sum(package.size or 0 for package in variant.packages),
        seconds=variant.seconds,
        changed=_changed(variant),
        left_out=variant.left_out,
    )


def _changed(variant: Variant) -> int:
    """Count the packages that came, went or moved."""
    if not variant.touched:
        return 0
    found: dict[tuple[str, str], str] = {(item.manager, item.name): item.url for item in variant.packages}
    before = variant.old.urls(variant.inputs.platform)
    return sum(found.get(key) != before.get(key) for key in found.keys() | before.keys())
