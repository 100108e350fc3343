"""The generated workflow: what it may do, what it plans, and its steps as a runner runs them."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from nomic_scaffold import __version__
from tests.support.simple_index import configured_index
from tests.support.tool_wheel import bare_machine
from tests.support.workflow_runner import Job, Step, Workflow, evaluate, render
from tests.template.conftest import Render

FILE = Path(__file__).resolve().parents[2] / "template/.github/workflows/verify.yml"
CONTENT: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
NOWHERE = "https://conda.anaconda.org/conda-forge=http://127.0.0.1:9/conda-forge"
CACHE = ".nomic-scaffold/cache/weights"
INSTALL, PROVE = "The tool, in the version that scaffold.toml pins", "Prove it"
on_posix = pytest.mark.skipif(os.name == "nt", reason="the steps are run with bash, as on Linux and macOS")


PAGE = (FILE.parents[3] / "docs/how-to/ci.md").read_text(encoding="utf-8")


def test_the_page_on_ci_has_the_variables_the_jobs_and_the_commands() -> None:
    text = FILE.read_text(encoding="utf-8")
    variables = set(re.findall(r"vars\.(\w+)", text))
    assert set(re.findall(r"(?m)^\| `([A-Z_]+)` \|", PAGE)) == variables
    assert set(re.findall(r"(?m)^#   ([A-Z_]+) ", text)) == variables
    assert set(re.findall(r"(?m)^\| ([a-z]+) \| ", PAGE)) - {"variable", "job", "code"} == CONTENT["jobs"].keys()
    commands = re.findall(r"(?m)^    (nomic-scaffold .*|python -m pip .*)$", PAGE.partition("## Another CI")[2])
    steps = " ".join(step.get("run", "") for job in CONTENT["jobs"].values() for step in job["steps"])
    steps = steps.replace(" --quiet", "").replace(" --save-evidence evidence.json", "")
    assert len(commands) == 5
    for command in commands:
        start = re.sub(r"==\S+|conda$", "", command.partition(" --report")[0]).rstrip()
        assert start in steps, start


class TestRights:
    """What the schema and zizmor don't say; `nox -s lint` runs both."""

    def test_each_job_has_the_least(self) -> None:
        assert CONTENT["permissions"] == {}
        assert {name: job["permissions"] for name, job in CONTENT["jobs"].items()} == {
            "plan": {"contents": "read"},
            "verify": {"contents": "read"},
            "scan": {"actions": "read", "security-events": "write"},
            "pass": {},
        }
        assert "secrets." not in FILE.read_text(encoding="utf-8")

    def test_it_runs_on_changes_weekly_and_by_hand_and_never_for_a_fork_with_our_rights(self) -> None:
        assert CONTENT["on"].keys() == {"push", "pull_request", "schedule", "workflow_dispatch"}
        minute, _, day, month, weekday = CONTENT["on"]["schedule"][0]["cron"].split()
        assert (day, month) == ("*", "*")
        assert weekday in "0123456"
        assert minute != "0"  # when everybody's start, some are dropped

    def test_every_action_is_pinned_by_commit_with_its_version(self) -> None:
        uses = re.findall(r"uses: (\S+)(.*)", FILE.read_text(encoding="utf-8"))
        assert len(uses) >= 8
        for action, comment in uses:
            assert re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
        assert len({action.partition("@")[0]: action for action, _ in uses}) == len({action for action, _ in uses})

    def test_no_step_puts_an_expression_into_a_script_or_keeps_the_token(self) -> None:
        steps = [step for job in CONTENT["jobs"].values() for step in job["steps"]]
        assert not [step for step in steps if "${{" in step.get("run", "")]
        checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
        assert {step["with"]["persist-credentials"] for step in checkouts} == {"false"}

    def test_every_job_ends_by_itself(self) -> None:
        assert all(5 <= int(job["timeout-minutes"]) <= 60 for job in CONTENT["jobs"].values())


def workflow(root: Path, *, environment: Mapping[str, str] | None = None, **more: Any) -> Workflow:
    """Open the project's workflow on a machine whose `python` is ours."""
    temp = root.parent / f"{root.name} temp"
    temp.mkdir(exist_ok=True)
    own = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    path = root / ".github/workflows/verify.yml"
    return Workflow(path, workspace=root, temp=temp, environment=environment or own, **more)


def plan(root: Path, **more: Any) -> Job:
    return workflow(root, **more).job("plan", until="Platforms and variants, as scaffold.toml has them")


def planned(job: Job) -> list[tuple[str, str, str]]:
    assert job.result == "success", job.steps[-1].output
    rows = json.loads(job.outputs["matrix"])["include"]
    return [(row["platform"], row["variant"], row["runner"]) for row in rows]


LINUX = ("linux-64", "cpu", "ubuntu-24.04")
ARM = ("linux-aarch64", "cpu", "ubuntu-24.04-arm")
MAC = ("osx-arm64", "cpu", "macos-15")
WINDOWS = ("win-64", "cpu", "windows-2025")


@on_posix
class TestPlan:
    @pytest.mark.parametrize(
        ("answers", "variables", "expected"),
        [
            pytest.param({}, {}, [LINUX, ARM, MAC, WINDOWS], id="defaults"),
            pytest.param({"platforms": ["osx-arm64"]}, {"CUDA_RUNNER": "gpu"}, [MAC], id="mac only"),
            pytest.param({"platforms": ["win-64", "linux-64"]}, {}, [LINUX, WINDOWS], id="two platforms"),
            pytest.param(
                {"platforms": ["linux-64"]}, {"CUDA_RUNNER": "gpu"}, [LINUX, ("linux-64", "cuda", "gpu")], id="cuda"
            ),
            pytest.param(
                {"platforms": ["linux-64"], "variants": ["cpu"]}, {"CUDA_RUNNER": "gpu"}, [LINUX], id="no cuda variant"
            ),
            pytest.param(
                {"platforms": ["osx-arm64", "linux-aarch64"]},
                {"CUDA_RUNNER": "my gpu"},
                [ARM, MAC, ("linux-aarch64", "cuda", "my gpu")],
                id="cuda on arm",
            ),
        ],
    )
    def test_the_matrix_is_what_scaffold_toml_has(
        self, render: Render, answers: dict[str, Any], variables: dict[str, str], expected: list[tuple[str, str, str]]
    ) -> None:
        job = plan(render(**answers), variables=variables)
        assert planned(job) == expected
        assert job.outputs["version"] == __version__
        assert re.fullmatch("[0-9a-f]{64}", job.outputs["weights"])

    @pytest.mark.parametrize(("fork", "count"), [(True, 1), (False, 2)])
    def test_a_fork_gets_no_runner_of_ours(self, render: Render, fork: bool, count: int) -> None:
        github = {"event_name": "pull_request", "event": {"pull_request": {"head": {"repo": {"fork": fork}}}}}
        job = plan(render(platforms=["linux-64"]), variables={"CUDA_RUNNER": "gpu"}, github=github)
        assert len(planned(job)) == count

    def test_a_conflict_in_scaffold_toml_is_told_at_its_line(self, render: Render) -> None:
        root = render()
        path = root / "scaffold.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("[pypi]", "<<<<<<< mine\n[pypi]"), encoding="utf-8")
        line = text.splitlines().index("[pypi]") + 1
        job = plan(root)
        assert job.result == "failure"
        assert f"::error file=scaffold.toml,line={line}::not valid TOML" in job.steps[-1].output

    @pytest.mark.parametrize(
        ("results", "outcome"),
        [
            ("success success", "success"),
            ("success failure", "failure"),
            ("failure skipped", "failure"),
            ("success cancelled", "failure"),
        ],
    )
    def test_the_check_to_require_passes_only_when_all_did(
        self, default_project: Path, results: str, outcome: str
    ) -> None:
        names = dict(zip(("plan", "verify"), results.split(), strict=True))
        needs = {name: {"result": result, "outputs": {}} for name, result in names.items()}
        assert workflow(default_project).job("pass", needs=needs).result == outcome


def test_every_expression_can_be_evaluated(default_project: Path) -> None:
    matrix = {"include": [{"platform": "linux-64", "variant": "cpu", "runner": "x"}]}
    outputs = {"matrix": json.dumps(matrix), "version": "1", "weights": "5a"}
    contexts = {
        "github": {"workspace": "/w", "event_name": "push", "ref": "r", "event": {}},
        "vars": {},
        "matrix": matrix["include"][0],
        "needs": {"plan": {"result": "success", "outputs": outputs}, "verify": {"result": "success"}},
        "steps": {"plan": {"outputs": outputs}},
        "status": "success",
    }
    told = render(FILE.read_text(encoding="utf-8"), contexts, default_project)
    assert "${{" not in told
    assert "name: verify (linux-64, cpu)" in told
    assert "results: success success" in told.lower()
    assert evaluate("!cancelled() && vars.UPLOAD_SARIF == 'true'", contexts) is False


@dataclass(frozen=True)
class Runner:
    """A machine with Python, pip and the tool's wheel in a folder that pip looks into; no conda channel answers."""

    programs: Path
    wheels: Path

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
            "NOMIC_SCAFFOLD_MIRRORS": NOWHERE,
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


@on_posix
@pytest.mark.xdist_group("wheel")
class TestSteps:
    @pytest.fixture
    def project(self, render: Render, tmp_path: Path) -> Iterator[Path]:
        """A project whose wheels are `tea` and `cup`, and whose model is a few bytes that no runtime can read."""
        root = render()
        model = tmp_path / "model.gguf"
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

    def test_what_fails_is_told_in_the_summary_the_files_and_at_lines(
        self, runner: Runner, project: Path, tmp_path: Path
    ) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "nomic_scaffold", "-C", str(project), "lock", "--variant", "pypi"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
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
        caches = [step.given for step in used if step.uses.startswith("actions/cache@")]
        assert caches[0]["key"] == f"weights-{hashlib.sha256(b'a model file').hexdigest()}"
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


@pytest.mark.weights
@pytest.mark.timeout(3600)
@on_posix
@pytest.mark.xdist_group("wheel")
@pytest.mark.skipif(sysconfig.get_platform() == "linux-aarch64", reason="gpt4all has no wheel for this platform")
def test_a_fresh_project_passes_and_one_in_chinese_fails_at_its_line(
    runner: Runner, official_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole workflow on real input: locks, wheels, the official model file, vectors."""
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", NOWHERE)
    root = tmp_path / "my project"
    for words in (["new", str(root), "--defaults"], ["-C", str(root), "lock"]):
        done = subprocess.run(
            [sys.executable, "-m", "nomic_scaffold", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
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
