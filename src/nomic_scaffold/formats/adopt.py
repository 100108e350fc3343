"""Adopt somebody's environment.yml: theirs stays as written, what the embedding code needs is added to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from packaging.version import InvalidVersion, Version

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import environment_yml
from nomic_scaffold.formats.answers import PYTHONS
from nomic_scaffold.formats.environment_yml import EnvironmentYml

_CHOOSERS = {"cpuonly", "pytorch-cpu", "pytorch-cuda", "pytorch-gpu", "pytorch-mutex", "cudatoolkit"}
"""Packages that choose CPU or CUDA, which the variants in scaffold.toml do."""
_PIP_NAMES = {"torch": "pytorch"}
"""PyPI's name -> conda-forge's, where they differ."""
_ADDED = "# added by nomic-scaffold: what the embedding code needs"
_NAME = re.compile(r"(?:[^\s]*::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_BOUND = re.compile(r"(==|>=|<=|!=|~=|>|<|=)?\s*([0-9][0-9A-Za-z_.!+]*?)(\.?\*)?")


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """An environment.yml that was read and may be adopted."""

    text: str
    path: str
    parsed: EnvironmentYml
    answers: dict[str, str] = field(default_factory=dict)
    """Answers that the file itself gives."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The file for the new project, and what its owner should know."""

    text: str
    notes: tuple[str, ...]


def read(text: str, *, path: str) -> Adopted:
    """Read a file to adopt; raise InputError with the line of what can't be."""
    parsed = environment_yml.parse(text, path=path)
    conda = {name_of(line): line for line in parsed.requirements}
    for line in parsed.requirements:
        if (name := name_of(line)) in _CHOOSERS:
            raise InputError(
                f"{name} chooses CPU or CUDA, which the variants of scaffold.toml do",
                path=path,
                line=parsed.lines[line],
                hint="remove that line; --variant cpu --variant cuda gives a lock for each",
            )
    for line in parsed.pip_requirements:
        if line.startswith(("-", ".", "/")) or "://" in line:
            raise InputError(
                f"{line!r} under pip: can't be locked by hash",
                path=path,
                line=parsed.lines[line],
                hint="name a package and a version range",
            )
        name = name_of(line)
        if (other := _PIP_NAMES.get(name, name)) in {*conda, "pytorch"}:
            raise InputError(
                f"{name} comes from pip and {other} from conda: one package by two managers",
                path=path,
                line=parsed.lines[line],
                hint="remove that line",
            )
    return Adopted(text=text, path=path, parsed=parsed, answers=_python(parsed, conda.get("python"), path))


def merge(adopted: Adopted, ours: str) -> Merged:
    """Add to `adopted` what `ours`, the template's file, asks for and it does not.

    Raises InputError with the line of a requirement that excludes what is needed.
    """
    theirs, wanted = adopted.parsed, environment_yml.parse(ours)
    needed = {name_of(line): line for line in wanted.requirements if name_of(line) != "python"}
    for entry in theirs.entries:
        line = needed.get(name_of(entry.text), "")
        if entry.manager == "conda" and line and not _overlap(entry.text, line):
            raise InputError(
                f"{entry.text!r} excludes what the embedding code needs: {line!r}",
                path=adopted.path,
                line=entry.line,
                hint=f"write: - {line}",
            )
        if entry.manager == "pip" and line:
            raise InputError(
                f"{entry.text!r} comes from pip, and the embedding code has it from conda: one package by two managers",
                path=adopted.path,
                line=entry.line,
                hint="move that line up, among conda's packages",
            )
    # A line with a selector is for some platforms only; the code runs on all of them.
    have = {name_of(entry.text) for entry in theirs.entries if entry.selector is None and entry.manager == "conda"}
    conda = [line for line in wanted.requirements if name_of(line) not in have]
    pip_names = {name_of(line) for line in theirs.pip_requirements}
    pip = [line for line in wanted.pip_requirements if name_of(line) not in pip_names]
    channels = [] if any(_is_conda_forge(channel) for channel in theirs.channels) else ["conda-forge"]
    text = _without_prefix(adopted.text)
    text = _insert(text, ("channels",), channels)
    text = _insert(text, ("dependencies", "pip"), pip)
    text = _insert(text, ("dependencies",), conda)
    environment_yml.parse(text, path=adopted.path)
    return Merged(text=text, notes=tuple(_notes(theirs, channels, [*conda, *pip])))


def name_of(requirement: str) -> str:
    """Give the package that a match spec or a pip requirement names, in PyPI's normal form."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else requirement


def _notes(theirs: EnvironmentYml, channels: list[str], added: list[str]) -> Iterator[str]:
    if added:
        names = ", ".join(name_of(line) for line in added)
        yield f"environment.yml: added what the embedding code needs: {names}"
    if channels:
        yield "environment.yml: added the channel conda-forge, which the locks are solved from"
    if "nodefaults" in theirs.channels:
        yield "environment.yml: conda takes 'nodefaults' for a channel's name; remove it, conda-forge is enough"
    if "defaults" in theirs.channels:
        yield "environment.yml: the channel 'defaults' needs a paid licence in large companies; conda-forge does not"


def _is_conda_forge(channel: str) -> bool:
    return channel.rstrip("/").rsplit("/", 1)[-1] == "conda-forge"


def _python(parsed: EnvironmentYml, requirement: str | None, path: str) -> dict[str, str]:
    if requirement is None:
        return {}
    for minor in PYTHONS:
        if any(_accepts(requirement, Version(f"{minor}.{patch}")) for patch in range(40)):
            return {"python": minor}
    raise InputError(
        f"{requirement!r} allows none of the Pythons that the environment is made for",
        path=path,
        line=parsed.lines[requirement],
        hint=f"write: - python {PYTHONS[0]}.*  (or {', '.join(PYTHONS[1:])})",
    )


def _overlap(first: str, second: str) -> bool:
    """Tell whether two requirements of one package can both be met, as far as their versions say."""
    points = {Version("9999")}
    for bound in re.findall(r"\d[\w.!+]*", f"{_version_part(first)},{_version_part(second)}"):
        points |= {Version(text) for text in (bound.rstrip("."), f"{bound.rstrip('.')}.9999") if _is_version(text)}
    return any(_accepts(first, point) and _accepts(second, point) for point in points)


def _accepts(requirement: str, version: Version) -> bool:
    """Tell whether `version` meets the version part of a match spec; what it can't read it lets pass."""
    part = _version_part(requirement)
    return not part or any(
        all(_meets(term.strip(), version) for term in choice.split(",") if term.strip()) for choice in part.split("|")
    )


def _version_part(requirement: str) -> str:
    rest = requirement.split("::", 1)[-1].split("#", 1)[0]
    found = _NAME.match(rest)
    rest = rest[found.end() :] if found else ""
    if bracket := re.search(r"\[.*?version=['\"]?([^'\"\]]+)", rest):
        return bracket[1].strip()
    # "name version build" and "name=version=build": the build says nothing of versions.
    rest = re.sub(r"\[.*?\]", "", rest).strip()
    rest = re.sub(r"\s*([<>=!~,|]+)\s*", r"\1", rest).split(" ", 1)[0]
    return re.sub(r"^(={1,2}[^=<>,|]+)=.*$", r"\1", rest)


def _meets(term: str, version: Version) -> bool:
    found = _BOUND.fullmatch(term)
    if term == "*" or found is None or not _is_version(found[2]):
        return True
    operator, bound, star = found[1], Version(found[2]), found[3]
    within = version.release[: len(bound.release)] == bound.release
    match operator:
        case ">=":
            return version >= bound
        case ">":
            return version > bound
        case "<=":
            return version <= bound
        case "<":
            return version < bound
        case "!=":
            return not within if star else version != bound
        case "~=":
            return version >= bound and version.release[: len(bound.release) - 1] == bound.release[:-1]
        case "=":
            return within
        case _:
            return within if star else version == bound


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _without_prefix(text: str) -> str:
    """Drop `prefix:`, which names a folder of one machine."""
    return re.sub(r"(?m)^prefix\s*:.*\n?", "", text)


def _insert(text: str, keys: tuple[str, ...], lines: list[str]) -> str:
    """Add items to the list at `keys`, after its last plain item; comments and order stay."""
    if not lines:
        return text
    text = _as_block(_as_block(text, keys[:1]), keys)
    node = _node(text, keys)
    if node is not None:
        last = max((item.end_mark.line for item in node.value if isinstance(item, yaml.ScalarNode)), default=None)
        return _write(text, node, last, [f"- {line}" for line in lines])
    if len(keys) == 1:
        return "".join([f"{keys[0]}:\n", *(f"  - {line}\n" for line in lines), text])
    # No pip section yet: it becomes the last dependency.
    above = _node(text, keys[:1])
    assert above is not None
    return _write(text, above, None, ["- pip:", *(f"    - {line}" for line in lines)])


def _write(text: str, node: yaml.SequenceNode, last: int | None, items: list[str]) -> str:
    """Write `items` into a block list below line `last` (from 0), or at its end."""
    rows = text.splitlines(keepends=True)
    if not rows[-1].endswith("\n"):
        rows[-1] += "\n"
    after = (_last_line(node) if last is None else last) + 1
    indent = " " * node.start_mark.column
    return "".join([*rows[:after], *(f"{indent}{row}\n" for row in (_ADDED, *items)), *rows[after:]])


def _as_block(text: str, keys: tuple[str, ...]) -> str:
    """Rewrite the list at `keys` with a line for each item, where it is written as `[a, b]`."""
    node = _node(text, keys)
    if node is None or not node.flow_style:
        return text
    above = _node(text, keys[:-1]) if keys[:-1] else None
    indent = " " * (above.start_mark.column + 4 if above else 2)
    rows = []
    for item in node.value:
        if isinstance(item, yaml.MappingNode):
            rows += ["- pip:", *(f"    - {_written(text, entry)}" for entry in item.value[0][1].value)]
        else:
            rows.append(f"- {_written(text, item)}")
    start, stop = node.start_mark.index, node.end_mark.index
    return text[:start].rstrip(" ") + "".join(f"\n{indent}{row}" for row in rows) + text[stop:]


def _written(text: str, node: yaml.Node) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _last_line(node: yaml.Node) -> int:
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    return int(node.end_mark.line)


def _node(text: str, keys: tuple[str, ...]) -> yaml.SequenceNode | None:
    """Find the list at `keys`; `pip` is looked for in the mappings inside a list."""
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in keys:
        mappings = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs = [pair for mapping in mappings if isinstance(mapping, yaml.MappingNode) for pair in mapping.value]
        node = next((value for name, value in pairs if name.value == key), None)
    return node if isinstance(node, yaml.SequenceNode) else None
