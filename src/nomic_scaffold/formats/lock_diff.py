"""Compare two sets of locks, and write what changed as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nomic_scaffold.formats.builds import flavour_of
from nomic_scaffold.models.lock import LockedPackage, Manager
from nomic_scaffold.models.lock_diff import Change, Kind, LockDiff, VariantDiff

Side = Mapping[str, Sequence[LockedPackage]]
"""Variant id -> its packages."""
_Row = tuple[Kind, Manager, str, str | None, str | None, str, str]
_OTHER_BYTES = "other bytes"
_KINDS: tuple[Kind, ...] = ("added", "removed", "changed", "rebuilt")


def compare(old: Side, new: Side, *, names: tuple[str, str]) -> LockDiff:
    """Compare variant by variant; a package that changed alike in several is told once."""
    ids = sorted({*old, *new})
    found: dict[_Row, list[tuple[str, str | None, str | None]]] = {}
    for variant in ids:
        before, after = _by_name(old.get(variant, ())), _by_name(new.get(variant, ()))
        if variant not in old or variant not in new:
            continue  # a variant as a whole came or went: the figures say so, not hundreds of rows
        for key in sorted({*before, *after}):
            was, now = before.get(key), after.get(key)
            kind = _kind(was, now)
            if kind is None:
                continue
            flavours = (flavour_of(was.build), flavour_of(now.build)) if was and now else ("", "")
            # A build of another flavour is a change of its own: CPU became CUDA, or the BLAS is another one.
            others = flavours if flavours[0] != flavours[1] else ("", "")
            row = (kind, *key, was.version if was else None, now.version if now else None, *others)
            found.setdefault(row, []).append((variant, was.build if was else None, now.build if now else None))
    changes = [
        Change(kind=kind, manager=manager, name=name, before=before, after=after, builds=tuple(builds))
        for (kind, manager, name, before, after, *_), builds in found.items()
    ]
    return LockDiff(
        old=names[0],
        new=names[1],
        variants=tuple(_variant(variant, old.get(variant), new.get(variant)) for variant in ids),
        changes=tuple(
            sorted(changes, key=lambda c: (_KINDS.index(c.kind), c.manager, c.name, c.before or "", c.variants))
        ),
    )


def where(variants: Sequence[str], everything: Sequence[str]) -> str:
    """Name a set of variants as shortly as can be: `everywhere`, `cuda`, `win-64`, or ids."""
    left = set(variants)
    if left == set(everything) and len(left) > 1:
        return "everywhere"
    words = []
    for part in dict.fromkeys([_parts(item)[1] for item in everything] + [_parts(item)[0] for item in everything]):
        of_it = {item for item in everything if part in _parts(item)}
        if len(of_it) > 1 and of_it <= left:
            words.append(part)
            left -= of_it
    return ", ".join([*words, *sorted(left)])


def megabytes(amount: int, *, signed: bool = False) -> str:
    """Write bytes as MB."""
    return f"{amount / 1e6:+.1f} MB" if signed else f"{amount / 1e6:.1f} MB"


def versions(change: Change) -> str:
    """Write what a package was and is; builds where they tell something and are one."""
    if change.kind == "rebuilt":
        builds = {(before, after) for _, before, after in change.builds}
        if len(builds) > 1:
            return f"{change.after} (builds differ)"
        before, after = next(iter(builds))
        both = f"{before} -> {after}" if before != after else ", ".join(filter(None, (after, _OTHER_BYTES)))
        return f"{change.after} ({both})"
    return " -> ".join(side for side in (_cell(change, 0), _cell(change, 1)) if side)


def markdown(diff: LockDiff) -> str:
    """Write for a pull request."""
    rows = [f"### Locks: {_escaped(diff.old)} → {_escaped(diff.new)}", ""]
    if not diff.changes and all(item.before == item.after for item in diff.variants):
        return "\n".join([*rows, "Nothing changed.", ""])
    everything = [item.id for item in diff.variants]
    if diff.changes:
        rows += ["| package | from | to | where |", "|---|---|---|---|"]
        rows += [
            f"| {_escaped(change.name)}{' (PyPI)' if change.manager == 'pip' else ''} | {_cell(change, 0)} "
            f"| {_cell(change, 1)} | {where(change.variants, everything)} |"
            for change in diff.changes
        ]
        rows.append("")
    rows += ["| variant | packages | size | to download |", "|---|---|---|---|"]
    for item in diff.variants:
        total = megabytes(item.bytes_after - item.bytes_before, signed=True)
        rows.append(
            f"| {item.id} | {_count(item.before)} → {_count(item.after)} | {megabytes(item.bytes_after)} ({total}) "
            f"| {megabytes(item.download)}{_unknown(item)} |"
        )
    return "\n".join([*rows, ""])


def data(diff: LockDiff) -> dict[str, object]:
    """Give the difference as JSON's types."""
    return {
        "schema_version": 1,
        "old": diff.old,
        "new": diff.new,
        "changes": [
            {
                "package": change.name,
                "manager": change.manager,
                "kind": change.kind,
                "before": change.before,
                "after": change.after,
                "variants": [
                    {"id": variant, "build_before": before, "build_after": after}
                    for variant, before, after in change.builds
                ],
            }
            for change in diff.changes
        ],
        "variants": [
            {
                "id": item.id,
                "packages_before": item.before,
                "packages_after": item.after,
                "bytes_before": item.bytes_before,
                "bytes_after": item.bytes_after,
                "bytes_to_download": item.download,
                "packages_of_unknown_size": item.unknown,
            }
            for item in diff.variants
        ],
    }


def count(number: int | None) -> str:
    """Write a number of packages, or that the variant is not there."""
    return "none" if number is None else str(number)


_count = count


def _by_name(packages: Iterable[LockedPackage]) -> dict[tuple[Manager, str], LockedPackage]:
    return {(package.manager, package.name): package for package in packages}


def _kind(was: LockedPackage | None, now: LockedPackage | None) -> Kind | None:
    if was is None or now is None:
        return "added" if was is None else "removed"
    if was.version != now.version:
        return "changed"
    same_name = was.url.rpartition("/")[2] == now.url.rpartition("/")[2]
    same_bytes = was.sha256 == now.sha256 or not (was.sha256 and now.sha256)
    return None if same_name and same_bytes else "rebuilt"


def _variant(name: str, old: Sequence[LockedPackage] | None, new: Sequence[LockedPackage] | None) -> VariantDiff:
    had = {package.sha256 for package in old or ()}
    fresh = [package for package in new or () if package.sha256 not in had]
    return VariantDiff(
        id=name,
        before=None if old is None else len(old),
        after=None if new is None else len(new),
        bytes_before=sum(package.size or 0 for package in old or ()),
        bytes_after=sum(package.size or 0 for package in new or ()),
        download=sum(package.size or 0 for package in fresh),
        unknown=sum(package.size is None for package in (*(old or ()), *(new or ()))),
    )


def _parts(variant: str) -> tuple[str, str]:
    platform, _, accelerator = variant.rpartition("-")
    return platform, accelerator


def _cell(change: Change, side: int) -> str:
    """Write the version of one side, with its build where that is another one, or of another flavour."""
    version = (change.before, change.after)[side] or ""
    builds = {build[1 + side] for build in change.builds}
    build = next(iter(builds)) if len(builds) == 1 else None
    if change.kind == "rebuilt":
        same = all(before == after for _, before, after in change.builds)
        return " ".join(filter(None, (version, build, f"({_OTHER_BYTES})" if same and side else "")))
    before, after = (flavour_of(change.builds[0][1 + place]) for place in (0, 1))
    if change.kind != "changed" or before == after:
        return version
    return f"{version} {build or (before, after)[side]}".strip()


def _unknown(item: VariantDiff) -> str:
    return f", {item.unknown} of unknown size" if item.unknown else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "")
