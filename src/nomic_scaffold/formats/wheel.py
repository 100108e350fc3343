"""What installers make of a wheel: where its files go, and the programs that they generate.

Sources: the wheel specification (PEP 427); pip's `operations/install/wheel.py` and distlib's `scripts.py`; uv's
`uv-install-wheel/src/wheel.rs`. Each way in use counts.
"""

from __future__ import annotations

import configparser
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from nomic_scaffold.models.package import EntryPoint, PythonLayout
from nomic_scaffold.models.wheel import WheelContents, WheelFile, WheelMember

GENERATED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
"""Files of a dist-info folder that installers write about themselves."""
PLACEHOLDER = b"#!python"
"""How a script of a wheel starts that is to be run by the environment's Python."""
_LONGEST = 127
"""Characters of a first line, with its end, that every system takes."""

_HEAD = "from {module} import {name}\nif __name__ == {quote}__main__{quote}:\n"
_BODIES = (
    # uv
    "import sys\n"
    + _HEAD.replace("{quote}", '"')
    + '    if sys.argv[0].endswith("-script.pyw"):\n        sys.argv[0] = sys.argv[0][:-11]\n'
    '    elif sys.argv[0].endswith(".exe"):\n        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({function}())\n',
    # pip 26
    "import sys\n"
    + _HEAD.replace("{quote}", "'")
    + "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit({function}())\n",
    # pip 25
    "import sys\n"
    + _HEAD.replace("{quote}", "'")
    + "    if sys.argv[0].endswith('.exe'):\n        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({function}())\n",
    # distlib, which older pips carry
    "import re\nimport sys\n"
    + _HEAD.replace("{quote}", "'")
    + "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({function}())\n",
    # distlib 0.3.9
    "import re\nimport sys\nif __name__ == '__main__':\n    from {module} import {name}\n"
    "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({function}())\n",
)
_CODING = "# -*- coding: utf-8 -*-\n"


def file_name(url: str) -> str:
    """Give the file name that an address of a wheel ends in."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def programs(entry_points: str) -> tuple[EntryPoint, ...]:
    """Read the programs out of an `entry_points.txt`; raises ValueError for one that is not of this form."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points)
    except configparser.Error as error:
        raise ValueError(f"its entry points can't be read: {error}") from error
    found = []
    for section in ("console_scripts", "gui_scripts"):
        for command, target in parser.items(section) if parser.has_section(section) else ():
            module, _, function = target.partition("[")[0].partition(":")
            found.append(EntryPoint(command.strip(), module.strip(), function.strip()))
    return tuple(found)


def placed(contents: WheelContents, *, python: PythonLayout, prefix: str, project: str) -> Iterator[WheelFile]:
    """Give every file that the wheel must have left in the environment `prefix`, but for what is in GENERATED.

    On Windows programs are launchers of the installer's own, with no hash that could be computed.
    """
    pythons = _pythons(python, prefix)
    for member in contents.members:
        path = _place(member.name, contents.stem, python, project)
        if member.script is None:
            yield WheelFile(path, frozenset({member.sha256}), member.size, member.executable)
        else:
            allowed = {_sha256(text) for executable in pythons for text in _with_python(member.script, executable)}
            yield WheelFile(path, frozenset(allowed), None, executable=True)
    for point in contents.programs:
        if python.scripts != "bin":
            yield WheelFile(f"{python.scripts}/{point.command}.exe", frozenset(), None, executable=False)
            continue
        allowed = {_sha256(text) for executable in pythons for text in _program(point, executable)}
        yield WheelFile(f"{python.scripts}/{point.command}", frozenset(allowed), None, executable=True)


def together(wheels: Mapping[str, Iterable[WheelFile]]) -> dict[str, list[WheelFile]]:
    """Give the files of several wheels, by package: where two bring one path, either content may be there."""
    found = {name: list(files) for name, files in wheels.items()}
    at: dict[str, list[WheelFile]] = {}
    for files in found.values():
        for file in files:
            at.setdefault(file.path, []).append(file)
    return {name: [_either(at[file.path]) for file in files] for name, files in found.items()}


def _either(several: Sequence[WheelFile]) -> WheelFile:
    first = several[0]
    return WheelFile(
        first.path,
        frozenset().union(*(one.allowed for one in several)),
        first.size if len({one.size for one in several}) == 1 else None,
        executable=all(one.executable for one in several),
    )


def _place(name: str, stem: str, python: PythonLayout, project: str) -> str:
    top, _, rest = name.partition("/")
    if top != f"{stem}.data" or "/" not in rest:
        return f"{python.site_packages}/{name}"
    scheme, _, rest = rest.partition("/")
    headers = f"include/python{python.version}/{project}" if python.scripts == "bin" else f"Include/{project}"
    folder = {"scripts": python.scripts, "data": "", "headers": headers}.get(scheme, python.site_packages)
    return f"{folder}/{rest}" if folder else rest


def _pythons(python: PythonLayout, prefix: str) -> tuple[str, ...]:
    """Name the environment's Python in each way that an installer may have been started by."""
    if python.scripts != "bin":
        return (f"{prefix}\\python.exe",)
    return tuple(f"{prefix}/bin/python{tail}" for tail in ("", python.version.partition(".")[0], python.version))


def _first_lines(executable: str) -> tuple[str, ...]:
    if len(executable) + 3 <= _LONGEST and " " not in executable:
        return (f"#!{executable}",)
    quoted = executable.replace("'", "'\"'\"'")
    shell = (f'"{executable}"' if " " in executable else executable, f"'{quoted}'")
    return (*(f"#!/bin/sh\n'''exec' {name} \"$0\" \"$@\"\n' '''" for name in shell), f"#!{executable}")


def _with_python(script: bytes, executable: str) -> Iterator[bytes]:
    line, end, rest = script.partition(b"\n")
    for first in _first_lines(executable):
        yield first.encode() + end + rest  # pip
        yield first.encode() + line.removeprefix(PLACEHOLDER) + end + rest  # uv


def _program(point: EntryPoint, executable: str) -> Iterator[bytes]:
    names = {"module": point.module, "name": point.function.partition(".")[0], "function": point.function}
    for first in _first_lines(executable):
        for body in _BODIES:
            text = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], body)
            yield f"{first}\n{text}".encode()
            yield f"{first}\n{_CODING}{text}".encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(name: str, *, sha256: str, size: int, executable: bool, stem: str, content: bytes | None) -> WheelMember:
    """Describe a file of a wheel; `content` is given for its scripts."""
    script = content if content is not None and content.startswith(PLACEHOLDER) else None
    return WheelMember(name, sha256, size, executable or name.startswith(f"{stem}.data/scripts/"), script)
