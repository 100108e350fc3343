"""A private Docker engine, and a base image made by debootstrap: for tests with real containers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = "nomic-scaffold-test/base:bookworm"
_DEBIAN = ["ca-certificates", "python3", "python3-venv", "git"]


class NoEngineError(RuntimeError):
    """dockerd is there and can't run, e.g. in a container that may not mount."""


def missing_means() -> str | None:
    """Say why no engine can be started here, or None when one can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root to start a private Docker engine"
    for program in ("dockerd", "debootstrap"):
        if shutil.which(program, path=_path()) is None:
            return f"needs {program}: make system-packages"
    return None


@contextmanager
def private_engine(cache: Path) -> Iterator[str]:
    """Start dockerd with its own data, without a bridge; give its DOCKER_HOST; stop it by its process id."""
    home = Path(tempfile.mkdtemp(prefix="engine-"))
    with contextlib.ExitStack() as stack:
        # Hundreds of thousands of files: rm takes a tenth of the time of shutil.
        stack.callback(subprocess.run, ["rm", "-rf", str(home)], check=False)
        log = (home / "log").open("wb")
        process = subprocess.Popen(
            [
                str(shutil.which("dockerd", path=_path())),
                *("--data-root", str(home / "data"), "--exec-root", str(home / "exec")),
                *("--pidfile", str(home / "pid"), "--host", f"unix://{home}/docker.sock"),
                *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": _path()},
        )
        try:
            _wait_for(home, process)
            yield f"unix://{home}/docker.sock"
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
            _unmount(home)


def import_base(host: str, cache: Path) -> str:
    """Make the base image with debootstrap (once; its tar file is kept) and import it; gives its tag."""
    archive = cache / "docker" / f"base-{hashlib.sha256(' '.join(_DEBIAN).encode()).hexdigest()[:12]}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="debootstrap-") as name:
            folder = Path(name) / "root"
            packages = f"--include={','.join(_DEBIAN)}"
            command = ["debootstrap", "--variant=minbase", packages, "bookworm", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PATH": _path()})
            for rubbish in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                shutil.rmtree(folder / rubbish, ignore_errors=True)
            part = archive.with_suffix(".part")
            subprocess.run(["tar", "-C", str(folder), "-cf", str(part), "."], check=True)
            part.replace(archive)
    docker(host, "import", str(archive), BASE)
    return BASE


def docker(host: str, *arguments: str) -> str:
    """Run docker's command line against the private engine; gives what it prints."""
    done = subprocess.run(
        ["docker", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"},
    )
    return done.stdout.strip()


def _unmount(home: Path) -> None:
    """Take off what an engine that had to stop left mounted, deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounts if m.startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False)


def _wait_for(home: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if (home / "docker.sock").exists():
            probe = ["docker", "-H", f"unix://{home}/docker.sock", "version"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    lines = (home / "log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    text = next((line for line in reversed(lines) if "failed" in line or "error" in line), lines[-1])[-300:]
    raise NoEngineError(f"dockerd did not start: {text}")


def _path() -> str:
    """Give PATH with the system's folders for administrators, where dockerd and debootstrap are."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
