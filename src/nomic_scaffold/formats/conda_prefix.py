"""What an installer makes of a package's file for one prefix: the prefix written in, programs generated.

There are a few ways in use; each function gives all of them, rattler's first, so that environments of other installers
can be judged too. Sources: rattler's `install/prefix_replacement/` and `install/entry_point.rs`; conda's
`core/portability.py` and `gateways/disk/create.py`; libmamba's `core/link.cpp` and `core/transaction_context.cpp`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from mmap import mmap

from nomic_scaffold.models.package import EntryPoint, FileMode, PythonLayout
from nomic_scaffold.models.variant import Platform

Pieces = list[bytes | memoryview]
"""A content in pieces, so that a large file need not be held twice."""

_SHEBANG = re.compile(rb"^(#!(?:[ ]*)(/(?:\\ |[^ \n\r\t])*)(.*))$")
_PYTHON = re.compile(rb"python(?:\d+(?:\.\d+)?)?")
_MACH_O_64, _SEGMENT_64, _CODE_SIGNATURE = 0xFEEDFACF, 0x19, 0x1D
_LONGEST = 127
"""Characters of a first line that every system takes; macOS takes 512, and rattler uses them there."""
_LONGEST_MACOS = 512
_WIDE = (("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4), ("utf-32-be", 4))
"""rattler writes the prefix over wide strings too; conda and mamba don't."""


def replaced(
    data: bytes | mmap, *, placeholder: str, prefix: str, file_mode: FileMode, platform: Platform
) -> Iterator[Pieces]:
    """Give the contents that installers make of `data` when they write `prefix` over `placeholder`."""
    windows = platform is Platform.WIN_64
    target = prefix.replace("\\", "/") if windows else prefix
    found = [("utf-8", 1), *(w for w in _WIDE if data.find(placeholder.encode(w[0])) >= 0)]
    for encodings in (found, found[:1]) if len(found) > 1 else (found,):
        if file_mode == "binary":
            yield [memoryview(data)] if windows else _binary(data, placeholder, target, encodings)
        else:
            yield from _text(bytes(data), placeholder, target, encodings, platform)


def _binary(data: bytes | mmap, placeholder: str, prefix: str, encodings: list[tuple[str, int]]) -> Pieces:
    """Keep the length: the rest of the C string moves up, zeros fill the gap before its end."""
    view, pieces, position = memoryview(data), Pieces(), 0
    for start, end, encoding in _strings(data, placeholder, encodings):
        old, new = placeholder.encode(encoding), prefix.encode(encoding)
        text = bytes(view[start:end])
        pieces += [view[position:start], text.replace(old, new).ljust(len(text), b"\0")]
        position = end
    return [*pieces, view[position:]]


def _strings(data: bytes | mmap, placeholder: str, encodings: list[tuple[str, int]]) -> list[tuple[int, int, str]]:
    """Find the C strings with a placeholder in them: (start of it, end of the string, encoding), disjoint, in order.

    A UTF-16 string looks like one of the other byte order, one byte further on. So where strings overlap, UTF-8 goes
    before wide ones, aligned ones before others, those with an end before those without, earlier ones before later.
    """
    candidates = []
    for encoding, unit in encodings:
        old = placeholder.encode(encoding)
        covered = [0] * unit
        found = data.find(old)
        while found >= 0:
            if found >= covered[found % unit]:
                end = _end(data, found + len(old), unit)
                covered[found % unit] = len(data) if end is None else end
                rank = 0 if unit == 1 else 1 + 2 * (found % unit != 0) + (end is None)
                candidates.append((rank, found, covered[found % unit], encoding))
            found = data.find(old, found + len(old))
    if len(encodings) == 1:  # disjoint as they are
        return [(start, end, encoding) for _, start, end, encoding in candidates]
    kept: list[tuple[int, int, str]] = []
    for _, start, end, encoding in sorted(candidates):
        if all(end <= other[0] or start >= other[1] for other in kept):
            kept.append((start, end, encoding))
    return sorted(kept)


def _end(data: bytes | mmap, position: int, unit: int) -> int | None:
    zero = bytes(unit)
    while (found := data.find(zero, position)) >= 0:
        if (found - position) % unit == 0:
            return found
        position += (found - position) // unit * unit + unit
    return None


def _text(
    data: bytes, placeholder: str, prefix: str, encodings: list[tuple[str, int]], platform: Platform
) -> Iterator[Pieces]:
    def write(part: bytes) -> bytes:
        for encoding, _ in encodings:
            part = part.replace(placeholder.encode(encoding), prefix.encode(encoding))
        return part

    if platform is Platform.WIN_64 or not data.startswith(b"#!"):
        yield [write(data)]
        return
    line, newline, rest = data.partition(b"\n")
    for shebang in _shebangs(line, placeholder.encode(), prefix.encode(), platform):
        yield [shebang, newline, write(rest)]


def _shebangs(line: bytes, old: bytes, new: bytes, platform: Platform) -> Iterator[bytes]:
    """Give the first lines that installers write: systems refuse long ones, and ones with a blank in the path."""
    plain = line.replace(old, new)
    spaced = b" " in new and old in line
    if not spaced and len(plain) <= (_LONGEST_MACOS if platform is Platform.OSX_ARM64 else _LONGEST):
        yield plain
        if len(plain) <= _LONGEST:
            return
    match = _SHEBANG.match(line if spaced else plain)
    if match is None:
        yield plain
        return
    path, options = match[2].replace(old, new), match[3].replace(old, new)
    program = path.rsplit(b"/", 1)[-1]
    if _PYTHON.fullmatch(program):
        yield b"#!/bin/sh\n'''exec' \"" + path + b'"' + options + b' "$0" "$@" #\'\'\''
    yield b"#!/usr/bin/env " + program + options


def unsigned(data: bytes | mmap) -> bytes | None:
    """Give a signed Mach-O program or library without its signature; None for anything else.

    On macOS installers sign what they have written a prefix into, and each machine's signature is another. What remains
    is all before the signature, with the sizes that depend on it (its own, and its segment's) zeroed.
    """
    magic, _, _, _, commands = struct.unpack_from("<5I", data) if len(data) >= 32 else (0, 0, 0, 0, 0)
    if magic != _MACH_O_64:
        return None
    place, end, kept = 32, len(data), bytearray()
    sizes: list[tuple[int, int]] = []
    for _ in range(min(commands, 10_000)):
        if place + 8 > len(data):
            return None
        command, size = struct.unpack_from("<2I", data, place)
        if command == _CODE_SIGNATURE:
            end = struct.unpack_from("<I", data, place + 8)[0]
            sizes.append((place + 12, 4))
        elif command == _SEGMENT_64 and data[place + 8 : place + 24].rstrip(b"\0") == b"__LINKEDIT":
            sizes += [(place + 32, 8), (place + 48, 8)]
        place += max(size, 8)
    if end == len(data):
        return None
    kept += data[:end]
    for start, length in sizes:
        kept[start : start + length] = bytes(length)
    return bytes(kept)


_RATTLER = """{shebang}
# -*- coding: utf-8 -*-
import re
import sys

from {module} import {name}

if __name__ == '__main__':
\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
\tsys.exit({function}())
"""
_CONDA = _RATTLER.replace("\t", "    ")


def entry_point_scripts(
    point: EntryPoint, *, prefix: str, python: PythonLayout, platform: Platform
) -> tuple[bytes, ...]:
    """Give the scripts that installers generate for an entry point."""
    names = {"module": point.module, "name": point.function.partition(".")[0], "function": point.function}
    if platform is Platform.WIN_64:
        texts = [_RATTLER.format(shebang="", **names), _CONDA.removeprefix("{shebang}\n").format(**names)]
        return tuple(text.encode() for text in texts)
    target = f"{prefix}/{python.executable}"
    shebangs = [f"#!{target}"]
    if len(target) > 125 or " " in target:
        shell = f'#!/bin/sh\n\'\'\'exec\' "{target}" "$0" "$@"'
        shebangs = [f"{shell} #'''", f"{shell}\n' '''"]
    return tuple(
        template.format(shebang=shebang, **names).encode() for template in (_RATTLER, _CONDA) for shebang in shebangs
    )


def program_names(point: EntryPoint, *, python: PythonLayout, platform: Platform) -> tuple[str, ...]:
    """Say which files an entry point becomes: on Windows a script, and a launcher that is the same for all."""
    if platform is Platform.WIN_64:
        return (f"{python.scripts}/{point.command}-script.py", f"{python.scripts}/{point.command}.exe")
    return (f"{python.scripts}/{point.command}",)
