"""`verify` and `bless` by the command line, on evidence that was made up for the shipped texts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.golden import shipped_texts
from nomic_scaffold.cli.main import run
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.evidence import Evidence, Unavailable
from tests.support import synthetic
from tests.support.weights import make_project

CONTENT = b"a model file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHOLE = ("--skip", "lock", "--skip", "environment")


@dataclass(frozen=True)
class Bench:
    """A project with golden vectors of its own, and evidence files beside it."""

    root: Path
    folder: Path

    def evidence(self, evidence: Evidence) -> str:
        path = self.folder / "evidence.json"
        path.write_text(evidence.model_dump_json(), encoding="utf-8")
        return str(path)

    def verify(self, evidence: Evidence, *arguments: str) -> int:
        whole = () if "--only" in arguments else WHOLE
        return run(["-C", str(self.root), "verify", "--evidence", self.evidence(evidence), *whole, *arguments])


@pytest.fixture(scope="module")
def good() -> Evidence:
    return synthetic.large_evidence(SHA256, len(CONTENT))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("CI", raising=False)
    root = make_project(tmp_path / "project", CONTENT)
    golden = synthetic.golden(shipped_texts(), sha256=SHA256, model=synthetic.LARGE)
    (root / "locks").mkdir()
    (root / "locks" / "golden.json").write_text(golden.model_dump_json(), encoding="utf-8")
    return Bench(root, tmp_path)


def test_a_healthy_project_exits_with_0_and_says_what_was_proven(
    bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.verify(good) == ExitCode.OK
    told = capsys.readouterr().out
    assert "checks passed." in told
    assert "Proven: the model file is the pinned one" in " ".join(told.split())
    assert "Next: nomic-scaffold verify --report html=report.html" in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_wrong_model_exits_with_1_and_names_the_cause(
    bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    cased = replace(synthetic.LARGE, normalise=lambda text: text)
    wrong = good.model_copy(update={"embeddings": synthetic.embeddings(cased, texts=shipped_texts())})
    assert bench.verify(wrong, "--format", "json") == ExitCode.CHECK_FAILED
    report = json.loads(capsys.readouterr().out)
    assert report["exit_code"] == 1
    assert report["report"]["figures"]["cause"]["id"] == "cased-tokenizer"


def test_what_could_not_be_looked_at_exits_with_6(bench: Bench, good: Evidence) -> None:
    dead = good.model_copy(update={"embeddings": Unavailable(unavailable="the probe died")})
    assert bench.verify(dead) == ExitCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("group", "prefix", "code"),
    [
        ("weights", "WGT", ExitCode.OK),
        ("embeddings", "EMB", ExitCode.OK),
        ("languages", "LNG", ExitCode.OK),
        ("privacy", "PRV", ExitCode.OK),
        ("environment", "ENV", ExitCode.UNAVAILABLE),
        ("lock", "LCK", ExitCode.CHECK_FAILED),
    ],
)
def test_only_judges_one_group(
    group: str, prefix: str, code: ExitCode, bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.verify(good, "--only", group, "--format", "json") == code
    report = json.loads(capsys.readouterr().out)["report"]
    assert {result["code"][:3] for result in report["results"]} == {prefix}


def test_nothing_left_to_verify_is_a_usage_error(bench: Bench, good: Evidence) -> None:
    assert bench.verify(good, "--only", "weights", "--skip", "weights") == ExitCode.USAGE


def test_several_reports_in_one_run(bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bench.folder / "reports"
    folder.mkdir()
    names = {"json": "r.json", "junit": "r.xml", "sarif": "r.sarif", "markdown": "r.md", "html": "r.html",
             "console": "r.txt", "github": "r.gh"}  # fmt: skip
    asked = [part for name, file in names.items() for part in ("--report", f"{name}={folder / file}")]
    assert bench.verify(good, *asked, "-o", str(folder / "main.txt")) == ExitCode.OK
    assert capsys.readouterr().out == ""
    assert json.loads((folder / "r.json").read_text())["exit_code"] == 0
    assert ET.parse(folder / "r.xml").getroot().get("failures") == "0"
    assert json.loads((folder / "r.sarif").read_text())["version"] == "2.1.0"
    assert (folder / "r.md").read_text(encoding="utf-8").startswith("## ✅")
    assert (folder / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "checks passed" in (folder / "main.txt").read_text(encoding="utf-8")
    assert (folder / "r.gh").read_text() == ""


@pytest.mark.parametrize("wrong", ["html", "pdf=x", "html="])
def test_a_report_without_format_or_file_is_a_usage_error(wrong: str, bench: Bench, good: Evidence) -> None:
    assert bench.verify(good, "--report", wrong) == ExitCode.USAGE


def test_under_github_actions_failures_become_annotations_beside_the_report(
    bench: Bench, good: Evidence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    seen = good.weights
    assert seen is not None
    wrong = good.model_copy(update={"weights": seen.model_copy(update={"sha256": "0" * 64})})
    assert bench.verify(wrong, "--format", "json") == ExitCode.CHECK_FAILED
    told = capsys.readouterr()
    json.loads(told.out)
    line = (bench.root / "scaffold.toml").read_text().splitlines().index(f'sha256 = "{SHA256}"') + 1
    assert f"::error file=scaffold.toml,line={line},title=WGT003 " in told.err


def test_an_environment_that_was_not_seen_is_told_at_the_dependencies(
    bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.verify(good, "--only", "environment", "--format", "github") == ExitCode.UNAVAILABLE
    assert capsys.readouterr().out.startswith("::error file=environment.yml,line=3,title=ENV001 ")


def test_the_format_can_come_from_the_environment(
    bench: Bench, good: Evidence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_FORMAT", "json")
    assert bench.verify(good, "--only", "weights") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["exit_code"] == 0


def test_evidence_that_is_none_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    path = bench.folder / "broken.json"
    path.write_text('{"schema_version": 9}')
    assert run(["-C", str(bench.root), "verify", "--evidence", str(path)]) == ExitCode.INPUT
    assert run(["-C", str(bench.root), "verify", "--evidence", str(bench.folder / "none.json")]) == ExitCode.UNAVAILABLE
    assert "is not evidence that this version reads" in capsys.readouterr().err


def test_damaged_golden_vectors_are_an_input_error(
    bench: Bench, good: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    (bench.root / "locks" / "golden.json").write_text("{}")
    assert bench.verify(good) == ExitCode.INPUT
    assert "locks/golden.json: is not a golden file" in capsys.readouterr().err


def test_a_project_without_environment_is_unknown_and_says_what_to_type(bench: Bench) -> None:
    arguments = ["-C", str(bench.root), "verify", "--skip", "lock", "--save-evidence", "e.json"]
    done = subprocess.run(
        [sys.executable, "-m", "nomic_scaffold", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=bench.folder,
        check=False,
    )
    assert done.returncode == ExitCode.UNAVAILABLE, done.stderr
    assert "next: nomic-scaffold install" in done.stdout
    kept = Evidence.model_validate_json((bench.folder / "e.json").read_bytes())
    assert kept.embeddings == Unavailable(
        unavailable="the project has no finished environment", hint="nomic-scaffold install"
    )


def test_bless_is_not_for_ci(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CI", "true")
    assert run(["-C", str(bench.root), "bless", "--yes"]) == ExitCode.USAGE
    assert "not for CI" in capsys.readouterr().err


def test_bless_without_an_environment_says_what_to_type(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(bench.root), "bless", "--yes"]) == ExitCode.UNAVAILABLE
    assert "nomic-scaffold install" in capsys.readouterr().err


def test_bless_asks_first_and_does_not_start_where_nobody_can_answer(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-C", str(bench.root), "bless"]) == ExitCode.USAGE
    assert "nomic-scaffold bless --yes" in capsys.readouterr().err
