"""lock, install and verify of conda environments as people run them, against channels served on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold.errors import ExitCode
from tests.support import conda_shim
from tests.support.channel import OTHERS, mirrored, real_channel, tiny_packages, write
from tests.support.conda_environment import needs_linux
from tests.support.conda_package import HERE, Package
from tests.support.projects import make_generated_project
from tests.support.server import Served, serve
from tests.support.wheels import PYTHON

pytestmark = needs_linux
COMMAND = (sys.executable, "-m", "nomic_scaffold")
ENVIRONMENT = "name: tiny\nchannels: [conda-forge]\ndependencies:\n  - python\n  - tiny-meta\n  - tiny-old\n"


@dataclass
class Machine:
    """A user with a project, a channel and empty caches."""

    root: Path
    home: Path
    channel: Served

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            **mirrored(self.channel.url),
            "HOME": str(self.home),
            "NOMIC_SCAFFOLD_PKGS": str(self.home / "pkgs"),
            "NOMIC_SCAFFOLD_REPODATA": str(self.home / "repodata"),
            "RATTLER_CACHE_DIR": str(self.home / "rattler"),
            "CONDA_PKGS_DIRS": str(self.home / "conda-pkgs"),
        }

    def run(self, *arguments: str, timeout: float = 300, **more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.root,
            env={**self.environ, **more},
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def conda_lock_install(self, prefix: Path) -> None:
        shim = conda_shim.install(self.home)
        command = [sys.executable, "-m", "conda_lock", "install", "--conda", shim, "--prefix", prefix, "conda-lock.yml"]
        done = subprocess.run(
            command, cwd=self.root, env=self.environ, capture_output=True, encoding="utf-8", timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr


def tiny_world() -> list[Package]:
    """A CPU and a CUDA build of a package, on every platform, beside the tiny packages."""
    made = tiny_packages()
    for subdir in (HERE, *OTHERS):
        made.append(Package("tiny-torch", "1.0", "cpu_0", subdir))
        made.append(Package("tiny-torch", "1.0", "cuda_0", subdir, number=1, depends=["__cuda >=12.9"]))
        if subdir != HERE:
            made += [Package(p.name, p.version, p.build, subdir) for p in tiny_packages() if p.subdir == HERE]
    return made


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(write(tmp_path_factory.mktemp("channel"), tiny_world())) as served:
        yield served


def make_tiny(root: Path) -> None:
    make_generated_project(root)
    (root / "environment.yml").write_text(ENVIRONMENT)
    scaffold = root / "scaffold.toml"
    text = scaffold.read_text()
    for blas in ("mkl", "generic"):
        text = text.replace(f"pytorch * cpu_{blas}*", "tiny-torch * cpu*")
        text = text.replace(f"pytorch * cuda*_{blas}*", "tiny-torch * cuda*")
    scaffold.write_text(text)


@pytest.fixture(scope="module")
def locked(channel: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its locks; not to be changed."""
    folder = tmp_path_factory.mktemp("locked")
    make_tiny(folder / "project")
    machine = Machine(folder / "project", folder, channel)
    code, _, err = machine.run("lock", "--conda-only")
    assert code == ExitCode.OK, err
    return folder / "project"


@pytest.fixture
def machine(locked: Path, channel: Served, tmp_path: Path) -> Machine:
    shutil.copytree(locked, tmp_path / "my project")
    return Machine(tmp_path / "my project", tmp_path, channel)


def test_install_then_verify_then_install_again(machine: Machine) -> None:
    code, out, err = machine.run("--format", "json", "install", "--provider", "conda")
    assert code == ExitCode.OK, err
    answer = json.loads(out)
    assert (answer["provider"], answer["variant"]) == ("conda", "cpu")
    assert "variant cpu; cuda wants NVIDIA driver's CUDA 12.9 or newer" in err
    code, out, err = machine.run("verify", "--only", "environment", "--deep", "--format", "json")
    assert code == ExitCode.OK, out + err
    assert {result["status"] for result in json.loads(out)["report"]["results"]} == {"pass"}
    code, _, err = machine.run("install")
    assert code == ExitCode.OK
    assert "already as locked" in err


def test_what_was_changed_is_told_with_its_owner_and_mended(machine: Machine) -> None:
    machine.run("install", "--provider", "conda")
    victim = machine.root / ".nomic-scaffold/envs/cpu/share/tiny/run.sh"
    victim.unlink()
    victim.write_text("#!/bin/sh\nexit 1\n")
    victim.chmod(0o755)
    code, out, _ = machine.run("verify", "--only", "environment", "--format", "json")
    assert code == ExitCode.CHECK_FAILED
    failed = [result for result in json.loads(out)["report"]["results"] if result["status"] == "fail"]
    assert [result["code"] for result in failed] == ["ENV009"]
    assert failed[0]["detail"].startswith("share/tiny/run.sh (of tiny-data): changed")
    assert failed[0]["hint"] == "nomic-scaffold install"
    assert machine.run("install")[0] == ExitCode.OK
    assert machine.run("verify", "--only", "environment", "--deep")[0] == ExitCode.OK
    assert machine.run("install", "--deep")[0] == ExitCode.OK


def test_explain_says_what_each_variant_wants_and_installs_nothing(machine: Machine) -> None:
    code, out, err = machine.run("--format", "json", "install", "--provider", "conda", "--explain")
    assert code == ExitCode.OK
    wants = json.loads(out)["wants"]
    assert {need["name"] for need in wants[f"{HERE}-cuda"]} >= {"__cuda", "__glibc"}
    assert f"{HERE}-cuda wants: " in err
    assert not (machine.root / ".nomic-scaffold/envs/cpu").exists()


def test_a_new_enough_driver_chooses_cuda(machine: Machine) -> None:
    code, out, err = machine.run("--format", "json", "install", "--provider", "conda", CONDA_OVERRIDE_CUDA="13.0")
    assert code == ExitCode.OK, err
    assert json.loads(out)["variant"] == "cuda"
    assert "the NVIDIA driver here has CUDA 13.0, 12.9 is enough" in err
    assert list((machine.root / ".nomic-scaffold/envs/cuda/conda-meta").glob("tiny-torch-1.0-cuda_0.json"))
    assert machine.run("verify", "--only", "environment", "--deep")[0] == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "override", "words"),
    [
        (("--variant", "cuda"), {}, "it wants NVIDIA driver's CUDA 12.9 or newer (this machine: none): NOT MET"),
        (("--variant", "cpu"), {"CONDA_OVERRIDE_GLIBC": "2.17"}, "it wants glibc 2.28 or newer (this machine: 2.17)"),
    ],
)
def test_a_machine_that_can_not_run_a_variant_is_told_before_anything_is_fetched(
    machine: Machine, arguments: tuple[str, ...], override: dict[str, str], words: str
) -> None:
    code, _, err = machine.run("install", "--provider", "conda", *arguments, **override)
    assert code == ExitCode.UNAVAILABLE
    assert words in err
    assert not (machine.home / "pkgs").exists()


def test_a_stale_lock_is_named_by_its_line(machine: Machine) -> None:
    path = machine.root / "environment.yml"
    path.write_text(path.read_text() + "  - tiny-data >=1\n")
    code, _, err = machine.run("install", "--provider", "conda")
    assert code == ExitCode.INPUT
    assert "environment.yml:7: 'tiny-data >=1' is not in the lock" in err
    assert "nomic-scaffold lock" in err
    assert not (machine.root / ".nomic-scaffold/envs/cpu").exists()


def test_a_lock_of_another_tool_without_this_platform_is_an_error(machine: Machine) -> None:
    path = machine.root / "conda-lock.yml"
    rows = [row for row in path.read_text().splitlines() if not row.startswith("#")]
    text = "\n".join(rows).replace(f"platform: {HERE}", "platform: osx-64").replace(f"- {HERE}", "- osx-64")
    path.write_text(text)
    code, _, err = machine.run("install", "--provider", "conda", "--variant", "cpu")
    assert code == ExitCode.INPUT
    assert f"has nothing for {HERE}, only for" in err
    assert not (machine.root / ".nomic-scaffold/envs/cpu").exists()


def test_a_project_without_this_platform_is_an_error(machine: Machine) -> None:
    path = machine.root / "scaffold.toml"
    path.write_text(path.read_text().replace('"linux-64", "linux-aarch64", ', ""))
    code, _, err = machine.run("install", "--provider", "conda")
    assert code == ExitCode.USAGE
    assert f"scaffold.toml has no variant for {HERE}" in err


def test_what_conda_lock_installs_is_proven_too(machine: Machine) -> None:
    prefix = machine.home / "by conda-lock"
    machine.conda_lock_install(prefix)
    verify = ("verify", "--only", "environment", "--prefix", str(prefix), "--deep", "--format", "json")
    code, out, _ = machine.run("--offline", *verify)
    assert code == ExitCode.UNAVAILABLE, "nothing here vouches for the files, and nothing may be fetched"
    assert [r["code"] for r in json.loads(out)["report"]["results"] if r["status"] == "unknown"] == ["ENV005", "ENV012"]
    code, out, err = machine.run(*verify)
    assert code == ExitCode.OK, out + err
    (prefix / "share/tiny/run.sh").chmod(0o644)
    code, out, _ = machine.run("--offline", *verify)
    assert code == ExitCode.CHECK_FAILED
    assert [r["code"] for r in json.loads(out)["report"]["results"] if r["status"] == "fail"] == ["ENV011"]


# The whole chain, with torch and the official weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, official_weights: Path) -> Iterator[Machine]:
    """A project with the default answers and this Python, its locks, and the official model file in the store."""
    home = tmp_path_factory.mktemp("home")
    with serve(real_channel()) as served:
        machine = Machine(home, home, served)
        new = ("new", "my project", "--defaults", "--python", PYTHON, "--platform", HERE, "--variant", "cpu")
        code, _, err = machine.run(*new, "--no-git")
        assert code == ExitCode.OK, err
        machine.root = home / "my project"
        code, _, err = machine.run("lock")
        assert code == ExitCode.OK, err
        code, _, err = machine.run("weights", "add", str(official_weights))
        assert code == ExitCode.OK, err
        yield machine


EMBED = """
import numpy as np
from my_project import embed
related = embed(["a cat on the sofa", "a kitten on the couch"], task="clustering")
unrelated = embed(["tax law"], task="clustering")
assert related.shape == (2, 768) and related.dtype == np.float32
assert related[0] @ related[1] > related[0] @ unrelated[0] + 0.1
print("embedded")
"""


def embeds(machine: Machine, prefix: Path) -> bool:
    environ = {**machine.environ, "PYTHONPATH": str(machine.root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [prefix / "bin/python", "-c", EMBED],
        cwd=machine.root,
        env=environ,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout == "embedded\n"


@pytest.mark.weights
def test_new_lock_install_weights_verify_embed(whole: Machine) -> None:
    code, _, err = whole.run("install", "--provider", "conda", timeout=900)
    assert code == ExitCode.OK, err
    prefix = whole.root / ".nomic-scaffold/envs/cpu"
    assert whole.run("weights", "pull")[0] == ExitCode.OK
    assert embeds(whole, prefix)
    code, out, err = whole.run("verify", "--deep", "--format", "json", timeout=900)
    assert code == ExitCode.OK, out + err
    assert json.loads(out)["counts"]["fail"] == json.loads(out)["counts"]["unknown"] == 0
    code, out, err = whole.run("install")
    assert "already as locked" in err


@pytest.mark.weights
def test_the_same_through_conda_lock(whole: Machine) -> None:
    prefix = whole.home / "by conda-lock"
    whole.conda_lock_install(prefix)
    assert whole.run("weights", "pull")[0] == ExitCode.OK
    assert embeds(whole, prefix)
    verify = ("verify", "--prefix", str(prefix), "--deep", "--format", "json")
    code, out, err = whole.run(*verify, "--only", "lock", "--only", "environment", "--only", "weights")
    assert code == ExitCode.OK, out + err  # with the same files; their vectors are proven above
    shutil.rmtree(whole.home / "pkgs" / "wheels")
    code, out, _ = whole.run("--offline", *verify, "--only", "environment")
    assert code == ExitCode.UNAVAILABLE, "what pip put in is proven by the wheels, and they may not be fetched"
    assert [r["code"] for r in json.loads(out)["report"]["results"] if r["status"] == "unknown"] == ["ENV005", "ENV012"]
