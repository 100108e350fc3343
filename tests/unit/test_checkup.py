"""What a machine's facts mean: a fake machine as a plain object in, items and an exit code out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nomic_scaffold.checks.checkup import diagnose
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.checkup import Checkup, Folder, Program, ProjectState, Server, State, Survey
from nomic_scaffold.models.evidence import MachineFacts

FACTS = MachineFacts(
    platform="linux-64",
    os="Debian 12",
    libc="glibc 2.36",
    gpu="NVIDIA L4",
    driver="550.54.15",
    cores=4,
    python="3.13.1",
)
PROJECT = ProjectState(
    name="tea",
    environment=None,
    weights=False,
    weights_bytes=274_290_560,
    cuda_only=False,
    glibc="2.28",
    platforms=("linux-64", "osx-arm64"),
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
        Folder(what="project", path="/p", free=90_000_000_000, writable=True),
        Folder(what="model store", path="/s", free=90_000_000_000, writable=True),
        Folder(what="package cache", path="/c", free=90_000_000_000, writable=True),
    ),
    programs=(
        Program(name="git", path="/usr/bin/git", version="2.39"),
        Program(name="docker", path="/d", version="28"),
    ),
    docker="28.2",
    docker_why_not=None,
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
    return {"folders": tuple(replace(f, **changes) if f.what == what else f for f in HEALTHY.folders)}


def judged(**changes: Any) -> Checkup:
    return diagnose(replace(HEALTHY, **changes), tool_version="1")


ALL_OFF = {"servers": (without(CHANNEL), without(HUB), without(INDEX)), "clock_offset": None}


def test_a_healthy_machine_lacks_nothing() -> None:
    checkup = judged()
    assert {item.state for item in checkup.items} == {State.OK}
    assert checkup.exit_code == ExitCode.OK


CASES: dict[str, tuple[dict[str, Any], str, State, str, ExitCode]] = {
    "old python": (facts(python="3.10.2"), "python", State.LACKING, "python", ExitCode.TOOL_MISSING),
    "platform not locked": (facts(platform="linux-aarch64"), "platform", State.LACKING, "platforms", ExitCode(7)),
    "platform not locked, but installed": (
        facts(platform="linux-aarch64") | project(environment="pypi"),
        "platform",
        State.NOTE,
        "scaffold.toml",
        ExitCode.OK,
    ),
    "disk full": (folders("project", free=300_000_000), "disk-project", State.LACKING, "room", ExitCode(7)),
    "disk full, all there": (
        folders("project", free=300_000_000) | project(environment="pypi", weights=True),
        "disk-project",
        State.OK,
        "",
        ExitCode.OK,
    ),
    "read-only project": (folders("project", writable=False), "disk-project", State.LACKING, "chown", ExitCode(7)),
    "store full": (
        folders("model store", free=250_000_000),
        "disk-model-store",
        State.LACKING,
        "NOMIC_SCAFFOLD_STORE",
        ExitCode.TOOL_MISSING,
    ),
    "cache read-only": (
        folders("package cache", writable=False),
        "disk-package-cache",
        State.NOTE,
        "NOMIC_SCAFFOLD_PKGS",
        ExitCode.OK,
    ),
    "little memory": ({"memory_available": 900_000_000}, "memory", State.LACKING, "--memory", ExitCode(7)),
    "unknown memory": ({"memory_available": None, "memory": None}, "memory", State.OK, "", ExitCode.OK),
    "old glibc": (facts(libc="glibc 2.17"), "libc", State.LACKING, "image", ExitCode.TOOL_MISSING),
    "musl": (facts(libc="musl"), "libc", State.LACKING, "image", ExitCode.TOOL_MISSING),
    "macOS has no glibc": (facts(platform="osx-arm64", libc=None), "libc", State.OK, "", ExitCode.OK),
    "no gpu": (facts(gpu=None, driver=None), "gpu", State.NOTE, "CPU", ExitCode.OK),
    "no gpu, cuda only": (
        facts(gpu=None, driver=None) | project(cuda_only=True),
        "gpu",
        State.LACKING,
        "",
        ExitCode.TOOL_MISSING,
    ),
    "old driver": (facts(driver="470.82"), "gpu", State.NOTE, "driver", ExitCode.OK),
    "no git": ({"programs": ()}, "git", State.NOTE, "apt-get install git", ExitCode.OK),
    "no git on macOS": (
        facts(platform="osx-arm64", libc=None) | {"programs": ()},
        "git",
        State.NOTE,
        "brew install git",
        ExitCode.OK,
    ),
    "engine not running": (
        {"docker": None, "docker_why_not": "none answers"},
        "docker",
        State.NOTE,
        "systemctl start docker",
        ExitCode.OK,
    ),
    "no channel": (
        {"servers": (without(CHANNEL), HUB, INDEX)},
        "packages",
        State.NOTE,
        "NOMIC_SCAFFOLD_MIRRORS",
        ExitCode.OK,
    ),
    "no index": ({"servers": (CHANNEL, HUB, without(INDEX))}, "packages", State.NOTE, "pip config", ExitCode.OK),
    "nothing reachable": (ALL_OFF, "packages", State.LACKING, "HTTPS_PROXY", ExitCode.UNAVAILABLE),
    "nothing reachable, environment there": (
        ALL_OFF | project(environment="conda", weights=True),
        "packages",
        State.NOTE,
        "",
        ExitCode.OK,
    ),
    "no hub, but an index": ({"servers": (CHANNEL, without(HUB), INDEX)}, "weights", State.OK, "", ExitCode.OK),
    "no source of weights": (
        {"servers": (CHANNEL, without(HUB), without(INDEX))},
        "weights",
        State.LACKING,
        "weights add",
        ExitCode.UNAVAILABLE,
    ),
    "offline": ({"servers": None}, "packages", State.NOT_LOOKED_AT, "doctor", ExitCode.UNAVAILABLE),
    "offline, all there": (
        {"servers": None} | project(environment="pypi", weights=True),
        "weights",
        State.NOT_LOOKED_AT,
        "",
        ExitCode.OK,
    ),
    "certificates gone": (
        {"certificates": {"SSL_CERT_FILE=/gone.pem": False}},
        "certificates",
        State.LACKING,
        "unset SSL_CERT_FILE",
        ExitCode.TOOL_MISSING,
    ),
    "clock an hour slow": ({"clock_offset": 3600.0}, "clock", State.NOTE, "timedatectl", ExitCode.OK),
    "clock a year fast": ({"clock_offset": -3.2e7}, "clock", State.LACKING, "timedatectl", ExitCode.UNAVAILABLE),
    "clock not told": ({"clock_offset": None}, "clock", State.NOT_LOOKED_AT, "", ExitCode.OK),
}


@pytest.mark.parametrize(("changes", "id_", "state", "mend", "code"), CASES.values(), ids=CASES)
def test_what_is_lacking_is_told_with_what_mends_it(
    changes: dict[str, Any], id_: str, state: State, mend: str, code: ExitCode
) -> None:
    checkup = judged(**changes)
    item = next(item for item in checkup.items if item.id == id_)
    assert item.state is state, item
    assert mend in item.mend
    assert (item.state in (State.NOTE, State.LACKING)) == bool(item.consequence) or state is State.NOT_LOOKED_AT
    assert checkup.exit_code == code


def test_every_lack_has_a_consequence_and_a_command() -> None:
    nothing = replace(
        HEALTHY,
        **facts(python="3.9.1", platform="win-64", libc=None, gpu=None, driver=None),
        **folders("project", writable=False),
        memory_available=1,
        programs=(),
        docker=None,
        certificates={"SSL_CERT_FILE=/gone": False},
        **ALL_OFF,
    )
    lacking = [i for i in diagnose(nothing, tool_version="1").items if i.state in (State.LACKING, State.NOTE)]
    assert len(lacking) > 8
    assert all(item.consequence and item.mend for item in lacking), lacking


def test_outside_a_project_only_what_new_needs_decides() -> None:
    bare = replace(HEALTHY, project=None, programs=(), docker=None, **ALL_OFF)
    assert diagnose(bare, tool_version="1").exit_code == ExitCode.OK
    full = replace(bare, **folders("project", writable=False))
    assert diagnose(full, tool_version="1").exit_code == ExitCode.TOOL_MISSING
