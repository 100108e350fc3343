"""The entries of a package's archive, and which of them no package may have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nomic_scaffold.errors import InputError

_HOPS = 40
"""Links behind each other that the systems follow."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a package's archive."""

    name: str
    kind: str
    """`file`, `link` (symbolic), `hard` (a second name), `directory`, or `special`."""
    size: int = 0
    mode: int = 0o644
    target: str = ""
    """Of a link."""
    sha256: str | None = None
    """Of the content, where it was read."""


def by_place(members: Iterable[Member], *, package: str) -> dict[str, Member]:
    """Give the entries by where they end up; raises InputError for the first that could touch anything outside.

    Every entry counts, not the last one of a name: what is unpacked in between has been followed by then.
    """
    found: dict[str, Member] = {}
    for member in members:
        if reason := outside(member.name):
            raise refusal(package, f"its entry {member.name!r} {reason}")
        place = plain(member.name)
        twin = found.get(place)
        if twin is not None and not (twin.kind == member.kind == "directory"):
            raise refusal(package, f"it holds {place!r} twice")
        if place.partition("/")[0] != "info" and place.partition("/")[0].casefold() == "info":
            raise refusal(package, f"its entry {member.name!r} is in info/ where the disk knows no upper case")
        found[place] = member
    links = {place: member.target for place, member in found.items() if member.kind == "link"}
    for place, member in found.items():
        _refuse(place, member, found, links, package)
    return found


def _refuse(place: str, member: Member, found: Mapping[str, Member], links: Mapping[str, str], package: str) -> None:
    if link := below_link(place, links):
        raise refusal(package, f"its entry {member.name!r} lies below its link {link!r}")
    match member.kind:
        case "special":
            raise refusal(package, f"its entry {member.name!r} is a device or a pipe")
        case "link":
            if outside(member.target, up=True) or leaves(place, links):
                raise refusal(package, f"its link {member.name!r} leads to {member.target!r}, outside the prefix")
        case "hard":
            other = None if outside(member.target) else found.get(plain(member.target))
            if other is None or other.kind not in ("file", "hard"):
                raise refusal(package, f"its entry {member.name!r} is a link to {member.target!r}")


def outside(name: str, *, up: bool = False) -> str | None:
    """Say why a name can't be below the folder that it is meant for; `up` allows `..`."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute name"
    if "\\" in name or "\0" in name:
        return "has a backslash or a NUL in its name"
    return "leads outside" if not up and ".." in name.split("/") else None


def plain(name: str) -> str:
    """Write a name without `.` and empty parts."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def below_link(place: str, links: Mapping[str, str]) -> str | None:
    """Give the link that a name without `..` goes through, if any."""
    folder = place.rpartition("/")[0]
    while folder:
        if folder in links:
            return folder
        folder = folder.rpartition("/")[0]
    return None


def leaves(place: str, links: Mapping[str, str]) -> bool:
    """Follow `place` through `links` (place -> what it says); say whether that leaves the folder they are in."""
    here: list[str] = []
    todo, hops = place.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        here.append(part)
        target = links.get("/".join(here))
        if target is not None:
            hops += 1
            if target.startswith("/"):
                return True
            if hops > _HOPS:
                return False  # leads nowhere
            here.pop()
            todo += target.split("/")[::-1]
    return False


def refusal(package: str, reason: str) -> InputError:
    """Make the error for a package that no environment should take in."""
    return InputError(
        f"the package {package} is refused: {reason}",
        hint="report it to the channel; to do without it, change environment.yml and run: nomic-scaffold lock",
    )
