"""The generated workflow: what it may do, what it plans, and what it says to the tool."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from nomic_scaffold import __version__
from tests.support.workflow_runner import Job, Workflow, evaluate, render
from tests.template.conftest import Render

FILE = Path(__file__).resolve().parents[2] / "template/.github/workflows/verify.yml"
CONTENT: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
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
            "image": {"contents": "read"},
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


class TestVariants:
    """What the workflow says to the tool, variant by variant."""

    @staticmethod
    def told(job: str, step: str | None, variant: str, variables: dict[str, str]) -> dict[str, str]:
        """Give the variables of a job, or of one of its steps, or what a `uses:` step is given."""
        contexts = {
            "github": {"workspace": "/w"},
            "vars": variables,
            "matrix": {"platform": "linux-64", "variant": variant},
            "needs": {"plan": {"outputs": {"weights": "5a"}}},
        }
        found = CONTENT["jobs"][job]
        if step is not None:
            (found,) = [one for one in found["steps"] if step in (one.get("name"), one.get("with", {}).get("path"))]
        texts = found.get("env") or found["with"]
        return {name: render(text, contexts, FILE.parents[3]) for name, text in texts.items()}

    @pytest.mark.parametrize("variant", ["cpu", "cuda"])
    def test_the_vectors_come_from_the_device_of_the_variant(self, variant: str) -> None:
        assert self.told("verify", None, variant, {})["NOMIC_SCAFFOLD_DEVICE"] == variant

    @pytest.mark.parametrize(
        ("variant", "variables", "provider"),
        [
            pytest.param("cpu", {}, "conda", id="cpu"),
            pytest.param("cpu", {"PROVIDER": "pypi"}, "pypi", id="cpu from wheels"),
            pytest.param("cuda", {}, "conda", id="cuda"),
            pytest.param("cuda", {"PROVIDER": "pypi"}, "conda", id="there are no wheels for cuda"),
        ],
    )
    def test_only_the_cpu_variant_can_come_from_wheels(
        self, variant: str, variables: dict[str, str], provider: str
    ) -> None:
        told = self.told("verify", "Install from the lock", variant, variables)
        assert told == {"PROVIDER": provider, "VARIANT": variant}

    def test_a_runner_of_ones_own_keeps_its_files_where_it_always_has_them(self) -> None:
        places = ("NOMIC_SCAFFOLD_STORE", "NOMIC_SCAFFOLD_PKGS", "UV_CACHE_DIR")
        for variant, kept in (("cpu", "/w/.nomic-scaffold/cache/"), ("cuda", "")):
            told = self.told("verify", None, variant, {})
            assert all(told[name].startswith(kept) and bool(told[name]) == bool(kept) for name in places), told


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
        images = [row["platform"] for row in json.loads(job.outputs["images"])["include"]]
        assert images == [platform for platform, variant, _ in expected if "linux" in platform and variant == "cpu"]
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
        assert job.summary.startswith(f"## ❌ line {line} of scaffold.toml is not valid TOML\n")

    @pytest.mark.parametrize(
        ("image", "results", "outcome"),
        [
            ("", "success success skipped", "success"),
            ("", "success failure skipped", "failure"),
            ("", "failure skipped skipped", "failure"),
            ("", "success cancelled skipped", "failure"),
            ("true", "success success success", "success"),
            ("true", "success success failure", "failure"),
            ("true", "success success skipped", "failure"),
        ],
    )
    def test_the_check_to_require_passes_only_when_all_that_was_asked_for_did(
        self, default_project: Path, image: str, results: str, outcome: str
    ) -> None:
        names = dict(zip(("plan", "verify", "image"), results.split(), strict=True))
        needs = {name: {"result": result, "outputs": {}} for name, result in names.items()}
        job = workflow(default_project, variables={"IMAGE": image} if image else {}).job("pass", needs=needs)
        assert job.result == outcome


def test_every_expression_can_be_evaluated(default_project: Path) -> None:
    matrix = {"include": [{"platform": "linux-64", "variant": "cpu", "runner": "x"}]}
    outputs = {"matrix": json.dumps(matrix), "version": "1", "weights": "5a", "images": json.dumps(matrix)}
    contexts = {
        "github": {"workspace": "/w", "event_name": "push", "ref": "r", "event": {}},
        "vars": {},
        "matrix": matrix["include"][0],
        "needs": {"plan": {"result": "success", "outputs": outputs}, "verify": {"result": "success"}, "image": {}},
        "steps": {"plan": {"outputs": outputs}},
        "status": "success",
    }
    told = render(FILE.read_text(encoding="utf-8"), contexts, default_project)
    assert "${{" not in told
    assert "name: verify (linux-64, cpu)" in told
    assert "results: success success success" in told.lower()
    assert "name: image (linux-64)" in told
    assert evaluate("!cancelled() && vars.UPLOAD_SARIF == 'true'", contexts) is False
