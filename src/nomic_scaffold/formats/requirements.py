"""A requirements file with hashes and markers, read for one interpreter on Linux."""

from __future__ import annotations

import re

from packaging.requirements import Requirement


def lines_for(text: str, *, python: str, machine: str) -> tuple[str, ...]:
    """Give `name==version --hash=...` of each requirement that CPython `python` (e.g. `3.13`) on `machine` needs."""
    target = {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        written = line.partition("#")[0].strip()
        if not written:
            continue
        requirement = Requirement(written.partition(" --hash=")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate(target):
            hashes = re.findall(r"--hash=\S+", written)
            found.append(" ".join([f"{requirement.name}{requirement.specifier}", *hashes]))
    return tuple(found)
