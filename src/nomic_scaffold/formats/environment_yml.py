"""Read environment.yml: channels and requirements as people write them for conda."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import yaml

from nomic_scaffold.errors import InputError
from nomic_scaffold.models.variant import Platform

NAME = "environment.yml"
SELECTORS: dict[Platform, tuple[str, ...]] = {
    Platform.LINUX_64: ("linux64", "linux", "unix"),
    Platform.LINUX_AARCH64: ("aarch64", "linux", "unix"),
    Platform.OSX_ARM64: ("arm64", "osx", "unix"),
    Platform.WIN_64: ("win64", "win"),
}
"""The comments, e.g. `# [linux64]`, with which conda-lock keeps a line for a platform; the narrowest comes first."""
_SELECTOR = re.compile(r"#.*\[([^\[\]]+)\][^()]*$")
_KEYS = {"name", "channels", "dependencies", "platforms", "category", "prefix", "variables"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One dependency as written."""

    text: str
    manager: Literal["conda", "pip"]
    line: int
    """From 1."""
    selector: str | None
    """`linux` of `- numpy  # [linux]`; None for every platform."""

    def on(self, platform: Platform) -> bool:
        """Say whether the line is for this platform."""
        return self.selector is None or self.selector in SELECTORS[platform]


@dataclass(frozen=True, kw_only=True)
class EnvironmentYml:
    """environment.yml as written."""

    name: str | None
    channels: tuple[str, ...]
    requirements: tuple[str, ...]
    pip_requirements: tuple[str, ...]
    lines: dict[str, int]
    """Requirement as written -> its line, from 1."""
    entries: tuple[Entry, ...] = ()
    """Every dependency of every platform, in the order of the file."""
    category: str = "main"
    """What conda-lock calls a group of packages; only `main` can be locked by this tool."""


def parse(text: str, *, path: str = NAME) -> EnvironmentYml:
    """Read the text of an environment.yml.

    Raises InputError that names the line and what is wrong there.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"not valid YAML: {getattr(error, 'problem', error)}",
            path=path,
            line=mark.line + 1 if mark else None,
            hint="mend that line; lists start with '- ' and are indented alike",
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise InputError("holds no mapping with 'channels' and 'dependencies'", path=path, line=1)
    entries = {key.value: (key, value) for key, value in root.value}
    for name, (key, _) in entries.items():
        if name not in _KEYS:
            raise InputError(
                f"unknown key {name!r}", path=path, line=_line(key), hint=f"known keys: {', '.join(sorted(_KEYS))}"
            )
    channels = tuple(_texts(entries, "channels", path, {}))
    if not channels:
        raise InputError("names no channels", path=path, hint="add: channels: [conda-forge]")
    found = _dependencies(entries, text.splitlines(), path)
    requirements = tuple(entry.text for entry in found if entry.manager == "conda")
    if not requirements:
        raise InputError("names no dependencies", path=path, hint="add: dependencies: [python 3.13.*]")
    name_node = entries["name"][1] if "name" in entries else None
    return EnvironmentYml(
        name=name_node.value if isinstance(name_node, yaml.ScalarNode) else None,
        channels=channels,
        requirements=requirements,
        pip_requirements=tuple(entry.text for entry in found if entry.manager == "pip"),
        lines={entry.text: entry.line for entry in found},
        entries=tuple(found),
        category=entries["category"][1].value if "category" in entries else "main",
    )


def _dependencies(entries: dict[str, tuple[yaml.Node, yaml.Node]], written: list[str], path: str) -> list[Entry]:
    found: list[Entry] = []
    dependencies = _sequence(entries, "dependencies", path)
    for node in dependencies:
        if isinstance(node, yaml.ScalarNode):
            found.append(_entry(node, "conda", written))
        elif isinstance(node, yaml.MappingNode) and [key.value for key, _ in node.value] == ["pip"]:
            _texts({"pip": node.value[0]}, "pip", path, {})
            found.extend(_entry(item, "pip", written) for item in node.value[0][1].value)
        else:
            raise InputError(
                "a dependency is a match spec or a 'pip:' list",
                path=path,
                line=_line(node),
                hint="write e.g. - numpy >=2",
            )
    return found


def _entry(node: yaml.ScalarNode, manager: Literal["conda", "pip"], written: list[str]) -> Entry:
    line = _line(node)
    selector = _SELECTOR.search(written[line - 1])
    return Entry(text=node.value, manager=manager, line=line, selector=selector[1] if selector else None)


def _sequence(entries: dict[str, tuple[yaml.Node, yaml.Node]], key: str, path: str) -> list[yaml.Node]:
    if key not in entries:
        return []
    node = entries[key][1]
    if not isinstance(node, yaml.SequenceNode):
        raise InputError(f"{key!r} is not a list", path=path, line=_line(node), hint=f"write: {key}: [...]")
    return list(node.value)


def _texts(entries: dict[str, tuple[yaml.Node, yaml.Node]], key: str, path: str, lines: dict[str, int]) -> list[str]:
    texts = []
    for node in _sequence(entries, key, path):
        if not isinstance(node, yaml.ScalarNode):
            raise InputError(f"{key!r} holds something that is not a text", path=path, line=_line(node))
        texts.append(node.value)
        lines[node.value] = _line(node)
    return texts


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
