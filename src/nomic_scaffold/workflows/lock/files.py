"""The texts of every file that `lock` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.formats import conda_lock, explicit, lock_inputs, lock_sizes
from nomic_scaffold.formats.conda_lock import LockText
from nomic_scaffold.formats.content_hash import ContentHashes
from nomic_scaffold.models.lock import SIZES_PATH, LockedPackage, LockInputs, LockPaths, LockRecord
from nomic_scaffold.models.variant import Accelerator, Platform
from nomic_scaffold.workflows.lock.plan import OldLock, Variant


def texts(
    root: Path,
    inputs: Sequence[LockInputs],
    variants: Sequence[Variant],
    old: Mapping[Accelerator, OldLock],
    hashes: Mapping[Accelerator, ContentHashes],
    *,
    solver: str,
    exclude_newer: str | None,
) -> dict[str, str]:
    """Make path -> text, in the order of writing: the locks come last, since they say that all is there."""
    made: dict[str, str] = {}
    locks: dict[str, str] = {}
    known = lock_sizes.parse(lock_files.derived_text(root / SIZES_PATH) or "")
    everything: list[LockedPackage] = []
    for accelerator in dict.fromkeys(item.accelerator for item in inputs):
        of_it = [variant for variant in variants if variant.inputs.accelerator is accelerator]
        wanted = {item.platform for item in inputs if item.accelerator is accelerator}
        done = {variant.inputs.platform for variant in of_it}
        everything += [package for variant in of_it for package in variant.packages]
        if wanted - done:
            everything += [package for package in old[accelerator].packages if package.platform in wanted - done]
        pieces = old[accelerator].pieces
        if not of_it:
            continue
        paths = LockPaths(accelerator=accelerator)
        new = _pieces(of_it, pieces, wanted, hashes.get(accelerator), solver=solver, exclude_newer=exclude_newer)
        locks[paths.lock] = conda_lock.join(new, accelerator)
        records = {record.platform: record for record in new.records}
        for variant in of_it:
            platform = variant.inputs.platform
            for sha256 in (False, True):
                name = paths.explicit(platform, sha256=sha256)
                made[name] = explicit.render(variant.packages, records[platform], source=paths.lock, sha256=sha256)
    made[SIZES_PATH] = lock_sizes.render(everything, known)
    return {**made, **dict(sorted(locks.items(), reverse=True))}


def _pieces(
    variants: Iterable[Variant],
    old: LockText | None,
    wanted: set[Platform],
    hashes: ContentHashes | None,
    *,
    solver: str,
    exclude_newer: str | None,
) -> LockText:
    """Join what was locked anew with what stays, byte for byte."""
    touched = {variant.inputs.platform: variant for variant in variants if variant.touched or old is None}
    kept = [record for record in (old.records if old else ()) if record.platform in wanted - touched.keys()]
    stays = {record.platform for record in kept}
    content_hash = {name: value for name, value in (old.content_hash if old else {}).items() if name in stays}
    records = [*kept]
    blocks = [block for block in (old.blocks if old else ()) if block.platform in stays]
    for platform, variant in touched.items():
        new = conda_lock.blocks(variant.packages)
        digest = conda_lock.packages_digest(new)
        record = _record(variant, packages=digest, solver=solver, exclude_newer=exclude_newer)
        content_hash[platform], complete = _content_hash(variant, old, hashes)
        records.append(replace(record, complete_hash=complete))
        blocks += new
    channels = hashes.channels if hashes else old.channels if old else ()
    return LockText(records=tuple(records), content_hash=content_hash, channels=tuple(channels), blocks=tuple(blocks))


def hashes_known(variant: Variant, *, complete: bool) -> bool:
    """Say whether the old lock has conda-lock's hashes of these inputs, so that conda-lock need not be loaded."""
    record = variant.record
    if record is None or variant.old.pieces is None:
        return False
    return record.pypi == "none" or (complete if record.pypi == "locked" else record.complete_hash is not None)


def _content_hash(variant: Variant, old: LockText | None, hashes: ContentHashes | None) -> tuple[str, str | None]:
    """Give conda-lock's hash of what is in the lock and, if the pip section waits, the one of the complete lock."""
    platform = variant.inputs.platform
    if hashes is not None:
        whole, conda_only = hashes.whole[platform], hashes.conda_only[platform]
        return (whole, None) if variant.complete else (conda_only, whole)
    assert old is not None
    assert variant.record is not None
    written, complete = old.content_hash[platform], variant.record.complete_hash
    return (complete, None) if complete and variant.complete else (written, complete)


def _record(variant: Variant, *, packages: str, solver: str, exclude_newer: str | None) -> LockRecord:
    lines = lock_inputs.lines(variant.inputs)
    before = variant.record
    return LockRecord(
        platform=variant.inputs.platform,
        digest=lock_inputs.digest(lines),
        inputs=lines,
        packages=packages,
        solver=solver if variant.solve or before is None else before.solver,
        pypi="none" if not variant.inputs.pip else "locked" if variant.complete else "missing",
        pypi_solver=_pypi_solver(variant),
        left_out=variant.left_out,
        exclude_newer=exclude_newer if variant.solve or before is None else before.exclude_newer,
    )


def _pypi_solver(variant: Variant) -> str:
    if not variant.inputs.pip or not variant.complete:
        return ""
    return variant.resolver or (variant.before.pypi_solver if variant.before else "")
