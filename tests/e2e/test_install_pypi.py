"""install and doctor as people run them, with an index on this machine and no conda channel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.errors import ExitCode
from tests.support.server import Fault, Served
from tests.support.simple_index import configured_index
from tests.support.weights import make_project

COMMAND = (sys.executable, "-m", "nomic_scaffold")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Served]:
    with configured_index(tmp_path) as served:
        yield served


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = make_project(tmp_path / "茶 project")
    path = root / "scaffold.toml"
    text = path.read_text(encoding="utf-8").replace("requirements = []", 'requirements = ["tea"]')
    path.write_text(text, encoding="utf-8")
    return root


def run(project: Path, *arguments: str) -> tuple[int, str, str]:
    environ = {
        **os.environ,
        "NOMIC_SCAFFOLD_MIRRORS": f"https://conda.anaconda.org/conda-forge={NOWHERE}/conda-forge",
        "HF_ENDPOINT": NOWHERE,
        "NOMIC_SCAFFOLD_STORE": str(project.parent / "store"),
    }
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=project,
        env=environ,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_lock_install_and_once_more(index: Served, project: Path) -> None:
    code, _, err = run(project, "install", "--provider", "pypi")
    assert code == ExitCode.INPUT
    assert "nomic-scaffold lock" in err
    code, _, err = run(project, "lock", "--variant", "pypi")
    assert code == 0, err
    code, out, err = run(project, "--format", "json", "install", "--explain")
    assert code == 0, err
    assert json.loads(out)["provider"] == "pypi"
    assert not (project / ".nomic-scaffold" / "envs").exists()
    code, out, err = run(project, "install")
    assert code == 0, err
    python = Path(out.strip()) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    assert subprocess.run([python, "-c", "import tea"], check=False).returncode == 0
    assert "pypi, because" in err
    asked, started = len(index.requests), time.monotonic()
    code, _, err = run(project, "install")
    assert code == 0
    assert "already as locked" in err
    assert len(index.requests) == asked
    assert time.monotonic() - started < 10  # well under a second on a quiet machine: benchmarks/install.py


def test_the_environment_can_be_anywhere(index: Served, project: Path, tmp_path: Path) -> None:
    assert run(project, "lock", "--variant", "pypi")[0] == 0
    elsewhere = tmp_path / "else where"
    code, out, err = run(project, "--format", "json", "install", "--provider", "pypi", "--prefix", str(elsewhere))
    assert code == 0, err
    assert Path(json.loads(out)["prefix"]) == elsewhere
    assert (elsewhere / "pyvenv.cfg").is_file()


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda served: served.faults.update({"*": Fault(status=503)}), ExitCode.UNAVAILABLE),
        (lambda served: served.faults.update({"/files/tea-1.0-py3-none-any.whl": Fault(flip_at=99)}), ExitCode(5)),
    ],
    ids=["index-down", "other-bytes"],
)
def test_a_failed_install_says_why_and_what_next(index: Served, project: Path, break_it: object, code: int) -> None:
    assert run(project, "lock", "--variant", "pypi")[0] == 0
    environ_cache = Path(os.environ["UV_CACHE_DIR"])
    environ_cache.rename(environ_cache.with_name("old cache"))
    break_it(index)  # type: ignore[operator]
    seen, out, err = run(project, "install", "--provider", "pypi")
    assert seen == code, err
    assert out == ""
    assert "hint:" in err


def test_doctor_tells_this_machine_to_scripts(index: Served, project: Path) -> None:
    code, out, _ = run(project, "--format", "json", "--offline", "doctor")
    told = json.loads(out)
    items = {item["id"]: item for item in told["items"]}
    assert items["packages"]["state"] == "not looked at"
    assert items["python"]["state"] == "ok"
    lacking = [item for item in told["items"] if item["state"] == "lacking"]
    assert code == (ExitCode.TOOL_MISSING if lacking else ExitCode.UNAVAILABLE)


def test_doctor_asks_the_servers_that_are_configured(index: Served, project: Path) -> None:
    code, out, _ = run(project, "--format", "json", "doctor")
    items = {item["id"]: item for item in json.loads(out)["items"]}
    assert "channel conda-forge: the connection is refused" in items["packages"]["seen"]
    assert code == ExitCode.UNAVAILABLE  # the index has no `nomic`, and nothing else answers
    assert any(request.path == "/simple/nomic/" for request in index.requests)


def test_doctor_outside_a_project_is_for_new(index: Served, tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "doctor")
    assert code == 0, err
    assert "making a project" in out
    assert run(tmp_path, "-C", str(tmp_path), "doctor")[0] == ExitCode.INPUT
    assert run(tmp_path, "--format", "xml", "doctor")[0] == ExitCode.USAGE


def test_the_page_for_machines_without_network_is_true(index: Served, project: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "without-conda.md").read_text(encoding="utf-8")
    (project / "lines.py").write_text(page.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    assert run(project, "lock", "--variant", "pypi")[0] == 0
    listed = subprocess.run([sys.executable, "lines.py"], cwd=project, capture_output=True, check=True)
    (project / "requirements.txt").write_bytes(listed.stdout)
    words = next(line for line in page.splitlines() if line.startswith("    pip download")).split()
    subprocess.run([sys.executable, "-m", *words], cwd=project, check=True, capture_output=True)
    Path(os.environ["UV_CACHE_DIR"]).rename(project.parent / "old cache")
    index.faults["*"] = Fault(status=503)
    words = next(line for line in page.splitlines() if line.startswith("    nomic-scaffold --offline")).split()
    code, _, err = run(project, *words[1:])
    assert code == 0, err
