"""The steps of the generated workflow, run as a runner runs them: what they install, prove and tell."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.channel import mirrored, real_channel
from tests.support.conda_environment import needs_linux
from tests.support.conda_package import HERE
from tests.support.server import serve
from tests.support.simple_index import configured_index
from tests.support.tool_wheel import bare_machine
from tests.support.wheels import PYTHON
from tests.support.workflow_runner import Job, Step
from tests.template.conftest import Render
from tests.template.test_workflow import on_posix, plan, workflow

NOWHERE = "https://conda.anaconda.org/conda-forge=http://127.0.0.1:9/conda-forge"
CACHE = ".nomic-scaffold/cache/weights"
INSTALL, PROVE = "The tool, in the version that scaffold.toml pins", "Prove it"


@dataclass(frozen=True)
class Runner:
    """A machine with Python, pip and the tool's wheel in a folder that pip looks into."""

    programs: Path
    wheels: Path
    mirrors: str = NOWHERE
    """As it stands, no conda channel answers."""

    def job(
        self,
        root: Path,
        name: str,
        *,
        variables: Mapping[str, str] | None = None,
        prove: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Job:
        """Run a job; `prove` adds variables to the step that verifies."""
        kept = {key: value for key, value in os.environ.items() if not re.match("PYTHON|VIRTUAL_ENV|GITHUB_|CI$", key)}
        kept = {key: value for key, value in kept.items() if not key.startswith("NOMIC_SCAFFOLD_")}
        environment = {
            **kept,
            "PATH": os.pathsep.join([str(self.programs), os.environ["PATH"]]),
            "NOMIC_SCAFFOLD_MIRRORS": self.mirrors,
            "HF_ENDPOINT": "http://127.0.0.1:9",
        }
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        opened = workflow(root, environment=environment, variables=variables)
        return opened.job(name, extra={INSTALL: pip, PROVE: prove or {}}, **more)


@pytest.fixture(scope="module")
def runner(tool_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(bare_machine(tmp_path_factory.mktemp("machine") / "venv"), tool_wheel.parent)


def filled(root: Path, weights: Path, seen: list[Step]) -> Callable[[Step], None]:
    """Give what stands in for `uses:` steps: they are listed, and the cache of weights has the file."""

    def act(step: Step) -> None:
        seen.append(step)
        if step.uses.startswith("actions/cache@") and step.given["path"] == CACHE:
            sha256 = step.given["key"].removeprefix("weights-")
            place = root / CACHE / sha256 / weights.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                return
            try:
                place.hardlink_to(weights)
            except OSError:
                shutil.copy(weights, place)

    return act


def edit(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def line_of(root: Path, start: str) -> int:
    rows = (root / "scaffold.toml").read_text(encoding="utf-8").splitlines()
    return next(number for number, row in enumerate(rows, 1) if row.startswith(start))


def annotations(step: Step) -> list[str]:
    return [row for row in step.output.splitlines() if row.startswith("::error ")]


def pin_a_few_bytes(root: Path, model: Path) -> None:
    """Make a project's wheels `tea` and `cup`, and its model a few bytes that no runtime can read."""
    model.write_bytes(b"a model file")
    scaffold = (root / "scaffold.toml").read_text(encoding="utf-8")
    pins = {key: re.search(rf"(?m)^{key} = .*$", scaffold)[0] for key in ("file", "sha256", "size", "requirements")}  # type: ignore[index]
    edit(
        root / "scaffold.toml",
        (pins["file"], 'file = "model.gguf"'),
        (pins["sha256"], f'sha256 = "{hashlib.sha256(model.read_bytes()).hexdigest()}"'),
        (pins["size"], f"size = {model.stat().st_size}"),
        (pins["requirements"], 'requirements = ["tea"]'),
    )


def tool(*words: str, **variables: str) -> None:
    """Run the tool as the people of a project do."""
    command = [sys.executable, "-m", "nomic_scaffold", *words]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@on_posix
class TestSteps:
    @pytest.fixture
    def project(self, render: Render, tmp_path: Path) -> Iterator[Path]:
        root = render()
        pin_a_few_bytes(root, tmp_path / "model.gguf")
        with configured_index(tmp_path):
            yield root

    def test_a_stale_lock_stops_the_plan_at_its_line(self, runner: Runner, project: Path) -> None:
        shutil.copytree(Path(__file__).resolve().parents[2] / "locks", project / "locks", dirs_exist_ok=True)
        shutil.move(project / "locks" / "conda-lock.yml", project)
        edit(project / "environment.yml", ("numpy >=2", "numpy >=2.1"))
        job = runner.job(project, "plan")
        assert job[INSTALL].outcome == "success", job[INSTALL].output
        check = job["The locks match their inputs"]
        assert check.code == 3
        rows = (project / "environment.yml").read_text(encoding="utf-8").splitlines()
        place = f"::error file=environment.yml,line={rows.index('  - numpy >=2.1') + 1},title=nomic-scaffold::"
        assert any(row.startswith(place) and "'numpy >=2'" in row for row in annotations(check)), check.output
        assert job.summary.startswith("## ❌ nomic-scaffold lock stopped (exit code 3)\n")
        assert f"`environment.yml:{rows.index('  - numpy >=2.1') + 1}` | `nomic-scaffold lock` |" in job.summary

    def test_what_fails_is_told_in_the_summary_the_files_and_at_lines(
        self, runner: Runner, project: Path, tmp_path: Path
    ) -> None:
        tool("-C", str(project), "lock", "--variant", "pypi")
        used: list[Step] = []
        job = runner.job(
            project,
            "verify",
            matrix={"platform": "linux-64", "variant": "cpu", "runner": "ubuntu-24.04"},
            needs={"plan": plan(project)},
            variables={"PROVIDER": "pypi"},
            act=filled(project, tmp_path / "model.gguf", used),
        )
        log = "\n".join(step.output for step in job.steps)
        assert [step.outcome for step in job.steps if step.name != PROVE] == ["success"] * (len(job.steps) - 1), log
        assert "from the store" in job["Fetch the pinned model file"].output
        prove = job[PROVE]
        assert prove.code in (1, 6), prove.output
        assert any(
            f"::error file=scaffold.toml,line={line_of(project, 'file =')}," in row for row in annotations(prove)
        )
        assert job.summary == (project / "verify.md").read_text(encoding="utf-8")
        assert job.result == "failure"
        weights, packages = [step.given for step in used if step.uses.startswith("actions/cache@")]
        assert weights["key"] == f"weights-{hashlib.sha256(b'a model file').hexdigest()}"
        lock = hashlib.sha256(hashlib.sha256((project / "locks/pylock.toml").read_bytes()).digest()).hexdigest()
        assert packages["key"] == f"packages-linux-64-{lock}"
        assert [*(project / packages["path"]).rglob("tea/leaves.py")]
        (artefact,) = [step.given for step in used if step.uses.startswith("actions/upload-artifact@")]
        assert artefact["name"] == "verify-linux-64-cpu"
        kept = {path.name for pattern in artefact["path"].split() for path in project.glob(pattern)}
        assert kept == {"evidence.json", "verify.xml", "verify.sarif", "verify.html", "verify.md"}
        ignored = (project / ".gitignore").read_text(encoding="utf-8").splitlines()
        assert {"/evidence.json", "/verify.*", ".nomic-scaffold/"} <= set(ignored)

    def test_a_job_that_stops_early_says_that_nothing_was_verified(self, runner: Runner, project: Path) -> None:
        job = runner.job(
            project, "verify", matrix={"platform": "linux-64", "variant": "cpu"}, needs={"plan": plan(project)}
        )
        install = job["Install from the lock"]
        assert install.code == 3
        assert [row for row in annotations(install) if "conda-lock.yml" in row], install.output
        assert job[PROVE].outcome == "skipped"
        assert "Nothing was verified" in job.summary
        assert "`conda-lock.yml` | `nomic-scaffold lock` |" in job.summary
        assert job.summary.index("exit code 3") < job.summary.index("Nothing was verified")

    def test_an_image_that_can_not_be_built_is_told_why(self, runner: Runner, project: Path) -> None:
        variables, needs = {"IMAGE": "true"}, {"plan": plan(project)}
        job = runner.job(project, "image", matrix={"platform": "linux-64"}, needs=needs, variables=variables)
        assert job["Build the image from the lock"].code != 0
        assert job["Prove the image"].outcome == "skipped"
        assert job.summary.startswith("## ❌ nomic-scaffold image stopped")
        assert job.summary.endswith("**No image was verified**: an earlier step failed.\n")


@needs_linux
@pytest.mark.timeout(1800)
def test_packages_come_from_the_channel_once_and_then_from_the_cached_folder(runner: Runner, tmp_path: Path) -> None:
    root, model, platform = tmp_path / "my project", tmp_path / "model.gguf", {"platform": HERE, "variant": "cpu"}

    def verify(machine: Runner) -> Job:
        used: list[Step] = []
        job = machine.job(root, "verify", matrix=platform, needs={"plan": plan(root)}, act=filled(root, model, used))
        log = "\n".join(step.output for step in job.steps)
        assert [step.outcome for step in job.steps if step.name != PROVE] == ["success"] * (len(job.steps) - 1), log
        assert job.summary.startswith(f"## ❔ my project ({HERE}, conda environment): Not proven"), job.summary
        assert "| Environment | ✅ pass |" in job.summary
        (cached,) = [step.given["path"] for step in used if step.given.get("key", "").startswith("packages-")]
        assert [*(root / cached).rglob("pytorch-*.conda")]
        return job

    with serve(real_channel()) as served, configured_index(tmp_path):
        machine = replace(runner, mirrors=mirrored(served.url)["NOMIC_SCAFFOLD_MIRRORS"])
        defaults = ("--defaults", "--python", PYTHON, "--platform", HERE, "--variant", "cpu", "--no-git")
        tool("new", str(root), *defaults, **mirrored(served.url))
        text = (root / "environment.yml").read_text(encoding="utf-8")
        (root / "environment.yml").write_text(text.partition("  - pip:")[0], encoding="utf-8")
        pin_a_few_bytes(root, model)
        tool("-C", str(root), "lock", **mirrored(served.url))
        assert machine.job(root, "plan").result == "success"
        verify(machine)
    # As the next runner has it: what the cache step brought, and nothing else.
    shutil.rmtree(root / ".nomic-scaffold/envs")
    for folder in (root / ".nomic-scaffold/cache/packages").iterdir():
        if folder.name != "archives":
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    verify(runner)


@pytest.mark.weights
@pytest.mark.timeout(3600)
@on_posix
@pytest.mark.skipif(sysconfig.get_platform() == "linux-aarch64", reason="gpt4all has no wheel for this platform")
def test_a_fresh_project_passes_and_one_in_chinese_fails_at_its_line(
    runner: Runner, official_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole workflow on real input: locks, wheels, the official model file, vectors."""
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", NOWHERE)
    root = tmp_path / "my project"
    tool("new", str(root), "--defaults")
    tool("-C", str(root), "lock")
    begun = runner.job(root, "plan")
    assert begun.result == "success", begun.steps[-1].output
    matrix = json.loads(begun.outputs["matrix"])["include"][0]

    def verify(**prove: str) -> Job:
        # A busy machine of many tests takes longer than a runner.
        prove["NOMIC_SCAFFOLD_VERIFY_TIMEOUT"] = "3000"
        return runner.job(
            root, "verify", matrix=matrix, needs={"plan": begun}, variables={"PROVIDER": "pypi"}, prove=prove,
            act=filled(root, official_weights, []),
        )  # fmt: skip

    job = verify()
    assert job.result == "success", "\n".join(step.output for step in job.steps)
    assert annotations(job[PROVE]) == []
    assert job.summary == (root / "verify.md").read_text(encoding="utf-8")
    cases = ET.parse(root / "verify.xml").getroot().iter("testcase")
    assert not [case.get("name") for case in cases if case.find("failure") is not None]
    assert json.loads((root / "verify.sarif").read_text(encoding="utf-8"))["runs"][0]["results"] == []
    assert json.loads((root / "evidence.json").read_text(encoding="utf-8"))["embeddings"]["runtime"] == "nomic"

    edit(root / "scaffold.toml", ('languages = ["en"]', 'languages = ["zh"]'))
    shutil.copy(root / "evidence.json", tmp_path / "seen.json")
    job = verify(NOMIC_SCAFFOLD_VERIFY_EVIDENCE=str(tmp_path / "seen.json"))
    assert job.result == "failure"
    assert job[PROVE].code == 1
    place = f"::error file=scaffold.toml,line={line_of(root, 'languages')},title=LNG"
    assert [row for row in annotations(job[PROVE]) if row.startswith(place) and "Chinese" in row], job[PROVE].output
    assert "Chinese" in job.summary
