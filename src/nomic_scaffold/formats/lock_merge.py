"""Merge derived files, for git's merge driver: what one side changed is taken, what both changed waits for `lock`.

A driver can't solve: environment.yml may be in conflict still. So where both sides changed a platform, their packages
are joined as a preference and the platform is marked; `lock --check` says so, and `lock` solves it and keeps what fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nomic_scaffold.formats import conda_lock
from nomic_scaffold.formats.conda_lock import Block, LockText
from nomic_scaffold.models.lock import LockRecord
from nomic_scaffold.models.variant import Accelerator, Platform

_DIGEST = re.compile(r'(?m)^inputs-digest = "[0-9a-f]{64}"$')
_UNLOCKED = f'inputs-digest = "{"0" * 64}"'


def merge(path: str, base: str, ours: str, theirs: str) -> str | None:
    """Merge one file by its path in the project; None when it is not one that `lock` can write again."""
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    name = path.rsplit("/", 1)[-1]
    if name.endswith("conda-lock.yml"):
        return _lock(base, ours, theirs, Accelerator.CUDA if name.startswith("cuda") else Accelerator.CPU)
    if name == "pylock.toml":
        return _DIGEST.sub(_UNLOCKED, ours) if _DIGEST.search(ours) else None
    derived = "/explicit/" in f"/{path}" or name.endswith((".environment.yml", ".virtual-packages.yml"))
    return ours if derived or name == "sizes.json" else None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one side has of one platform."""

    record: LockRecord
    content_hash: str
    blocks: tuple[Block, ...]


def _lock(base: str, ours: str, theirs: str, accelerator: Accelerator) -> str | None:
    old, left, right = conda_lock.split(base), conda_lock.split(ours), conda_lock.split(theirs)
    if left is None or right is None:
        return None
    platforms = sorted({record.platform for side in (left, right) for record in side.records})
    chosen = [_choose(*(_part(side, platform) for side in (old, left, right))) for platform in platforms]
    parts = [part for part in chosen if part is not None]
    pieces = LockText(
        records=tuple(part.record for part in parts),
        content_hash={part.record.platform: part.content_hash for part in parts},
        channels=right.channels if old and left.channels == old.channels else left.channels,
        blocks=tuple(block for part in parts for block in part.blocks),
    )
    return conda_lock.join(pieces, accelerator)


def _part(side: LockText | None, platform: Platform) -> _Part | None:
    record = next((record for record in side.records if record.platform == platform), None) if side else None
    if side is None or record is None:
        return None
    blocks = tuple(block for block in side.blocks if block.platform == platform)
    return _Part(record=record, content_hash=side.content_hash[platform], blocks=blocks)


def _choose(base: _Part | None, left: _Part | None, right: _Part | None) -> _Part | None:
    """Take the side that changed, or join both when both did; None when the platform is gone."""
    if left == right or right == base:
        return left
    if left == base:
        return right
    if left is None or right is None:  # dropped on one side, changed on the other: scaffold.toml will say
        return left or right
    was, ours, theirs = ({block.key: block for block in part.blocks} if part else {} for part in (base, left, right))
    joined = []
    for key in {**ours, **theirs}:
        mine, other = ours.get(key), theirs.get(key)
        block = other if mine == was.get(key) else mine  # changed on both sides: ours, and the solve decides
        if block is not None:
            joined.append(block)
    return _Part(record=replace(left.record, merged=True), content_hash=left.content_hash, blocks=tuple(joined))
