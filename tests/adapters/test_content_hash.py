"""What this tool hashes by itself is what conda-lock hashes; the rest it leaves to conda-lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nomic_scaffold.adapters.conda.content_hash import content_hashes
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import content_hash, lock_inputs, lock_sources
from nomic_scaffold.formats.content_hash import ContentHashes
from nomic_scaffold.models.variant import Accelerator
from tests.support import records
from tests.support.locking import Site, site

GOLDEN = Path(__file__).parents[1] / "data" / "golden-tree"


def both(folder: Path, asked: Sequence[str], pip: Sequence[str]) -> tuple[ContentHashes | None, ContentHashes]:
    root = records.project(folder, asked, pip=pip)
    environment, scaffold = (root / "environment.yml").read_text(), (root / "scaffold.toml").read_text()
    inputs = [i for i in lock_inputs.read(environment, scaffold) if i.accelerator is Accelerator.CUDA]
    theirs = content_hashes(
        environment,
        lock_sources.environment(inputs),
        lock_sources.virtual_packages(inputs),
        platforms=[item.platform for item in inputs],
    )
    return content_hash.plain(inputs, environment), theirs


NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
NAMES = st.sampled_from(["numpy", "NumPy", "typing_extensions", "ruamel.yaml", "pytorch", "x-y", "_mutex", "7zip"])
OPERATORS = st.sampled_from([">=", "<=", "<", ">", "!=", "~="])
CONDA_PARTS = st.one_of(
    NUMBERS,
    NUMBERS.map("{}.*".format),
    st.just("*"),
    st.tuples(OPERATORS, NUMBERS).map("".join),
    st.sampled_from(["2026a", "=2", "==2.0", "2*", ">=2.*", "1|2", "1!2", "2.0rc1", "cpu*", ""]),
)
CONDA = st.tuples(
    NAMES,
    st.sampled_from([" ", "  "]),
    st.lists(CONDA_PARTS, max_size=3).map(",".join),
    st.sampled_from(["", " py313*", " h1a_0", " cuda*_mkl*", " *_mkl", " *"]),
).map(lambda parts: "".join(parts) if parts[2] else parts[0])
PIP_PARTS = st.one_of(
    st.tuples(OPERATORS, st.sampled_from(["", " "]), NUMBERS).map("".join),
    st.tuples(st.sampled_from(["==", "!="]), NUMBERS, st.sampled_from(["", ".*"])).map("".join),
)
PIP = st.tuples(
    st.sampled_from(["tea", "Tea_Pot", "tea.pot", "nomic"]),
    st.sampled_from(["", "[local]", "[b,a]"]),
    st.sampled_from(["", " "]),
    st.lists(PIP_PARTS, max_size=3).map(", ".join),
).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(CONDA, min_size=1, max_size=4), pip=st.lists(PIP, max_size=2))
def test_what_is_plain_is_hashed_as_conda_lock_does(tmp_path: Path, asked: list[str], pip: list[str]) -> None:
    asked = [text for text in asked if not (text.lower().startswith("pytorch") and text.count(" ") > 1)]
    try:
        ours, theirs = both(tmp_path, asked, pip)
    except InputError:
        return  # conda-lock can't read it, or the variant can't be written for it
    assert ours in (None, theirs)


@pytest.mark.parametrize(
    ("asked", "pip"),
    [
        pytest.param(["numpy >=2", "rich"], [], id="conda alone"),
        pytest.param(["numpy>=2,<3", "pillow 11.*", "pip"], ["nomic[local] ==3.9.*"], id="as a new project"),
        pytest.param(["numpy >=2", "numpy <3"], ["tea", "Tea >=1, <2"], id="twice the same name"),
    ],
)
def test_what_people_write_is_plain(tmp_path: Path, asked: list[str], pip: list[str]) -> None:
    ours, theirs = both(tmp_path, asked, pip)
    assert ours == theirs


@pytest.mark.parametrize("accelerator", list(Accelerator))
def test_a_new_projects_inputs_are_plain(accelerator: Accelerator) -> None:
    environment, scaffold = ((GOLDEN / name).read_text("utf-8") for name in ("environment.yml", "scaffold.toml"))
    inputs = [item for item in lock_inputs.read(environment, scaffold) if item.accelerator is accelerator]
    theirs = content_hashes(
        environment,
        lock_sources.environment(inputs),
        lock_sources.virtual_packages(inputs),
        platforms=[item.platform for item in inputs],
    )
    assert content_hash.plain(inputs, environment) == theirs


@pytest.mark.parametrize(
    ("asked", "pip"),
    [
        pytest.param(["rich  # [linux]"], [], id="a selector"),
        pytest.param(["bioconda::rich"], [], id="a channel"),
        pytest.param(["rich[version='>=13']"], [], id="brackets"),
        pytest.param(["rich =13"], [], id="fuzzy"),
        pytest.param(["tzdata 2026a"], [], id="letters in a version"),
        pytest.param(["rich 1.0|2.0"], [], id="or"),
        pytest.param(["rich"], ["tea ; sys_platform == 'linux'"], id="a marker"),
        pytest.param(["rich"], ["tea @ https://files.example/tea-1.0-py3-none-any.whl"], id="an address"),
    ],
)
def test_what_is_not_plain_is_left_to_conda_lock(tmp_path: Path, asked: list[str], pip: list[str]) -> None:
    ours, theirs = both(tmp_path, asked, pip)
    assert ours is None
    assert theirs.whole


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"]) as found:
        yield found


def test_the_first_lock_of_plain_inputs_does_not_load_conda_lock(here: Site) -> None:
    code = (
        "import sys; from nomic_scaffold.cli.main import run; "
        "run(['-q', '-C', sys.argv[1], 'lock', '--conda-only']); print('conda_lock' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(here.root)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
