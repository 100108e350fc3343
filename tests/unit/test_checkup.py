"""What a machine's facts mean: a fake machine as a plain object in, items and an exit code out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from nomic_scaffold.adapters.container.words import unreachable
from nomic_scaffold.checks.checkup import diagnose
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.checkup import Checkup, Folder, Program, ProjectState, Server, State, Survey
from nomic_scaffold.models.evidence import MachineFacts
from nomic_scaffold.models.variant import Accelerator, Platform, Variant, VirtualPackage

FACTS = MachineFacts(
    platform="linux-64",
    os="Debian 12",
    libc="glibc 2.36",
    gpu="NVIDIA L4",
    driver="580.65.06",
    cores=4,
    python="3.13.1",
)
LINUX = (VirtualPackage(name="__linux", version="5.10"), VirtualPackage(name="__glibc", version="2.28"))
CUDA = VirtualPackage(name="__cuda", version="12.9")


def variant(platform: Platform, accelerator: Accelerator, *wants: VirtualPackage) -> Variant:
    return Variant(platform=platform, accelerator=accelerator, virtual_packages=wants, requirements=())


CPU_ONLY = (
    variant(Platform.LINUX_64, Accelerator.CPU, *LINUX),
    variant(Platform.OSX_ARM64, Accelerator.CPU, VirtualPackage(name="__osx", version="13.0")),
    variant(Platform.WIN_64, Accelerator.CPU, VirtualPackage(name="__win", version="10")),
)
CUDA_ONLY = (variant(Platform.LINUX_64, Accelerator.CUDA, *LINUX, CUDA),)
VARIANTS = CPU_ONLY + CUDA_ONLY
PROJECT = ProjectState(
    name="tea",
    environment=None,
    weights=False,
    weights_bytes=274_290_560,
    variants=VARIANTS,
    conda_lock=True,
    downloads={"linux-64-cpu": 400_000_000, "linux-64-cuda": 4_100_000_000},
)
CHANNEL = Server(what="channel conda-forge", role="channel", address="https://c.example", why_not=None)
HUB = Server(what="Hugging Face", role="weights", address="https://h.example", why_not=None)
INDEX = Server(what="package index", role="index", address="as pip is configured", why_not=None)
HEALTHY = Survey(
    facts=FACTS,
    executable="/usr/bin/python3",
    memory=16_000_000_000,
    memory_available=12_000_000_000,
    folders=(
        Folder(what="project", path="/p", free=90_000_000_000, writable=True, device=1),
        Folder(what="model store", path="/s", free=90_000_000_000, writable=True, device=1),
        Folder(what="package cache", path="/c", free=90_000_000_000, writable=True, device=1),
    ),
    programs=(
        Program(name="git", path="/usr/bin/git", version="2.39"),
        Program(name="docker", path="/d", version="28"),
    ),
    docker="28.2",
    docker_why_not=None,
    docker_hint=None,
    virtual_packages=(
        VirtualPackage(name="__linux", version="6.1.0"),
        VirtualPackage(name="__glibc", version="2.36"),
        VirtualPackage(name="__cuda", version="13.0"),
        VirtualPackage(name="__osx", version="15.1"),
        VirtualPackage(name="__win", version="10.0"),
    ),
    servers=(CHANNEL, HUB, INDEX),
    clock_offset=0.4,
    proxies={},
    certificates={"SSL_CERT_FILE=/etc/ca.pem": True},
    project=PROJECT,
)


def without(server: Server) -> Server:
    return replace(server, why_not="its name is not known here")


def facts(**changes: Any) -> dict[str, Any]:
    return {"facts": FACTS.model_copy(update=changes)}


def project(**changes: Any) -> dict[str, Any]:
    return {"project": replace(PROJECT, **changes)}


def folders(what: str, **changes: Any) -> dict[str, Any]:
    return {"folders": tuple(replace(f, **changes) if what in ("*", f.what) else f for f in HEALTHY.folders)}


def virtual(**versions: str | None) -> dict[str, Any]:
    """Change what the machine is to conda: `cuda="12.2"`; None takes a virtual package away."""
    there = {package.name: package for package in HEALTHY.virtual_packages}
    for name, version in versions.items():
        there[f"__{name}"] = VirtualPackage(name=f"__{name}", version=version or "")
    kept = (package for package in there.values() if package.version)
    return {"virtual_packages": tuple(kept)}


def disks(**free: float) -> dict[str, Any]:
    """Put each folder on a disk of its own with that many GB free."""
    return {
        "folders": tuple(
            replace(folder, device=number, free=int(free.get(folder.what.replace(" ", "_"), 90) * 1e9))
            for number, folder in enumerate(HEALTHY.folders)
        )
    }


def engine(text: str, *, system: str = "linux", host: str | None = None) -> dict[str, Any]:
    """The Docker client is there, and its engine answers so."""
    error = unreachable(text, system=system, host=host)
    return {"docker": None, "docker_why_not": error.message, "docker_hint": error.hint}


MAC = facts(platform="osx-arm64", os="macOS 15.1", libc=None, gpu="Apple GPU (MPS)", driver=None)
WINDOWS = facts(platform="win-64", os="Windows 11", libc=None, gpu=None, driver=None)
NO_GPU = facts(gpu=None, driver=None) | virtual(cuda=None)


def judged(**changes: Any) -> Checkup:
    return diagnose(replace(HEALTHY, **changes), tool_version="1")


ALL_OFF = {"servers": (without(CHANNEL), without(HUB), without(INDEX)), "clock_offset": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file'))",
            "No such file",
        ),
        (
            "Error while fetching server API version: HTTPConnectionPool(host='h', port=1): Max retries exceeded with "
            "url: /version (Caused by NewConnectionError(\"HTTPConnection(host='h', port=1): Failed to establish a new "
            'connection: [Errno 111] Connection refused"))',
            "Connection refused",
        ),
        ("Invalid bind address protocol: bogus://x", "Invalid bind address protocol: bogus://x"),
        ("", "it says nothing"),
    ],
)
def test_of_an_engine_that_does_not_answer_the_innermost_reason_is_told(text: str, reason: str) -> None:
    assert unreachable(text, system="linux", host=None).message == f"no Docker engine answers: {reason}"


def test_a_healthy_machine_lacks_nothing() -> None:
    checkup = judged()
    assert {item.state for item in checkup.items} == {State.OK}
    assert checkup.exit_code == ExitCode.OK


LACK, NOTE, OK = State.LACKING, State.NOTE, State.OK
ROOM = "make room: du -xhd 2 ~ | sort -h | tail shows what is large"
STORE = 'export NOMIC_SCAFFOLD_STORE="/mnt/nomic"'
PKGS = 'export NOMIC_SCAFFOLD_PKGS="/mnt/nomic"'
MIRROR = 'NOMIC_SCAFFOLD_MIRRORS="https://conda.anaconda.org/conda-forge=https://YOUR-MIRROR/conda-forge"'
WINDOWS_MIRROR = MIRROR.replace("MIRRORS=", "MIRRORS = ")
DRIVER = "get the current driver from https://www.nvidia.com/drivers, then: nvidia-smi"
NO_ENGINE = "Error while fetching server API version: FileNotFoundError"
REFUSED = "Error while fetching server API version: PermissionError(13, 'Permission denied')"

Case = tuple[dict[str, Any], str, State, str, int]
CASES: dict[str, Case] = {
    "old python": (facts(python="3.10.2"), "python", LACK, "uv tool install --python 3.13 nomic-scaffold", 7),
    "platform not locked": (
        facts(platform="linux-aarch64"),
        "platform",
        LACK,
        'add "linux-aarch64" to platforms in scaffold.toml, then: nomic-scaffold lock',
        7,
    ),
    "platform not locked, but installed": (
        facts(platform="linux-aarch64") | project(environment="pypi"),
        "platform",
        NOTE,
        'add "linux-aarch64" to platforms in scaffold.toml, then: nomic-scaffold lock',
        0,
    ),
    "platform that nobody builds for": (
        facts(platform="osx-64", libc=None),
        "platform",
        LACK,
        "nomic-scaffold install --provider pypi",
        7,
    ),
    # Disks: one for all, then one for each
    "one disk, room for all": (folders("*", free=2_800_000_000) | NO_GPU, "disk-project", OK, "", 0),
    "one disk, no room for archives, files and weights": (
        folders("*", free=2_300_000_000) | NO_GPU,
        "disk-package-cache",
        LACK,
        f"{ROOM}; or elsewhere: {PKGS}",
        7,
    ),
    "conda packages fill the cache": (
        disks(package_cache=2.0) | NO_GPU,
        "disk-package-cache",
        LACK,
        f"{ROOM}; or elsewhere: {PKGS}",
        7,
    ),
    "the project's disk takes the files": (disks(project=1.9) | NO_GPU, "disk-project", LACK, ROOM, 7),
    "room for the files": (disks(project=2.1) | NO_GPU, "disk-project", OK, "", 0),
    "cuda takes ten times as much": (
        disks(package_cache=10),
        "disk-package-cache",
        LACK,
        f"{ROOM}; or elsewhere: {PKGS}",
        7,
    ),
    "wheels fill the project": (
        disks(project=1.2, package_cache=0.3) | {"servers": (without(CHANNEL), HUB, INDEX)},
        "disk-project",
        LACK,
        ROOM,
        7,
    ),
    "wheels need no package cache": (
        disks(package_cache=0.3) | {"servers": (without(CHANNEL), HUB, INDEX)},
        "disk-package-cache",
        OK,
        "",
        0,
    ),
    "disk full, all there": (
        folders("project", free=300_000_000) | project(environment="pypi", weights=True),
        "disk-project",
        OK,
        "",
        0,
    ),
    "store full": (disks(model_store=0.25), "disk-model-store", LACK, f"{ROOM}; or elsewhere: {STORE}", 7),
    "store full on Windows": (
        disks(model_store=0.25) | WINDOWS,
        "disk-model-store",
        LACK,
        'make room: cleanmgr; or elsewhere: $env:NOMIC_SCAFFOLD_STORE = "D:\\nomic"',
        7,
    ),
    "read-only project": (folders("project", writable=False), "disk-project", LACK, 'sudo chown -R "$USER" "/p"', 7),
    "read-only project on Windows": (
        folders("project", writable=False) | WINDOWS,
        "disk-project",
        LACK,
        'icacls "/p" /grant "${env:USERNAME}:(OI)(CI)M"',
        7,
    ),
    "read-only cache, all there": (
        folders("package cache", writable=False) | project(environment="conda", weights=True),
        "disk-package-cache",
        NOTE,
        f'sudo chown -R "$USER" "/c"; or elsewhere: {PKGS}',
        0,
    ),
    # Memory
    "little memory": (
        {"memory_available": 900_000_000},
        "memory",
        LACK,
        "ps aux --sort=-rss | head shows what to close; in a container: docker run --memory 4g",
        7,
    ),
    "little memory on macOS": (
        {"memory_available": 900_000_000} | MAC,
        "memory",
        LACK,
        "top -l 1 -o mem -n 10 shows what to close; in a container: docker run --memory 4g",
        7,
    ),
    "unknown memory": ({"memory_available": None, "memory": None}, "memory", OK, "", 0),
    # What the locks want of the system
    "old glibc": (virtual(glibc="2.17"), "libc", LACK, "nomic-scaffold image build", 7),
    "musl": (facts(libc="musl") | virtual(glibc=None), "libc", LACK, "nomic-scaffold image build", 7),
    "old glibc, wheels": (
        virtual(glibc="2.17") | project(environment="pypi"),
        "libc",
        NOTE,
        "nomic-scaffold image build",
        0,
    ),
    "old kernel": (
        virtual(linux="4.18"),
        "libc",
        LACK,
        "sudo apt-get update && sudo apt-get full-upgrade, or your system's way to a newer release",
        7,
    ),
    "old macOS": (MAC | virtual(osx="12.6"), "libc", LACK, "softwareupdate --install --all", 7),
    "old Windows": (WINDOWS | virtual(win="8.1"), "libc", LACK, "start ms-settings:windowsupdate", 7),
    "macOS has no glibc": (MAC | virtual(glibc=None), "libc", OK, "", 0),
    # Graphics cards
    "no gpu": (NO_GPU, "gpu", OK, "", 0),
    "no gpu, cuda only": (
        NO_GPU | project(variants=CUDA_ONLY),
        "gpu",
        LACK,
        'add "linux-64" to platforms of [variants.cpu] in scaffold.toml, then: nomic-scaffold lock',
        7,
    ),
    "no gpu, cuda only, but wheels are there": (
        NO_GPU | project(variants=CUDA_ONLY, environment="pypi"),
        "gpu",
        NOTE,
        'add "linux-64" to platforms of [variants.cpu] in scaffold.toml, then: nomic-scaffold lock',
        0,
    ),
    "driver too old for the lock": (facts(driver="535.1") | virtual(cuda="12.2"), "gpu", NOTE, DRIVER, 0),
    "driver too old, cuda only": (
        facts(driver="535.1") | virtual(cuda="12.2") | project(variants=CUDA_ONLY),
        "gpu",
        LACK,
        DRIVER,
        7,
    ),
    "driver just new enough": (virtual(cuda="12.9") | project(variants=CUDA_ONLY), "gpu", OK, "", 0),
    "a card without a driver": (facts(driver=None) | virtual(cuda=None), "gpu", NOTE, DRIVER, 0),
    "the project has no cuda": (NO_GPU | project(variants=CPU_ONLY), "gpu", OK, "", 0),
    # Programs
    "no git": ({"programs": ()}, "git", NOTE, "sudo apt-get install git", 0),
    "no git on macOS": ({"programs": ()} | MAC, "git", NOTE, "xcode-select --install", 0),
    "no git on Windows": ({"programs": ()} | WINDOWS, "git", NOTE, "winget install Git.Git", 0),
    "no docker": ({"programs": ()} | engine(NO_ENGINE), "docker", NOTE, "sudo apt-get install docker.io", 0),
    "no docker on macOS": (
        {"programs": ()} | engine(NO_ENGINE, system="darwin") | MAC,
        "docker",
        NOTE,
        "brew install --cask docker",
        0,
    ),
    "no docker on Windows": (
        {"programs": ()} | engine(NO_ENGINE, system="win32") | WINDOWS,
        "docker",
        NOTE,
        "winget install Docker.DockerDesktop",
        0,
    ),
    "engine not running": (engine(NO_ENGINE), "docker", NOTE, "sudo systemctl start docker", 0),
    "engine not running on macOS": (engine(NO_ENGINE, system="darwin") | MAC, "docker", NOTE, "open -a Docker", 0),
    "engine not running on Windows": (
        engine(NO_ENGINE, system="win32") | WINDOWS,
        "docker",
        NOTE,
        "docker desktop start",
        0,
    ),
    "engine may not be talked to": (
        engine(REFUSED),
        "docker",
        NOTE,
        "sudo usermod -aG docker $USER && newgrp docker",
        0,
    ),
    "engine may not be talked to on Windows": (
        engine(REFUSED, system="win32") | WINDOWS,
        "docker",
        NOTE,
        'net localgroup docker-users "$env:USERNAME" /add',
        0,
    ),
    "engine of another machine is away": (
        engine(NO_ENGINE, host="tcp://10.0.0.1:2375"),
        "docker",
        NOTE,
        "start the engine that DOCKER_HOST names, or take this machine's own: unset DOCKER_HOST",
        0,
    ),
    # Servers
    "no channel": ({"servers": (without(CHANNEL), HUB, INDEX)}, "packages", NOTE, f"export {MIRROR}", 0),
    "no channel on Windows": (
        {"servers": (without(CHANNEL), HUB, INDEX)} | WINDOWS,
        "packages",
        NOTE,
        f"$env:{WINDOWS_MIRROR}",
        0,
    ),
    "no index": (
        {"servers": (CHANNEL, HUB, without(INDEX))},
        "packages",
        NOTE,
        "pip config set global.index-url https://YOUR-MIRROR/simple",
        0,
    ),
    "nothing reachable": (
        ALL_OFF,
        "packages",
        LACK,
        f'name your proxy: export HTTPS_PROXY="http://YOUR-PROXY:3128"; or a mirror: export {MIRROR}',
        6,
    ),
    "nothing reachable through a proxy": (
        ALL_OFF | {"proxies": {"HTTPS_PROXY": "http://***@p:1", "NO_PROXY": "x"}},
        "packages",
        LACK,
        f"mend the proxy, or go without: unset HTTPS_PROXY; or a mirror: export {MIRROR}",
        6,
    ),
    "nothing reachable, environment there": (
        ALL_OFF | project(environment="conda", weights=True),
        "packages",
        NOTE,
        f'name your proxy: export HTTPS_PROXY="http://YOUR-PROXY:3128"; or a mirror: export {MIRROR}',
        0,
    ),
    "no hub, but an index": ({"servers": (CHANNEL, without(HUB), INDEX)}, "weights", OK, "", 0),
    "no source of weights": (
        {"servers": (CHANNEL, without(HUB), without(INDEX))},
        "weights",
        LACK,
        'export HF_ENDPOINT="https://YOUR-MIRROR", or bring the file: nomic-scaffold weights add FILE',
        6,
    ),
    "offline": ({"servers": None}, "packages", State.NOT_LOOKED_AT, "nomic-scaffold doctor", 6),
    "offline, all there": (
        {"servers": None} | project(environment="pypi", weights=True),
        "weights",
        State.NOT_LOOKED_AT,
        "",
        0,
    ),
    "certificates gone": (
        {"certificates": {"SSL_CERT_FILE=/gone.pem": False}},
        "certificates",
        LACK,
        "unset SSL_CERT_FILE",
        7,
    ),
    "certificates gone on Windows": (
        {"certificates": {"PIP_CERT=x": False, "SSL_CERT_FILE=x": False}} | WINDOWS,
        "certificates",
        LACK,
        "Remove-Item Env:PIP_CERT, Env:SSL_CERT_FILE",
        7,
    ),
    "clock an hour slow": ({"clock_offset": 3600.0}, "clock", NOTE, "sudo timedatectl set-ntp true", 0),
    "clock an hour slow on macOS": ({"clock_offset": 3600.0} | MAC, "clock", NOTE, "sudo sntp -sS pool.ntp.org", 0),
    "clock an hour slow on Windows": ({"clock_offset": 3600.0} | WINDOWS, "clock", NOTE, "w32tm /resync", 0),
    "clock a year fast": ({"clock_offset": -3.2e7}, "clock", LACK, "sudo timedatectl set-ntp true", 6),
    "clock not told": ({"clock_offset": None}, "clock", State.NOT_LOOKED_AT, "", 0),
}


@pytest.mark.parametrize(("changes", "id_", "state", "mend", "code"), CASES.values(), ids=CASES)
def test_what_is_lacking_is_told_with_the_command_that_mends_it(
    changes: dict[str, Any], id_: str, state: State, mend: str, code: int
) -> None:
    checkup = judged(**changes)
    item = next(item for item in checkup.items if item.id == id_)
    assert item.state is state, item
    assert item.mend == mend
    assert (item.state in (State.NOTE, State.LACKING)) == bool(item.consequence) or state is State.NOT_LOOKED_AT
    assert checkup.exit_code == ExitCode(code)


def test_what_a_graphics_card_lacks_is_said_as_install_says_it() -> None:
    told = judged(**facts(driver="535.1"), **virtual(cuda="12.2"))
    (item,) = [item for item in told.items if item.id == "gpu"]
    wants = "cuda wants an NVIDIA driver of CUDA 12.9 or newer, the one here has 12.2"
    assert item.consequence == f"{wants}; install takes cpu"
    told = judged(**facts(driver="535.1"), **virtual(cuda="12.2"), **project(variants=CUDA_ONLY))
    (item,) = [item for item in told.items if item.id == "gpu"]
    assert item.consequence == f"{wants}; it is the only variant for linux-64"


def test_every_lack_has_a_consequence_and_a_command() -> None:
    nothing = replace(
        HEALTHY,
        **facts(python="3.9.1", platform="win-64", libc=None, gpu=None, driver=None),
        **folders("project", writable=False),
        **virtual(win="7"),
        memory_available=1,
        programs=(),
        docker=None,
        certificates={"SSL_CERT_FILE=/gone": False},
        **ALL_OFF,
    )
    lacking = [i for i in diagnose(nothing, tool_version="1").items if i.state in (State.LACKING, State.NOTE)]
    assert len(lacking) > 8
    assert all(item.consequence and item.mend for item in lacking), lacking
    assert not [i.mend for i in lacking if re.search(r"sudo|export|systemctl|apt-get|unset", i.mend)], "on Windows"


def test_outside_a_project_only_what_new_needs_decides() -> None:
    bare = replace(HEALTHY, project=None, programs=(), docker=None, **NO_GPU, **ALL_OFF)
    assert diagnose(bare, tool_version="1").exit_code == ExitCode.OK
    full = replace(bare, **folders("project", writable=False))
    assert diagnose(full, tool_version="1").exit_code == ExitCode.TOOL_MISSING
