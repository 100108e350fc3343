"""A requirements file with hashes and markers, for one interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomic_scaffold.formats.requirements import lines_for

TEXT = """\
# made by a tool
old==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
arm==2.0 ; platform_machine == 'aarch64' \\
    --hash=sha256:cc
mac==3.0 ; sys_platform == 'darwin' \\
    --hash=sha256:dd
any==4.0 \\
    --hash=sha256:ee
"""


@pytest.mark.parametrize(
    ("python", "machine", "wanted"),
    [
        ("3.11", "x86_64", ["old==1.0 --hash=sha256:aa --hash=sha256:bb", "any==4.0 --hash=sha256:ee"]),
        ("3.13", "x86_64", ["any==4.0 --hash=sha256:ee"]),
        ("3.13", "aarch64", ["arm==2.0 --hash=sha256:cc", "any==4.0 --hash=sha256:ee"]),
    ],
    ids=["old-python", "new-python", "arm"],
)
def test_markers_are_read_for_the_target_not_for_this_machine(python: str, machine: str, wanted: list[str]) -> None:
    assert list(lines_for(TEXT, python=python, machine=machine)) == wanted


def test_the_tools_own_requirements_are_all_pinned_by_hash() -> None:
    file = Path(__file__).resolve().parents[2] / "locks" / "tool" / "requirements.txt"
    lines = lines_for(file.read_text(encoding="utf-8"), python="3.13", machine="x86_64")
    assert len(lines) > 20
    assert all("==" in line and "--hash=sha256:" in line for line in lines)
