"""A Dockerfile as text: the defaults of its arguments, and going on after stages that are built already."""

from __future__ import annotations

import re

_FROM = re.compile(r"^FROM\s+(?:--platform=\S+\s+)?(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?[ \t]*$", re.I | re.M)
_ARGUMENT = re.compile(r"^ARG\s+(?P<name>\w+)=(?P<value>\S+)[ \t]*$", re.M)


def default(text: str, name: str) -> str | None:
    """Give the default of the argument `name`, as the Dockerfile sets it before its first stage."""
    return next((match["value"] for match in _ARGUMENT.finditer(text) if match["name"] == name), None)


def has_a_stage(text: str) -> bool:
    """Say whether any line starts a stage; without one an engine can't build."""
    return bool(_stages(text))


def until(text: str, stage: str) -> str | None:
    """Give the Dockerfile up to the end of `stage`; None when there is no such stage, or others before it go on."""
    spans = _stages(text)
    names = [name for name, _, _ in spans]
    if stage not in names or stage == names[-1]:
        return None
    kept = names[: names.index(stage) + 1]
    rest = text[spans[len(kept) - 1][2] :]
    used = {match["image"] for match in _FROM.finditer(rest)} | set(re.findall(r"--from=(\S+)", rest))
    others = set(kept) - {stage}
    return None if used & others or any(word.isdigit() for word in used) else text[: spans[len(kept) - 1][2]]


def after(text: str, stage: str, image: str) -> str:
    """Give the Dockerfile that goes on after `stage`, which is there as `image`; call it where `until` gives a text."""
    spans = _stages(text)
    end = next(end for name, _, end in spans if name == stage)
    return f"{text[: spans[0][1]]}FROM {image} AS {stage}\n{text[end:]}"


def _stages(text: str) -> list[tuple[str, int, int]]:
    """List (name, start, end) of each stage; a stage without a name has the empty one."""
    found = list(_FROM.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)] * bool(found)
    return [(match["name"] or "", match.start(), end) for match, end in zip(found, ends, strict=True)]
