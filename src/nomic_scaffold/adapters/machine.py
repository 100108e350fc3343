"""Read what this machine is, without anything heavy: processor, C library, graphics card."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nomic_scaffold.models.evidence import MachineFacts

Ask = Callable[[Sequence[str]], str | None]
"""Run a program and give its stdout; None when it is not there or fails."""

_ARM_SETS = ("asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16")
_X86_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8"),
)
_MAC_SETS = {"FEAT_FP16": "asimdhp", "FEAT_DotProd": "asimddp", "FEAT_BF16": "bf16", "FEAT_I8MM": "i8mm"}
_WINDOWS_SETS = {38: "sse4_2", 39: "avx", 40: "avx2", 41: "avx512f", 43: "asimddp"}
"""Numbers of IsProcessorFeaturePresent (winnt.h)."""


def facts(*, root: Path = Path("/"), system: str = sys.platform, ask: Ask | None = None) -> MachineFacts:
    """Describe this machine; what can't be told is None. `root`, `system` and `ask` let tests describe others."""
    ask = ask or run
    gpu, driver = _gpu(root, system, ask)
    processor, sets = _processor(root, system, ask)
    return MachineFacts(
        platform=subdir(system, platform.machine()),
        os=_os(root, system),
        libc=_libc(root, system),
        processor=processor,
        instruction_sets=sets,
        cores=_cores(),
        gpu=gpu,
        driver=driver,
        python=platform.python_version(),
    )


def subdir(system: str, machine: str) -> str:
    """Name a machine as conda does, e.g. `linux-64`."""
    family = {"win32": "win", "darwin": "osx"}.get(system, system)
    machine = machine.lower()
    if machine in {"x86_64", "amd64"}:
        return f"{family}-64"
    if machine in {"arm64", "aarch64"}:
        return f"{family}-aarch64" if family == "linux" else f"{family}-arm64"
    return f"{family}-{machine or 'unknown'}"


def run(command: Sequence[str], *, timeout: float = 5.0) -> str | None:
    """Run a program of this machine and give its stdout; None when it is not there, fails or hangs."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _cores() -> int | None:
    """Count the cores that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _os(root: Path, system: str) -> str:
    if system == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if system == "win32":
        return f"Windows {platform.release()} {platform.version()}"
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release"), re.MULTILINE)
    return f"{name[1] if name else 'Linux'}, kernel {platform.release()}"


def _libc(root: Path, system: str) -> str | None:
    if not system.startswith("linux"):
        return None
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") if root == Path("/") else None
    except (AttributeError, ValueError, OSError):
        version = None
    if version:
        return version
    return "musl" if list(root.glob("lib/ld-musl-*")) else None


def _processor(root: Path, system: str, ask: Ask) -> tuple[str | None, tuple[str, ...]]:
    if system == "darwin":
        name = (ask(["sysctl", "-n", "machdep.cpu.brand_string"]) or "").strip() or None
        have = ask(["sysctl", "hw.optional.arm"]) or ""
        found = [word for feature, word in _MAC_SETS.items() if re.search(rf"\.{feature}: 1\b", have)]
        return name, ("asimd", *found) if have else ()
    if system == "win32":
        return _windows_processor()
    text = _read(root / "proc/cpuinfo")
    values = dict(re.findall(r"^([^\n:]*?)\s*:\s*(.*)$", text, re.MULTILINE))
    flags = set((values.get("flags") or values.get("Features") or "").split())
    name = values.get("model name") or values.get("Hardware") or values.get("Model")
    if name is None and "CPU implementer" in values:
        name = f"ARM implementer {values['CPU implementer']} part {values.get('CPU part', '?')}"
    return name, tuple(word for word in (*_X86_SETS, *_ARM_SETS) if word in flags)


def _windows_processor() -> tuple[str | None, tuple[str, ...]]:
    if sys.platform != "win32":
        return None, ()
    import winreg

    name: str | None = None
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        name = platform.processor() or None
    present = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return name, tuple(word for number, word in _WINDOWS_SETS.items() if present(number))


def _gpu(root: Path, system: str, ask: Ask) -> tuple[str | None, str | None]:
    """Name the first graphics card that can run the model, and its driver."""
    if system == "darwin":
        return ("Apple GPU (MPS)", None) if platform.machine() == "arm64" else (None, None)
    told = ask(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    if told and "," in told:
        name, _, driver = told.strip().splitlines()[0].rpartition(",")
        return name.strip(), driver.strip()
    version = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", _read(root / "proc/driver/nvidia/version"))
    for information in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        model = re.search(r"^Model:\s*(.+)$", _read(information), re.MULTILINE)
        if model:
            return model[1].strip(), version[1] if version else None
    return None, version[1] if version else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
