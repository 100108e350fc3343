"""What installers make of files that hold the prefix, and of entry points."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import pytest

from nomic_scaffold.formats.conda_package import python_layout
from nomic_scaffold.formats.conda_prefix import entry_point_scripts, program_names, replaced, unsigned
from nomic_scaffold.models.package import EntryPoint, FileMode
from nomic_scaffold.models.variant import Platform

OLD = "/opt/placeholder_placeholder"
NEW = "/srv/env"
LONG = "/srv/" + "deep/" * 30 + "env"
SPACED = "/srv/my env"


def contents(data: bytes, mode: FileMode, prefix: str = NEW, platform: Platform = Platform.LINUX_64) -> list[bytes]:
    return [
        b"".join(pieces) for pieces in replaced(data, placeholder=OLD, prefix=prefix, file_mode=mode, platform=platform)
    ]


@pytest.mark.parametrize(
    ("text", "prefix", "results"),
    [
        pytest.param(f"a={OLD}\nb={OLD}/lib:{OLD}\n", NEW, [f"a={NEW}\nb={NEW}/lib:{NEW}\n"], id="every occurrence"),
        pytest.param("nothing\n", NEW, ["nothing\n"], id="none"),
        pytest.param(f"#!{OLD}/bin/python\nx={OLD}", NEW, [f"#!{NEW}/bin/python\nx={NEW}"], id="first line"),
        pytest.param(
            f"#!{OLD}/bin/python3.11 -s\n{OLD}\n",
            LONG,
            [
                f"#!/bin/sh\n'''exec' \"{LONG}/bin/python3.11\" -s \"$0\" \"$@\" #'''\n{LONG}\n",
                f"#!/usr/bin/env python3.11 -s\n{LONG}\n",
            ],
            id="a long first line of python",
        ),
        pytest.param(f"#!{OLD}/bin/perl -w\n", LONG, ["#!/usr/bin/env perl -w\n"], id="a long first line of perl"),
        pytest.param(
            f"#!{OLD}/bin/python\n",
            SPACED,
            [f"#!/bin/sh\n'''exec' \"{SPACED}/bin/python\" \"$0\" \"$@\" #'''\n", "#!/usr/bin/env python\n"],
            id="a blank in the prefix",
        ),
        pytest.param("#!/bin/sh\necho\n", SPACED, ["#!/bin/sh\necho\n"], id="a first line without the prefix"),
    ],
)
def test_text(text: str, prefix: str, results: list[str]) -> None:
    assert contents(text.encode(), "text", prefix) == [result.encode() for result in results]


def test_text_on_windows_gets_forward_slashes() -> None:
    found = contents(f"#!{OLD}\\x\n".encode(), "text", "C:\\envs\\a", Platform.WIN_64)
    assert found == [b"#!C:/envs/a\\x\n"]


def test_macos_takes_longer_first_lines() -> None:
    found = contents(f"#!{OLD}/bin/perl\n".encode(), "text", LONG, Platform.OSX_ARM64)
    assert found[0] == f"#!{LONG}/bin/perl\n".encode()


GAP = b"\0" * (len(OLD) - len(NEW))


@pytest.mark.parametrize(
    ("data", "result"),
    [
        pytest.param(b"x\0%s/lib\0y", b"x\0%s/lib" + GAP + b"\0y", id="one"),
        pytest.param(b"%s/a:%s/b\0y", b"%s/a:%s/b" + 2 * GAP + b"\0y", id="two in one string"),
        pytest.param(b"%s\0\0\0%s\0", b"%s" + GAP + b"\0\0\0%s" + GAP + b"\0", id="two strings"),
        pytest.param(b"pre%s/x", b"pre%s/x" + GAP, id="no end"),
        pytest.param(b"abc", b"abc", id="none"),
    ],
)
def test_binary_keeps_the_length(data: bytes, result: bytes) -> None:
    count = data.count(b"%s")
    before = data % ((OLD.encode(),) * count)
    assert contents(before, "binary") == [result % ((NEW.encode(),) * count)]
    assert len(before) == len(contents(before, "binary")[0])


def test_wide_strings_are_written_over_as_rattler_does_and_left_as_conda_does() -> None:
    wide, end = OLD.encode("utf-16-le"), b"\0\0"
    with_wide, without = contents(b"\1\2" + wide + end + OLD.encode() + b"\0", "binary")
    assert with_wide[2 : 2 + 2 * len(NEW)] == NEW.encode("utf-16-le")
    assert without[2 : 2 + len(wide)] == wide
    assert with_wide.endswith(NEW.encode() + GAP + b"\0")
    assert without.endswith(NEW.encode() + GAP + b"\0")


def test_windows_leaves_binaries_alone() -> None:
    assert contents(OLD.encode() + b"\0", "binary", platform=Platform.WIN_64) == [OLD.encode() + b"\0"]


def test_a_mapped_file_gives_what_its_bytes_give(tmp_path: Path) -> None:
    data = b"x" * 5000 + OLD.encode() + b"/lib\0" + b"y" * 5000
    (tmp_path / "f").write_bytes(data)
    with (tmp_path / "f").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        made = replaced(mapped, placeholder=OLD, prefix=NEW, file_mode="binary", platform=Platform.LINUX_64)
        pieces = next(made)
        found = b"".join(pieces)
        for piece in pieces:
            if isinstance(piece, memoryview):
                piece.release()
    assert [found] == contents(data, "binary")


def test_entry_points_of_rattler_and_of_conda() -> None:
    python = python_layout("3.11.2", windows=False)
    point = EntryPoint("run", "pack.cli", "App.main")
    rattler, conda = entry_point_scripts(point, prefix=NEW, python=python, platform=Platform.LINUX_64)
    assert rattler.startswith(b"#!/srv/env/bin/python3.11\n# -*- coding: utf-8 -*-\nimport re\n")
    assert b"\nfrom pack.cli import App\n" in rattler
    assert rattler.endswith(b"\n\tsys.exit(App.main())\n")
    assert conda == rattler.replace(b"\t", b"    ")
    assert program_names(point, python=python, platform=Platform.LINUX_64) == ("bin/run",)


def test_entry_points_in_a_prefix_too_long_for_a_first_line_go_through_the_shell() -> None:
    python = python_layout("3.11.2", windows=False)
    for script in entry_point_scripts(
        EntryPoint("run", "p", "main"), prefix=LONG, python=python, platform=Platform.LINUX_64
    ):
        assert script.startswith(f'#!/bin/sh\n\'\'\'exec\' "{LONG}/bin/python3.11" "$0" "$@"'.encode())


def test_entry_points_on_windows_are_a_script_and_a_launcher() -> None:
    python = python_layout("3.11.2", windows=True)
    point = EntryPoint("run", "p", "main")
    assert program_names(point, python=python, platform=Platform.WIN_64) == (
        "Scripts/run-script.py",
        "Scripts/run.exe",
    )
    scripts = entry_point_scripts(point, prefix="C:\\e", python=python, platform=Platform.WIN_64)
    assert all(not script.lstrip().startswith(b"#!") for script in scripts)


def mach_o(payload: bytes, signature: bytes, *, signed: bool = True) -> bytes:
    """Make the skeleton of a program for macOS: a header, two commands, a payload, a signature."""
    start = 32 + 72 + 16
    linkedit = struct.pack("<2I16s4Q4I", 0x19, 72, b"__LINKEDIT", 0, len(signature), start, len(signature), 1, 1, 0, 0)
    where = struct.pack("<4I", 0x1D if signed else 0x26, 16, start + len(payload), len(signature))
    header = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, 2, 2, 88, 0, 0)
    return header + linkedit + where + payload + signature


def test_a_signature_of_macos_is_left_out_of_the_comparison() -> None:
    assert unsigned(mach_o(b"code", b"one")) == unsigned(mach_o(b"code", b"another"))
    assert unsigned(mach_o(b"code", b"one")) != unsigned(mach_o(b"evil", b"one"))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF" + bytes(100), mach_o(b"code", b"x", signed=False), mach_o(b"code", b"x")[:40], b"#!/bin/sh\n" * 9],
)
def test_what_is_no_signed_program_has_no_unsigned_form(data: bytes) -> None:
    assert unsigned(data) is None
