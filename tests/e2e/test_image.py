"""The tool's image and a project's image, built by a real engine and proven from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold import __version__
from nomic_scaffold.adapters.container.engine import engine as reach_engine
from nomic_scaffold.adapters.container.engine import run_sealed
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.formats.report_words import TITLES
from tests.support import channel as channels
from tests.support import docker_engine
from tests.support.certificates import make_authority
from tests.support.docker_engine import BASE, docker
from tests.support.server import serve
from tests.support.tool_wheel import bare_machine
from tests.support.weights import OFFICIAL
from tests.template.test_workflow import plan, workflow
from tests.template.test_workflow_steps import INSTALL

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]
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
        return self.tool("--format", "json", "image", "build", "--base", BASE, "--builder-base", BASE, *arguments)


def results(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """What `image verify` found."""
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)["report"]["results"]
    assert isinstance(found, list)
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    lacking = docker_engine.missing_means()
    if lacking:
        pytest.skip(f"no container can be run here: {lacking}")
    cache = channels.test_cache()
    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(docker_engine.private_engine(cache))
        except docker_engine.NoEngineError as error:
            pytest.skip(f"no container can be run here: {error}")
        docker_engine.import_base(host, cache)
        yield Engine(host)


@pytest.fixture(scope="module")
def project(engine: Engine, official_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("image") / "my project 项目"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with serve(channels.real_channel()) as channel:
        environment = {**os.environ, **channels.mirrored(channel.url), "DOCKER_HOST": engine.host, "CI": "true"}
        environment["NOMIC_SCAFFOLD_PKGS"] = str(channels.test_cache() / "pkgs")
        environment["NOMIC_SCAFFOLD_STORE"] = str(official_weights.parents[1])  # `image build` brings it from there
        made = Project(root, environment)
        new = ["new", str(root), "--defaults", "--python", python, "--platform", "linux-64", "--variant", "cpu"]
        for step in ([*new, "--package", "my_project"], ["lock"]):
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


@pytest.fixture(scope="module")
def tool_image(built: dict[str, object]) -> str:
    """The tool's own image, which the first build of a project makes."""
    return f"nomic-scaffold:{__version__}"


def test_the_tools_image_runs_sealed_and_without_root(engine: Engine, tool_image: str) -> None:
    assert "nomic-scaffold, version" in engine.run("run", *SEALED, tool_image, "--version")
    assert engine.run("run", *SEALED, "--entrypoint", "id", tool_image, "-u") == "10001"


def test_an_image_says_what_it_was_built_from(project: Project, engine: Engine, built: dict[str, object]) -> None:
    labels = json.loads(engine.run("inspect", "--format", "{{json .Config.Labels}}", str(built["tag"])))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.root, capture_output=True, text=True, check=True)
    assert labels == {
        "org.opencontainers.image.title": "my project 项目",
        "org.opencontainers.image.revision": head.stdout.strip(),
        "dev.nomic-scaffold.lock": hashlib.sha256((project.root / "conda-lock.yml").read_bytes()).hexdigest(),
        "dev.nomic-scaffold.weights": OFFICIAL,
        "dev.nomic-scaffold.weights-in": "bake",
        "dev.nomic-scaffold.variant": "linux-64-cpu",
    }


def test_build_says_what_weighs_most(built: dict[str, object]) -> None:
    largest = built["largest"]
    assert isinstance(largest, list)
    assert "pytorch" in {package["name"] for package in largest}
    assert len(largest) == 10


def test_an_image_embeds_without_network_root_or_a_writable_disk(engine: Engine, built: dict[str, object]) -> None:
    embed = "e.embed(['The cat sits on the sofa.'], runtime={!r}).shape"
    both = ", ".join(embed.format(runtime) for runtime in ("torch", "nomic"))
    script = f"import os, my_project.embedding as e; print(os.getuid(), {both})"
    assert engine.run("run", *SEALED, str(built["tag"]), "python", "-c", script) == "10001 (1, 768) (1, 768)"


def test_an_image_passes_its_own_healthcheck(engine: Engine, built: dict[str, object]) -> None:
    told = engine.run("inspect", "--format", "{{json .Config.Healthcheck.Test}}", str(built["tag"]))
    command = json.loads(told)[1:]
    engine.run("run", *SEALED, str(built["tag"]), *command)


def test_an_image_has_no_caches_and_no_compilers(engine: Engine, built: dict[str, object]) -> None:
    search = "ls -d /opt/env/pkgs /root/.cache /build /fetched /layer 2>/dev/null; command -v gcc cc conda pip3 || true"
    assert engine.run("run", *SEALED, str(built["tag"]), "sh", "-c", search) == ""


def test_the_workflows_job_builds_the_image_and_proves_the_whole_chain(
    project: Project, built: dict[str, object], tool_wheel: Path, tmp_path: Path
) -> None:
    """As on a runner: the tool from its wheel, its caches in the workspace."""
    programs = bare_machine(tmp_path / "venv")
    environment = {
        **{name: value for name, value in project.environment.items() if not name.startswith("PYTHON")},
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "NOMIC_SCAFFOLD_IMAGE_BUILD_BASE": BASE,
        "NOMIC_SCAFFOLD_IMAGE_BUILD_BUILDER_BASE": BASE,
    }
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tool_wheel.parent), "PIP_CONFIG_FILE": os.devnull}
    opened = workflow(project.root, environment=environment, variables={"IMAGE": "true"})
    needs = {"plan": plan(project.root)}
    job = opened.job("image", matrix={"platform": "linux-64"}, needs=needs, extra={INSTALL: pip})
    log = "\n".join(step.output for step in job.steps)
    assert job.result == "success", log
    assert str(built["id"])[:19] in job["Build the image from the lock"].output, log
    assert job.summary == (project.root / "verify.md").read_text(encoding="utf-8")
    assert "❌" not in job.summary
    assert "❔" not in job.summary
    assert [title for title in TITLES.values() if f"| {title} | " not in job.summary] == []


def test_an_engine_without_a_gpu_says_so(
    engine: Engine, built: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with reach_engine() as client, pytest.raises(UnavailableError, match="the NVIDIA GPU"):
        run_sealed(client, str(built["tag"]), ["true"], files={}, mounts={}, timeout=60, gpu=True)


def test_a_byte_changed_in_an_image_is_found(
    project: Project, engine: Engine, built: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {built['tag']}\nUSER 0\n"
        "RUN file=$(ls /opt/env/lib/python3*/site-packages/tokenizers/__init__.py); echo '# x' >> $file\n"
        "USER 10001:10001\n"
    )
    engine.run("build", "--quiet", "--network", "none", "--tag", "tampered", str(tmp_path))
    done = project.tool("--format", "json", "image", "verify", "--only", "environment", "tampered")
    assert done.returncode == 1
    failed = [r for r in results(done) if r["status"] == "fail"]
    assert any("tokenizers/__init__.py" in r["detail"] for r in failed)


def test_an_image_of_an_older_lock_is_found(project: Project, built: dict[str, object]) -> None:
    lock = project.root / "conda-lock.yml"
    before = lock.read_bytes()
    lock.write_bytes(before + b"# later\n")
    try:
        done = project.tool("--format", "json", "image", "verify", "--only", "weights")
    finally:
        lock.write_bytes(before)
    assert done.returncode == 1
    assert {r["code"] for r in results(done) if r["status"] == "fail"} == {"IMG001", "IMG004"}


def test_a_source_change_leaves_environment_and_weights_alone(project: Project, built: dict[str, object]) -> None:
    source = project.root / "src" / "my_project" / "__init__.py"
    before = source.read_bytes()
    source.write_bytes(before + b"\n# changed\n")
    try:
        again = json.loads(project.build("--tag", "changed").stdout)
    finally:
        source.write_bytes(before)
    assert again["labels"]["org.opencontainers.image.revision"].endswith("-dirty")
    first = built["layers"]
    assert isinstance(first, list)
    assert again["layers"][:-1] == first[:-1]
    assert again["layers"][-1] != first[-1]


def test_a_file_that_changed_since_the_build_is_named(project: Project, built: dict[str, object]) -> None:
    source = project.root / "src" / "my_project" / "__init__.py"
    before = source.read_bytes()
    source.write_bytes(before + b"\n# later\n")
    try:
        done = project.tool("--format", "json", "image", "verify", "--only", "weights")
    finally:
        source.write_bytes(before)
    failed = {r["code"]: r["detail"] for r in results(done) if r["status"] == "fail"}
    assert failed == {"IMG004": "src/my_project/__init__.py differs"}


def test_weights_may_stay_outside(project: Project, engine: Engine, built: dict[str, object]) -> None:
    done = project.build("--weights", "mount", "--tag", "mounted")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image_bytes"] < int(str(built["image_bytes"])) - 200e6
    done = project.tool("--format", "json", "image", "verify", "--skip", "environment", "mounted")
    assert [r for r in results(done) if r["status"] not in ("pass", "warn")] == []
    folder = project.root / ".nomic-scaffold" / "weights"
    script = "import my_project.embedding as e; print(e.embed(['The cat sits on the sofa.']).shape)"
    mount = ("-v", f"{folder}:/opt/weights:ro")
    assert engine.run("run", *SEALED, *mount, "mounted", "python", "-c", script) == "(1, 768)"


def test_a_baked_image_that_lost_its_weights_fails(
    project: Project, engine: Engine, built: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {built['tag']}\nUSER 0\nRUN rm /opt/weights/*\nUSER 10001:10001\n")
    engine.run("build", "--quiet", "--network", "none", "--tag", "lost", str(tmp_path))
    done = project.tool("--format", "json", "image", "verify", "--only", "weights", "lost")
    assert done.returncode == 1
    assert [r["code"] for r in results(done) if r["status"] == "fail"] == ["IMG001"]


def test_buildkit_gives_an_image_that_embeds(project: Project, engine: Engine, built: dict[str, object]) -> None:
    path = os.pathsep.join(["/usr/bin", project.environment["PATH"]])  # a docker whose BuildKit needs no plug-in
    with_it = Project(project.root, {**project.environment, "PATH": path})
    done = with_it.build("--no-cache", "--buildkit", "--tag", "kit")
    assert done.returncode == 0, done.stderr
    layers = slice(1, 3)  # after the base: environment and weights
    assert json.loads(done.stdout)["layers"][layers] == list(built["layers"])[layers]  # type: ignore[call-overload]


def test_docker_build_alone_fetches_from_mirrors_and_makes_the_same_bytes(
    project: Project, engine: Engine, built: dict[str, object], official_weights: Path, tmp_path: Path
) -> None:
    """Nothing comes from a cache of the engine, nor from this machine's."""
    authority, tls = make_authority(tmp_path)
    hub = tmp_path / "hub"
    spec = tomllib.loads((project.root / "scaffold.toml").read_text(encoding="utf-8"))["model"]
    place = hub / spec["repository"] / "resolve" / spec["revision"] / spec["file"]
    place.parent.mkdir(parents=True)
    place.symlink_to(official_weights)
    fetched = project.root / "fetched"
    (fetched / "certificates").mkdir(parents=True)
    shutil.copyfile(authority, fetched / "certificates" / "authority.crt")
    # in place of an index: this machine's may be a folder, which a container has not
    shutil.copytree(Path(project.environment["NOMIC_SCAFFOLD_PKGS"]) / "wheels", fetched / "pkgs" / "wheels")
    try:
        with serve(channels.real_channel(), tls=tls) as channel, serve(hub, tls=tls) as weights:
            mirrors = channels.mirrored(channel.url) | {"HF_ENDPOINT": weights.url, "BASE": BASE}
            arguments = [word for name, value in mirrors.items() for word in ("--build-arg", f"{name}={value}")]
            arguments += ["--no-cache", "--network", "host", "--tag", "alone"]
            engine.run("build", *arguments, str(project.root))
            assert any(request.path.endswith(".conda") for request in channel.requests)
            assert any(request.path.endswith(".gguf") for request in weights.requests)
    finally:
        shutil.rmtree(fetched)
    trusted = "ls /usr/local/share/ca-certificates; grep -c BEGIN /etc/ssl/certs/ca-certificates.crt"
    seen = [engine.run("run", *SEALED, image, "sh", "-c", trusted) for image in ("alone", BASE)]
    assert seen[0] == seen[1]
    layers = json.loads(engine.run("inspect", "--format", "{{json .RootFS.Layers}}", "alone"))
    assert layers == built["layers"]


def test_an_image_over_budget_fails(project: Project, built: dict[str, object]) -> None:
    toml = project.root / "scaffold.toml"
    before = toml.read_text(encoding="utf-8")
    assert "cpu = 3000" in before
    toml.write_text(before.replace("cpu = 3000", "cpu = 1"), encoding="utf-8")
    try:
        done = project.build()
    finally:
        toml.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert "budget" in done.stderr


def test_a_base_that_is_not_there_is_named(project: Project) -> None:
    done = project.tool("image", "build", "--base", "nomic-scaffold-test/nowhere:1", "--builder-base", BASE)
    assert done.returncode == 6
    assert "nomic-scaffold-test/nowhere:1" in done.stderr
    assert "--base" in done.stderr
    assert "Traceback" not in done.stderr
