"""Look around on this machine: disks, memory, programs, proxies and certificates; judge nothing."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nomic_scaffold.models.checkup import Folder, Program

PROGRAMS = {
    "git": ("git", "--version"),
    "docker": ("docker", "--version"),
    "conda": ("conda", "--version"),
    "mamba": ("mamba", "--version"),
    "micromamba": ("micromamba", "--version"),
    "pixi": ("pixi", "--version"),
    "conda-lock": ("conda-lock", "--version"),
}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO"),
    *("CONDA_SSL_VERIFY", "NODE_EXTRA_CA_CERTS"),
)


def folder(what: str, path: Path) -> Folder:
    """Tell the room at `path`, or at the nearest folder above it that is there."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    free: int | None
    device: int | None
    try:
        free, device = shutil.disk_usage(place).free, place.stat().st_dev
    except OSError:
        free = device = None
    return Folder(what=what, path=str(path), free=free, writable=os.access(place, os.W_OK), device=device)


def programs(ask: Callable[[Sequence[str]], str | None]) -> tuple[Program, ...]:
    """Look for programs on PATH; `ask` runs one for its version."""

    def look(name: str) -> Program:
        path = shutil.which(name)
        said = ask(PROGRAMS[name]) if path else None
        version = re.search(r"\d+(\.\d+)+\S*", said or "")
        return Program(name=name, path=path, version=version[0].rstrip(",") if version else None)

    with ThreadPoolExecutor(4) as pool:
        return tuple(pool.map(look, PROGRAMS))


def memory(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """Give the bytes of memory of this machine or container, and how much of it is available; swap left out."""
    if sys.platform == "win32":
        return _windows_memory()
    if sys.platform == "darwin":
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return size, None
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE))
    total = int(told["MemTotal"]) * 1024 if "MemTotal" in told else None
    available = int(told["MemAvailable"]) * 1024 if "MemAvailable" in told else None
    limit, used = _read(root / "sys/fs/cgroup/memory.max").strip(), _read(root / "sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and total is not None and int(limit) < total:
        total = int(limit)
        left = total - int(used) if used.isdigit() else total
        available = left if available is None else min(available, left)
    return total, available


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the proxy variables, in either case, without logins."""
    found = {name: environ.get(name) or environ.get(name.lower()) for name in _PROXIES}
    # Up to the last @: a login may stand without a scheme before it, and hold an @ or a slash itself.
    return {name: re.sub(r"^([\w+.-]+://)?.*@", r"\1***@", value) for name, value in found.items() if value}


def certificates(environ: Mapping[str, str]) -> dict[str, bool]:
    """Give `VARIABLE=path` of every certificate variable, and whether something is there."""
    found = {}
    for name in _CERTIFICATES:
        value = environ.get(name, "")
        if value and value.lower() not in {"true", "false", "1", "0", "truststore", "<truststore>"}:
            found[f"{name}={value}"] = any(Path(part).exists() for part in value.split(os.pathsep))
    return found


def _windows_memory() -> tuple[int | None, int | None]:
    if sys.platform != "win32":
        return None, None

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong) for name in ("total", "free", "pagefile", "b", "c", "d", "e")
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.free


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
