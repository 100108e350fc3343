"""The tool's image and a project's image, built by a real engine and proven from outside."""

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

from tests.support import channel as channels
from tests.support import docker_engine
from tests.support.docker_engine import BASE, ROOT, docker
from tests.support.server import serve

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker"), pytest.mark.timeout(2400)]
TOOL = "nomic-scaffold-test/tool:local"
SEALED = ("--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp")


@dataclass(frozen=True)
class Engine:
    """A running private engine that has the base and the tool's image."""

    host: str

    def run(self, *arguments: str) -> str:
        return docker(self.host, *arguments)


@dataclass(frozen=True)
class Project:
    """A project with a lock of the test channel, and what the tool needs to know to work on it."""

    root: Path
    environment: dict[str, str]

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nomic_scaffold", "-C", str(self.root), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def build(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.tool("--format", "json", "image", "build", "--base", BASE, "--builder-image", TOOL, *arguments)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    lacking = docker_engine.missing_means()
    if lacking:
        pytest.skip(f"no container can be run here: {lacking}")
    cache = channels.test_cache()
    with docker_engine.private_engine(cache) as host:
        docker_engine.import_base(host, cache)
        yield Engine(host)


@pytest.fixture(scope="module")
def tool_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    context = tmp_path_factory.mktemp("tool")
    for name in ("src", "template", "locks"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("copier.yml", "pyproject.toml", "README.md", "LICENSE", "Dockerfile", ".dockerignore"):
        shutil.copyfile(ROOT / name, context / name)
    shutil.copytree(docker_engine.wheelhouse(channels.test_cache()), context / "wheelhouse")
    arguments = ("--build-arg", f"BASE={BASE}", "--build-arg", "PIP_NO_INDEX=1", "--network", "none")
    engine.run("build", "--quiet", *arguments, "--tag", TOOL, str(context))
    return TOOL


@pytest.fixture(scope="module")
def project(
    engine: Engine, tool_image: str, official_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("image") / "my project 项目"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with serve(channels.real_channel()) as channel:
        environment = {**os.environ, **channels.mirrored(channel.url), "DOCKER_HOST": engine.host, "CI": "true"}
        made = Project(root, environment)
        new = ["new", str(root), "--defaults", "--python", python, "--platform", "linux-64", "--variant", "cpu"]
        for step in (
            [*new, "--package", "my_project"],
            ["lock"],
            ["weights", "add", str(official_weights)],
            ["weights", "pull"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "nomic_scaffold", *([] if step[0] == "new" else ["-C", str(root)]), *step],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{step}: {done.stderr}"
        yield made


@pytest.fixture(scope="module")
def built(project: Project) -> dict[str, object]:
    done = project.build()
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_the_tools_image_runs_sealed_and_without_root(engine: Engine, tool_image: str) -> None:
    assert "nomic-scaffold, version" in engine.run("run", *SEALED, tool_image, "--version")
    assert engine.run("run", *SEALED, "--entrypoint", "id", tool_image, "-u") == "10001"


def test_build_says_what_weighs_most(built: dict[str, object]) -> None:
    largest = built["largest"]
    assert isinstance(largest, list)
    assert "pytorch" in {package["name"] for package in largest}
    assert len(largest) == 10


def test_an_image_embeds_without_network_root_or_a_writable_disk(engine: Engine, built: dict[str, object]) -> None:
    script = "import os, my_project.embedding as e; print(os.getuid(), e.embed(['The cat sits on the sofa.']).shape)"
    assert engine.run("run", *SEALED, str(built["tag"]), "python", "-c", script) == "10001 (1, 768)"


def test_an_image_passes_its_own_healthcheck(engine: Engine, built: dict[str, object]) -> None:
    told = engine.run("inspect", "--format", "{{json .Config.Healthcheck.Test}}", str(built["tag"]))
    command = json.loads(told)[1:]
    engine.run("run", *SEALED, str(built["tag"]), *command)


def test_an_image_has_no_caches_and_no_compilers(engine: Engine, built: dict[str, object]) -> None:
    search = "ls -d /opt/env/pkgs /root/.cache /build /fetched /layer 2>/dev/null; command -v gcc cc conda pip3 || true"
    assert engine.run("run", *SEALED, str(built["tag"]), "sh", "-c", search) == ""


def test_the_whole_chain_is_proven_from_outside(project: Project, built: dict[str, object]) -> None:
    done = project.tool("--format", "json", "image", "verify")
    report = json.loads(done.stdout)
    bad = [r for r in report["results"] if r["status"] not in ("pass", "warn")]
    assert bad == []
    assert done.returncode == 0, done.stderr
    groups = {result["code"][:3] for result in report["results"]}
    assert {"IMG", "ENV", "WGT", "EMB", "LNG", "PRV"} <= groups


def test_a_byte_changed_in_an_image_is_found(
    project: Project, engine: Engine, built: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {built['tag']}\nUSER 0\n"
        "RUN file=$(ls /opt/env/lib/python3*/site-packages/tokenizers/__init__.py); echo '# x' >> $file\n"
        "USER 10001:10001\n"
    )
    engine.run("build", "--quiet", "--network", "none", "--tag", "tampered", str(tmp_path))
    done = project.tool("--format", "json", "image", "verify", "tampered")
    assert done.returncode == 1
    failed = [r for r in json.loads(done.stdout)["results"] if r["status"] == "fail"]
    assert any("tokenizers/__init__.py" in r["detail"] for r in failed)


def test_an_image_of_an_older_lock_is_found(project: Project, built: dict[str, object]) -> None:
    lock = project.root / "conda-lock.yml"
    before = lock.read_bytes()
    lock.write_bytes(before + b"# later\n")
    try:
        done = project.tool("--format", "json", "image", "verify")
    finally:
        lock.write_bytes(before)
    assert done.returncode == 1
    assert {r["code"] for r in json.loads(done.stdout)["results"] if r["status"] == "fail"} == {"IMG001"}


def test_a_source_change_leaves_environment_and_weights_alone(project: Project, built: dict[str, object]) -> None:
    source = project.root / "src" / "my_project" / "__init__.py"
    before = source.read_bytes()
    source.write_bytes(before + b"\n# changed\n")
    try:
        again = json.loads(project.build("--tag", "changed").stdout)
    finally:
        source.write_bytes(before)
    first = built["layers"]
    assert isinstance(first, list)
    assert again["layers"][:-1] == first[:-1]
    assert again["layers"][-1] != first[-1]


def test_built_anew_every_layer_is_the_same_bytes(project: Project, built: dict[str, object]) -> None:
    again = json.loads(project.build("--no-cache", "--tag", "again").stdout)
    assert again["layers"] == built["layers"]


def test_buildkit_gives_an_image_that_embeds(project: Project, engine: Engine, built: dict[str, object]) -> None:
    path = os.pathsep.join(["/usr/bin", project.environment["PATH"]])  # a docker whose BuildKit needs no plug-in
    done = Project(project.root, {**project.environment, "PATH": path}).build("--buildkit", "--tag", "kit")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"][-3:-1] == list(built["layers"])[-3:-1]  # type: ignore[call-overload]


def test_an_image_over_budget_fails(project: Project, built: dict[str, object]) -> None:
    toml = project.root / "scaffold.toml"
    before = toml.read_text(encoding="utf-8")
    assert "budget-mb" in before
    toml.write_text(before.replace("budget-mb = ", "budget-mb = 1 #"), encoding="utf-8")
    try:
        done = project.build()
    finally:
        toml.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert "budget" in done.stderr


def test_a_base_that_is_not_there_is_named(project: Project) -> None:
    done = project.tool("image", "build", "--base", "nomic-scaffold-test/nowhere:1", "--builder-image", TOOL)
    assert done.returncode == 6
    assert "--base" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_engine_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "CI": "true"}
    command = [sys.executable, "-m", "nomic_scaffold"]
    subprocess.run([*command, "new", str(tmp_path / "p"), "--defaults"], env=environment, check=True)
    done = subprocess.run(
        [*command, "-C", str(tmp_path / "p"), "image", "build"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert "DOCKER_HOST" in done.stderr
