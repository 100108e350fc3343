"""The rendered template: the golden tree, and that every file of it is what its name says."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nomic_scaffold import __version__
from nomic_scaffold.adapters.project import read_spec
from nomic_scaffold.formats.answers import LANGUAGES, PYTHONS
from nomic_scaffold.models.answers import Licence
from nomic_scaffold.models.variant import Accelerator, Platform
from tests.template.conftest import Render, tree

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template"
GOLDEN = ROOT / "tests" / "data" / "golden-tree"
NAMES = "FILES"
CACHES = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
PLAIN = [pytest.param({}, id="defaults"), pytest.param({"name": 'He said "hi" \\ {{ x }} #ü😀 & <b>'}, id="odd name")]
OTHERS = [
    pytest.param({"licence": "Proprietary", "python": "3.11", "languages": ["en", "de"]}, id="proprietary"),
    pytest.param({"licence": "MIT", "platforms": ["osx-arm64"]}, id="mac only"),
    pytest.param({"licence": "BSD-3-Clause", "variants": ["cpu"], "description": 'it\'s "x": y'}, id="cpu only"),
]


def test_rendered_files_are_the_golden_ones(default_project: Path, request: pytest.FixtureRequest) -> None:
    """Files that are copied as they are have the template itself for their golden copy; FILES lists them all."""
    found = tree(default_project)
    sources = {name.replace("{{ package }}", "my_project"): text for name, text in tree(TEMPLATE).items()}
    rendered = {name: text for name, text in found.items() if f"{name}.jinja" in sources}
    expected = {**rendered, NAMES: "".join(f"{name}\n" for name in sorted(found)).encode()}
    if request.config.getoption("--update-golden"):
        for path in sorted(GOLDEN.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        for name, text in expected.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_bytes(text)
    hint = "if this is meant: pytest tests/template/test_tree.py --update-golden, in a commit of its own"
    golden = tree(GOLDEN)
    assert sorted(golden) == sorted(expected), hint
    for name, text in expected.items():
        assert golden[name].decode() == text.decode(), hint
    assert {name: found[name] for name in found.keys() - rendered.keys()} == {
        name: text
        for name, text in sources.items()
        if not name.endswith(".jinja") and not CACHES.intersection(name.split("/"))
    }


@pytest.mark.parametrize("answers", [*PLAIN, *OTHERS])
def test_every_file_is_what_its_name_says(render: Render, answers: dict[str, object]) -> None:
    project = render(**answers)
    for name, raw in tree(project).items():
        text = raw.decode("utf-8")
        assert "\r" not in text, name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        if name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith((".yml", ".yaml")):
            assert isinstance(yaml.safe_load(text), dict), name
        elif name.endswith(".py"):
            ast.parse(text, feature_version=(3, 11))
    assert read_spec(project).name == answers.get("name", "my-project")


@pytest.mark.parametrize("answers", [PLAIN[0], *OTHERS])
def test_no_jinja_is_left(render: Render, answers: dict[str, object]) -> None:
    for name, raw in tree(render(**answers)).items():
        assert not re.search(r"(?<!\$)\{\{|\{%", raw.decode()), name


def test_the_fast_engine_is_one_module_that_can_be_read_at_a_sitting(default_project: Path) -> None:
    text = (default_project / "src" / "my_project" / "packed.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200


def test_strange_texts_come_through_whole(render: Render) -> None:
    said = "He said \"hi\" \\ {{ x }} # : é 我 😀 <b> 'q'"
    project = render(name=said, description=said, author=said)
    written = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert written["description"] == said
    assert written["authors"] == [{"name": said}]
    assert tomllib.loads((project / "scaffold.toml").read_text(encoding="utf-8"))["project"]["name"] == said
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert (answers["name"], answers["description"], answers["author"]) == (said, said, said)
    assert (project / "README.md").read_text(encoding="utf-8").startswith(f"# {said}\n")


SUBSETS = [set(some) for size in range(1, 5) for some in itertools.combinations(Platform, size)]


@pytest.mark.parametrize(
    ("number", "platforms", "cuda"),
    [(number, some, some != {Platform.OSX_ARM64}) for number, some in enumerate(SUBSETS)] + [(4, set(Platform), False)],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_the_tool_reads_what_it_rendered(render: Render, number: int, platforms: set[Platform], cuda: bool) -> None:
    accelerators = [Accelerator.CPU, *([Accelerator.CUDA] if cuda else [])]
    python, licence = PYTHONS[number % len(PYTHONS)], [*Licence][number % len(Licence)]
    languages = [*LANGUAGES][number :: len(SUBSETS)]
    project = render(platforms=platforms, variants=accelerators, python=python, licence=licence, languages=languages)
    spec = read_spec(project)
    pairs = {(v.platform, v.accelerator) for v in spec.variants}
    assert pairs == set(itertools.product(platforms, accelerators)) - {(Platform.OSX_ARM64, Accelerator.CUDA)}
    assert all(variant.requirements and variant.virtual_packages for variant in spec.variants)
    assert set(spec.languages) == set(languages)
    assert spec.python == python
    assert f"python {python}.*" in spec.requirements
    assert spec.tool_version == __version__


def test_names_are_allowed_on_every_system(default_project: Path) -> None:
    reserved = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
    seen = set()
    for name in tree(default_project):
        assert len(name) < 100
        assert name.casefold() not in seen
        seen.add(name.casefold())
        for part in name.split("/"):
            assert not reserved.match(part), name
            assert re.fullmatch(r"[A-Za-z0-9._-]+", part), name
            assert not part.endswith("."), name


def test_same_answers_same_bytes_and_nothing_of_this_machine(render: Render) -> None:
    first, second = render(name="x"), render(name="x")
    assert tree(first) == tree(second)
    for name, raw in tree(first).items():
        assert str(first.parent).encode() not in raw, name
        assert str(Path.home()).encode() not in raw, name


def test_a_copier_settings_file_of_the_user_changes_nothing(
    render: Render, default_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "settings.yml"
    mine.write_text("defaults: [broken", encoding="utf-8")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(mine))
    assert tree(render()) == tree(default_project)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for git is a shell script")
def test_rendering_asks_git_nothing(render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copier with git takes the last tag of a checkout in place of its files, and asks git about each of them."""
    (tmp_path / "git").write_text(f"#!/bin/sh\ntouch '{tmp_path}/asked'\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    render()
    assert not (tmp_path / "asked").exists()


def test_plain_copier_gives_the_same_tree(
    plain_copier: Callable[..., subprocess.CompletedProcess[str]], default_project: Path, tmp_path: Path
) -> None:
    done = plain_copier(tmp_path / "my-project", name="my-project")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "my-project") == tree(default_project)


def test_the_answers_file_names_the_public_template_and_this_version(default_project: Path) -> None:
    answers = yaml.safe_load((default_project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert answers["_src_path"] == "gh:nomic-scaffold/nomic-scaffold"
    assert answers["_commit"] == f"v{__version__}"


def test_actions_are_pinned_and_have_no_rights_by_default(default_project: Path) -> None:
    text = (default_project / ".github/workflows/verify.yml").read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40}", action)
        assert re.match(r" # v\d+\.\d+\.\d+$", comment), action
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in text


def test_the_dockerfile_has_stages_a_pinned_base_and_no_root(default_project: Path) -> None:
    lines = (default_project / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    instructions = [line.split(maxsplit=1) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    known = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD", "ENTRYPOINT", "LABEL", "HEALTHCHECK"}
    assert {word for word, _ in instructions} <= known
    bases = [rest for word, rest in instructions if word == "ARG" and re.match(r"\w*BASE=", rest)]
    assert bases
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", base) for base in bases)
    stages = [number for number, (word, _) in enumerate(instructions) if word == "FROM"]
    assert len(stages) >= 2
    last = dict(instructions[stages[-1] :])
    assert re.match(r"[1-9]\d*(:[1-9]\d*)?$", last["USER"])
