"""List every file below the folders named on the command line, with its sha256, as one JSON object on stdout.

Run inside a container by the environment's own Python, so that a judge outside sees what is there. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor


def look(path: str) -> list[object]:
    """Give [kind, size, sha256 or link target or None, mode] of one path."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return ["link", found.st_size, os.readlink(path), 0o777]
        if not stat.S_ISREG(found.st_mode):
            return ["other", 0, None, stat.S_IMODE(found.st_mode)]
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ["file", found.st_size, digest, stat.S_IMODE(found.st_mode)]
    except OSError as error:
        return ["unreadable", 0, str(error), 0]


def below(folder: str) -> list[str]:
    """List files and links below a folder, sorted."""
    found = []
    for base, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(base, name))]
        found += [os.path.join(base, name) for name in (*files, *links)]
    return sorted(found)


def main() -> None:
    """Print the listing."""
    paths = [path for folder in sys.argv[1:] for path in below(folder)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        entries = dict(zip(paths, threads.map(look, paths)))
    json.dump({"user": os.getuid(), "entries": entries}, sys.stdout)


main()
