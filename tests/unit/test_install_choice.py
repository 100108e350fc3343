"""Which provider `install` takes, and what it says about it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from nomic_scaffold.adapters import project
from nomic_scaffold.errors import StaleLockError, UsageError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform, Variant, VirtualPackage
from nomic_scaffold.workflows import install as workflow
from nomic_scaffold.workflows.install import Machine
from tests.support.synthetic import SPEC

HERE = replace(
    SPEC,
    variants=tuple(
        Variant(platform=platform, accelerator=Accelerator.CPU, virtual_packages=(), requirements=())
        for platform in Platform
    ),
)


def finished(root: Path, name: str, provider: str) -> None:
    folder = root / ".nomic-scaffold" / "envs" / name
    folder.mkdir(parents=True)
    witness = {"schema_version": 1, "provider": provider, "accelerator": "cpu"}
    (folder / ".nomic-scaffold.json").write_text(json.dumps(witness), encoding="utf-8")


@pytest.mark.parametrize(
    ("asked", "conda_lock", "present", "offline", "why_not", "chosen", "said"),
    [
        ("auto", True, None, False, None, "conda", "a channel answers"),
        ("auto", True, None, False, "its name is not known", "pypi", "no conda channel answers (its name"),
        ("auto", False, None, False, None, "pypi", "no conda-lock.yml"),
        ("auto", True, "pypi", False, None, "pypi", "the environment that is here"),
        ("auto", True, None, True, "unasked", "conda", "--offline"),
        ("pypi", True, None, False, None, "pypi", "as you asked"),
        ("conda", True, "pypi", False, "down", "conda", "as you asked"),
    ],
    ids=["channel", "no-channel", "no-conda-lock", "kept", "offline", "asked-pypi", "asked-conda"],
)
def test_the_provider_is_chosen_with_a_reason(
    tmp_path: Path,
    asked: Literal["auto", "conda", "pypi"],
    conda_lock: bool,
    present: str | None,
    offline: bool,
    why_not: str | None,
    chosen: str,
    said: str,
) -> None:
    if conda_lock:
        (tmp_path / "conda-lock.yml").touch()
    if present:
        finished(tmp_path, present, present)

    def ask(spec: ProjectSpec) -> str | None:
        assert why_not != "unasked"
        return why_not

    choice = workflow.choose(tmp_path, HERE, provider=asked, variant="auto", destination=None, offline=offline, ask=ask)
    assert choice.provider == chosen
    assert said in choice.reasons[0]


def variant(platform: Platform, accelerator: Accelerator, **wants: str) -> Variant:
    virtual = tuple(VirtualPackage(name=f"__{name}", version=version) for name, version in wants.items())
    return Variant(platform=platform, accelerator=accelerator, virtual_packages=virtual, requirements=())


VARIANTS = (
    variant(Platform.LINUX_64, Accelerator.CPU, glibc="2.28"),
    variant(Platform.LINUX_64, Accelerator.CUDA, glibc="2.28", cuda="12.9"),
    variant(Platform.WIN_64, Accelerator.CUDA, cuda="12.8"),
    variant(Platform.OSX_ARM64, Accelerator.CPU, osx="12.0"),
)


@pytest.mark.parametrize(
    ("machine", "asked", "chosen", "explained", "refused"),
    [
        ("linux-64 glibc=2.31 cuda=13.0", "auto", "cuda", ["linux-64-cpu", "linux-64-cuda"], None),
        ("linux-64 glibc=2.31 cuda=12.4", "auto", "cpu", ["linux-64-cpu", "linux-64-cuda"], None),
        ("linux-64 glibc=2.17", "auto", "cpu", ["linux-64-cpu", "linux-64-cuda"], "wants glibc 2.28 or newer"),
        ("linux-64 glibc=2.31", "cuda", "cuda", ["linux-64-cpu", "linux-64-cuda"], "NVIDIA driver's CUDA 12.9"),
        ("win-64", "auto", "cuda", ["win-64-cuda"], "NVIDIA driver's CUDA 12.8 or newer (this machine: none)"),
        ("win-64 cuda=12.8", "cpu", "cpu", ["win-64-cuda"], "has no cpu variant for win-64"),
        ("osx-arm64 osx=14.1", "auto", "cpu", ["osx-arm64-cpu"], None),
        ("osx-arm64 osx=11.7", "auto", "cpu", ["osx-arm64-cpu"], "wants macOS 12.0 or newer (this machine: 11.7)"),
        ("linux-aarch64", "auto", "cpu", [v.id for v in VARIANTS], "has no variant for linux-aarch64, only for"),
        ("linux-ppc64le", "auto", "cpu", [v.id for v in VARIANTS], "this machine is linux-ppc64le; environments are"),
    ],
)
def test_every_machine_gets_an_explanation_and_install_refuses_what_it_lacks(
    tmp_path: Path, machine: str, asked: str, chosen: str, explained: list[str], refused: str | None
) -> None:
    platform, *has = machine.split()
    pairs = [item.split("=") for item in has]
    here = Machine(platform=platform, has=tuple(VirtualPackage(name=f"__{n}", version=v) for n, v in pairs))
    spec = replace(SPEC, variants=VARIANTS)
    choice = workflow.choose(
        tmp_path,
        spec,
        provider="conda",
        variant="auto" if asked == "auto" else Accelerator(asked),
        destination=None,
        offline=True,
        machine=here,
    )
    assert choice.accelerator == chosen
    assert list(choice.wants) == explained
    if refused is None:
        assert choice.refusal is None
        return
    assert choice.refusal is not None
    assert refused in choice.refusal.message
    assert choice.refusal.hint
    with pytest.raises(type(choice.refusal), match=re.escape(refused)):
        workflow.install(tmp_path, spec, choice, fresh=False, offline=True, progress=Silent())


def test_what_conda_would_want_is_explained_beside_wheels_too(tmp_path: Path) -> None:
    here = Machine(platform="osx-arm64", has=(VirtualPackage(name="__osx", version="11.0"),))
    choice = workflow.choose(
        tmp_path,
        replace(SPEC, variants=VARIANTS),
        provider="pypi",
        variant="auto",
        destination=None,
        offline=True,
        machine=here,
    )
    assert list(choice.wants) == ["osx-arm64-cpu"]
    assert choice.refusal is None


def test_wheels_have_no_cuda_variant(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        workflow.choose(
            tmp_path, HERE, provider="pypi", variant=Accelerator.CUDA, destination=None, offline=True, ask=None
        )


def test_the_environment_installed_last_is_the_projects(tmp_path: Path) -> None:
    finished(tmp_path, "pypi", "pypi")
    finished(tmp_path, "cpu", "conda")
    finished(tmp_path, ".pypi-abc", "pypi")
    (tmp_path / ".nomic-scaffold" / "envs" / "half").mkdir()
    for age, name in enumerate(["pypi", "cpu"]):
        path = tmp_path / ".nomic-scaffold" / "envs" / name / ".nomic-scaffold.json"
        os.utime(path, ns=(10**18 - age, 10**18 - age))
    newest = project.find_prefix(tmp_path)
    assert newest is not None
    assert newest.provider == "pypi"
    conda = project.find_prefix(tmp_path, "conda")
    assert conda is not None
    assert conda.path.name == "cpu"
    assert project.find_prefix(tmp_path / "elsewhere") is None


def test_a_stale_lock_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    other = PypiLock(requires_python=">=3.11", inputs_digest=pylock.inputs_digest(("other",), "3.11"), packages=())
    (tmp_path / "locks" / "pylock.toml").write_text(pylock.write(other), encoding="utf-8")
    choice = workflow.choose(tmp_path, HERE, provider="pypi", variant="auto", destination=None, offline=True, ask=None)
    with pytest.raises(StaleLockError) as raised:
        workflow.install(tmp_path, HERE, choice, fresh=False, offline=True, progress=Silent())
    assert raised.value.hint == "nomic-scaffold lock"
