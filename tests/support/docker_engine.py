"""A private Docker engine, a base image made by debootstrap, and a wheelhouse: for tests with real containers."""

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
_WHEEL_PLATFORMS = [
    "manylinux_2_28",
    "manylinux_2_27",
    "manylinux2014",
    "manylinux_2_17",
    "manylinux_2_12",
    "manylinux1",
]


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


def wheelhouse(cache: Path) -> Path:
    """Download every wheel of locks/tool/requirements.txt for the base's Python; each is checked by pip."""
    lock = ROOT / "locks" / "tool" / "requirements.txt"
    folder = cache / "docker" / f"wheelhouse-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        platforms = [word for name in _WHEEL_PLATFORMS for word in ("--platform", f"{name}_{os.uname().machine}")]
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--python-version", "3.11"]
        command = [sys.executable, "-m", "pip", "download", *options, *platforms, "-r", str(lock), "-d", str(part)]
        subprocess.run(command, check=True)
        part.rename(folder)
    return folder


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


def _wait_for(home: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if (home / "docker.sock").exists():
            probe = ["docker", "-H", f"unix://{home}/docker.sock", "version"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    text = (home / "log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"dockerd did not start:\n{text}")


def _path() -> str:
    """Give PATH with the system's folders for administrators, where dockerd and debootstrap are."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
