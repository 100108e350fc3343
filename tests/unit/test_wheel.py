"""What installers make of a wheel: places, programs, first lines."""

from __future__ import annotations

import hashlib

import pytest

from nomic_scaffold.formats.conda_package import python_layout
from nomic_scaffold.formats.wheel import file_name, member, placed, programs, together
from nomic_scaffold.models.package import EntryPoint
from nomic_scaffold.models.wheel import WheelContents, WheelMember

LINUX = python_layout("3.13.1", windows=False)
STEM = "Pkg-1.0"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file(name: str, data: bytes = b"x", *, executable: bool = False) -> WheelMember:
    content = data if ".data/scripts/" in name else None
    return member(name, sha256=sha256(data), size=len(data), executable=executable, stem=STEM, content=content)


def contents(*members: WheelMember, points: tuple[EntryPoint, ...] = ()) -> WheelContents:
    return WheelContents(stem=STEM, members=members, programs=points)


def paths(*names: str, windows: bool = False) -> list[str]:
    layout = python_layout("3.13.1", windows=windows)
    wanted = placed(contents(*map(file, names)), python=layout, prefix="/opt/env", project="pkg")
    return [one.path for one in wanted]


def test_files_go_where_their_scheme_says() -> None:
    site = "lib/python3.13/site-packages"
    assert paths(
        "pkg/__init__.py",
        f"{STEM}.dist-info/METADATA",
        f"{STEM}.data/purelib/pkg/pure.py",
        f"{STEM}.data/platlib/pkg/fast.so",
        f"{STEM}.data/scripts/run",
        f"{STEM}.data/data/share/pkg/x.txt",
        f"{STEM}.data/headers/pkg.h",
        "other.data/scripts/no",
    ) == [
        f"{site}/pkg/__init__.py",
        f"{site}/{STEM}.dist-info/METADATA",
        f"{site}/pkg/pure.py",
        f"{site}/pkg/fast.so",
        "bin/run",
        "share/pkg/x.txt",
        "include/python3.13/pkg/pkg.h",
        f"{site}/other.data/scripts/no",
    ]
    assert paths("pkg/__init__.py", f"{STEM}.data/scripts/run", windows=True) == [
        "Lib/site-packages/pkg/__init__.py",
        "Scripts/run",
    ]


@pytest.mark.parametrize(
    ("prefix", "first"),
    [
        ("/opt/env", "#!/opt/env/bin/python"),
        ("/opt/my env", "#!/bin/sh\n'''exec' '/opt/my env/bin/python' \"$0\" \"$@\"\n' '''"),
        ("/opt/my env", "#!/bin/sh\n'''exec' \"/opt/my env/bin/python\" \"$0\" \"$@\"\n' '''"),
        ("/" + "o" * 130, f"#!/bin/sh\n'''exec' /{'o' * 130}/bin/python \"$0\" \"$@\"\n' '''"),
    ],
    ids=["plain", "uv, blank", "pip, blank", "pip, long"],
)
def test_a_script_of_a_wheel_is_run_by_the_environments_python(prefix: str, first: str) -> None:
    script = file(f"{STEM}.data/scripts/run", b"#!python\nprint(1)\n")
    (found,) = placed(contents(script), python=LINUX, prefix=prefix, project="pkg")
    assert sha256(f"{first}\nprint(1)\n".encode()) in found.allowed
    assert sha256(b"#!python\nprint(1)\n") not in found.allowed
    assert (found.size, found.executable) == (None, True)


def test_a_script_with_a_first_line_of_its_own_stays_as_it_is() -> None:
    script = file(f"{STEM}.data/scripts/run", b"#!/bin/sh\n")
    (found,) = placed(contents(script), python=LINUX, prefix="/opt/env", project="pkg")
    assert (found.allowed, found.size) == (frozenset({sha256(b"#!/bin/sh\n")}), 10)


PIP_26 = """#!/opt/env/bin/python3.13
import sys
from pkg.cli import app
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(app.main())
"""
UV = """#!/opt/env/bin/python3
# -*- coding: utf-8 -*-
import sys
from pkg.cli import app
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit(app.main())
"""


def test_programs_are_as_pip_or_uv_generate_them() -> None:
    points = programs("[console_scripts]\nPkg = pkg.cli:app.main [extra]\n[gui_scripts]\nwin=pkg:gui\n[other]\nx = y\n")
    assert points == (EntryPoint("Pkg", "pkg.cli", "app.main"), EntryPoint("win", "pkg", "gui"))
    first, second = placed(contents(points=points), python=LINUX, prefix="/opt/env", project="pkg")
    assert (first.path, second.path, first.executable) == ("bin/Pkg", "bin/win", True)
    for text in (PIP_26, UV):
        assert sha256(text.encode()) in first.allowed
        assert sha256(text.replace("exit", "evil").encode()) not in first.allowed


def test_launchers_of_windows_are_named_and_not_compared() -> None:
    layout = python_layout("3.13.1", windows=True)
    (found,) = placed(
        contents(points=(EntryPoint("run", "pkg", "main"),)), python=layout, prefix="C:\\env", project="pkg"
    )
    assert (found.path, found.allowed) == ("Scripts/run.exe", frozenset())


def test_a_path_that_two_wheels_bring_may_hold_either_content() -> None:
    one, other = (
        list(placed(contents(file("x.py", data)), python=LINUX, prefix="/e", project="p")) for data in (b"1", b"22")
    )
    found = together({"one": one, "other": other})
    assert found["one"] == found["other"]
    assert (found["one"][0].allowed, found["one"][0].size) == (one[0].allowed | other[0].allowed, None)
    assert together({"one": one}) == {"one": one}


def test_entry_points_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(ValueError, match="entry points can't be read"):
        programs("console_scripts")


def test_the_name_of_a_wheel_is_read_from_its_address() -> None:
    assert file_name("https://example.org/a/x-1.0%2Bcpu-py3-none-any.whl#sha256=1") == "x-1.0+cpu-py3-none-any.whl"
