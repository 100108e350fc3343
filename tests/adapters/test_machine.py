"""Facts of machines: this one for real, others by the files and programs that they have."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nomic_scaffold.adapters import machine, reach, survey
from tests.support.server import Fault, serve

posix = pytest.mark.skipif(sys.platform == "win32", reason="programs with a #! line")


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def nothing(command: Sequence[str]) -> str | None:
    return None


X86 = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu sse4_2 avx avx2 fma avx512f amx_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n"
OPEN_DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release\n"
CARD = "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 37\n"


def test_this_machine_is_described() -> None:
    facts = machine.facts()
    assert facts.platform == machine.subdir(sys.platform, os.uname().machine if os.name == "posix" else "AMD64")
    assert facts.python == ".".join(map(str, sys.version_info[:3]))
    assert facts.cores
    assert facts.processor


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"proc/cpuinfo": X86},
            {"processor": "Intel(R) Xeon(R)", "instruction_sets": ("sse4_2", "avx", "avx2", "fma")},
        ),
        ({"proc/cpuinfo": ARM}, {"processor": "ARM implementer 0x41 part 0xd40"}),
        ({"etc/os-release": 'NAME=x\nPRETTY_NAME="Alpine Linux v3.22"\n'}, {"os": "Alpine Linux v3.22"}),
        ({"lib/ld-musl-x86_64.so.1": ""}, {"libc": "musl"}),
        (
            {"proc/driver/nvidia/version": DRIVER, "proc/driver/nvidia/gpus/0000:00:04.0/information": CARD},
            {"gpu": "NVIDIA A100-SXM4-40GB", "driver": "535.104.05"},
        ),
        ({"proc/driver/nvidia/version": OPEN_DRIVER}, {"gpu": None, "driver": "570.86.15"}),
        ({}, {"processor": None, "instruction_sets": (), "gpu": None, "driver": None, "libc": None}),
    ],
    ids=["x86", "arm", "os", "musl", "nvidia", "open-driver", "bare"],
)
def test_linux_is_read_from_its_files(tmp_path: Path, files: dict[str, str], expected: dict[str, object]) -> None:
    facts = machine.facts(root=tree(tmp_path, files), system="linux", ask=nothing)
    for name, value in expected.items():
        seen = getattr(facts, name)
        if isinstance(value, (str, tuple)) and value:
            assert seen[: len(value)] == value, name
        else:
            assert seen == value, name


def test_arm_instruction_sets_are_told(tmp_path: Path) -> None:
    facts = machine.facts(root=tree(tmp_path, {"proc/cpuinfo": ARM}), system="linux", ask=nothing)
    assert set(facts.instruction_sets) == {"asimd", "bf16", "i8mm"}


def test_nvidia_smi_is_asked_first(tmp_path: Path) -> None:
    def ask(command: Sequence[str]) -> str | None:
        return "NVIDIA GeForce RTX 4090, 560.35.03\nNVIDIA L4, 560.35.03\n" if command[0] == "nvidia-smi" else None

    facts = machine.facts(root=tree(tmp_path, {"proc/driver/nvidia/version": DRIVER}), system="linux", ask=ask)
    assert (facts.gpu, facts.driver) == ("NVIDIA GeForce RTX 4090", "560.35.03")


def test_macs_tell_by_sysctl(tmp_path: Path) -> None:
    def ask(command: Sequence[str]) -> str | None:
        if command[-1] == "machdep.cpu.brand_string":
            return "Apple M3 Pro\n"
        return "hw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 0\n" if command[0] == "sysctl" else None

    facts = machine.facts(root=tmp_path, system="darwin", ask=ask)
    assert (facts.processor, facts.instruction_sets, facts.libc) == ("Apple M3 Pro", ("asimd", "bf16"), None)


@pytest.mark.parametrize(
    ("system", "name", "expected"),
    [
        ("linux", "x86_64", "linux-64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("darwin", "arm64", "osx-arm64"),
        ("darwin", "x86_64", "osx-64"),
        ("win32", "AMD64", "win-64"),
        ("linux", "ppc64le", "linux-ppc64le"),
    ],
)
def test_platforms_are_named_as_conda_does(system: str, name: str, expected: str) -> None:
    assert machine.subdir(system, name) == expected


@posix
@pytest.mark.parametrize(
    ("body", "expected"),
    [("echo 9.8.7", "9.8.7\n"), ("exit 3", None), ("sleep 30", None)],
    ids=["answers", "fails", "hangs"],
)
def test_a_program_that_fails_or_hangs_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, expected: str | None
) -> None:
    program(tmp_path, "tea", body)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert machine.run(["tea"], timeout=1) == expected
    assert machine.run(["there-is-no-such-program"]) is None


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@posix
def test_programs_are_found_with_their_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "docker", "echo 'Docker version 28.2.2, build e6534b4'")
    program(tmp_path, "micromamba", "echo 2.3.1")
    program(tmp_path, "conda", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PATH", "/bin", prepend=os.pathsep)
    found = {one.name: (one.path is not None, one.version) for one in survey.programs(machine.run)}
    assert found["docker"][1] is not None
    assert found["micromamba"] == (True, "2.3.1")
    assert found["conda"] == (True, None)
    assert found["pixi"] == (False, None)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n"}, (2_048_000, 1_024_000)),
        (
            {
                "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1500 kB\n",
                "sys/fs/cgroup/memory.max": "1024000\n",
                "sys/fs/cgroup/memory.current": "24000\n",
            },
            (1_024_000, 1_000_000),
        ),
        (
            {"proc/meminfo": "MemTotal: 2000 kB\nMemAvailable: 1000 kB\n", "sys/fs/cgroup/memory.max": "max\n"},
            (2_048_000, 1_024_000),
        ),
        ({}, (None, None)),
    ],
    ids=["plain", "container", "no-limit", "untold"],
)
def test_memory_is_what_this_container_may_use(
    tmp_path: Path, files: dict[str, str], expected: tuple[int | None, int | None]
) -> None:
    assert survey.memory(tree(tmp_path, files)) == expected


def test_folders_are_judged_by_the_nearest_that_is_there(tmp_path: Path) -> None:
    seen = survey.folder("project", tmp_path / "not" / "yet")
    assert seen.writable
    assert seen.free
    assert seen.path == str(tmp_path / "not" / "yet")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://ann:hunter2@proxy.example:3128", "http://***@proxy.example:3128"),
        ("ann:hunter2@proxy.example:3128", "***@proxy.example:3128"),
        ("http://ann:hunter2@home@proxy.example:3128", "http://***@proxy.example:3128"),
        ("socks5h://ann:hunter/2@proxy.example", "socks5h://***@proxy.example"),
    ],
)
def test_a_proxys_login_is_hidden_however_it_is_written(value: str, shown: str) -> None:
    assert survey.proxies({"HTTPS_PROXY": value}) == {"HTTPS_PROXY": shown}


def test_proxies_are_told_without_their_passwords() -> None:
    told = survey.proxies({"https_proxy": "http://ann:hunter2@proxy.example:3128", "NO_PROXY": "localhost"})
    assert told == {"HTTPS_PROXY": "http://***@proxy.example:3128", "NO_PROXY": "localhost"}


def test_certificates_are_looked_for(tmp_path: Path) -> None:
    here = tmp_path / "ca.pem"
    here.touch()
    told = survey.certificates({"PIP_CERT": str(here), "SSL_CERT_FILE": "/gone.pem", "CONDA_SSL_VERIFY": "false"})
    assert told == {f"PIP_CERT={here}": True, "SSL_CERT_FILE=/gone.pem": False}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(), None),
        (Fault(status=404), None),
        (Fault(status=401), None),
        (Fault(status=403), "answers 403"),
        (Fault(status=503), "answers 503"),
    ],
    ids=["200", "404", "401", "403", "503"],
)
def test_a_server_answers_or_not(tmp_path: Path, fault: Fault, expected: str | None) -> None:
    with serve(tree(tmp_path, {"index.html": ""})) as served:
        served.faults["/index.html"] = fault
        answer = reach.reach(f"{served.url}/index.html")
    assert answer.why_not == expected
    assert answer.clock_offset is not None
    assert abs(answer.clock_offset) < 5


def test_the_clock_is_held_against_the_server() -> None:
    class Late(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + 7200)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with HTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        offset = reach.reach(f"http://127.0.0.1:{server.server_address[1]}/").clock_offset
    assert offset == pytest.approx(7200, abs=5)


def test_nobody_there_is_told_at_once() -> None:
    started = time.monotonic()
    answers = reach.reach_all({"a": "http://127.0.0.1:9/", "b": "http://no-such-host.invalid/", "c": "not a url"})
    assert answers["a"].why_not == "the connection is refused"
    assert answers["b"].why_not == "its name is not known here"
    assert answers["c"].why_not
    assert time.monotonic() - started < 3


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        answer = reach.reach(f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeout=0.5)
    assert answer.why_not
    assert time.monotonic() - started < 2
    assert threading.active_count() < 50
