"""Adopting an environment.yml: theirs stays, ours is added, what can't be is named with its line."""

from __future__ import annotations

import pytest

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import adopt, environment_yml

OURS = """\
name: x
channels: [conda-forge]
dependencies:
  - python 3.13.*
  - pip
  - pytorch >=2.6
  - numpy >=2
  - pip:
      - nomic[local] ==3.9.*
"""


def merged(text: str) -> str:
    return adopt.merge(adopt.read(text, path="theirs.yml"), OURS).text


def test_comments_order_and_names_stay() -> None:
    theirs = """\
# our environment
name: search
channels:
  - conda-forge  # the only one
dependencies:
  - python=3.12
  # for tables
  - pandas >=2  # fast enough
"""
    text = merged(theirs)
    assert text.startswith(theirs)
    assert text[len(theirs) :] == (
        "  # added by nomic-scaffold: what the embedding code needs\n"
        "  - pip\n  - pytorch >=2.6\n  - numpy >=2\n"
        "  # added by nomic-scaffold: what the embedding code needs\n"
        "  - pip:\n      - nomic[local] ==3.9.*\n"
    )


@pytest.mark.parametrize(
    "theirs",
    [
        "channels: [conda-forge]\ndependencies: [python 3.13.*, numpy]\n",
        "channels: [conda-forge]\ndependencies:\n- numpy\n- pip:\n  - requests-oauthlib\n",
        "channels: [conda-forge]\ndependencies:\n  - pip:\n      - attrs\n  - numpy\nname: last\n",
        "channels:\n- https://mirror.example/conda-forge\n- other\ndependencies:\n- conda-forge::numpy>=2",
        "channels: [conda-forge]\ndependencies: [numpy, {pip: [attrs]}]\n",
        "dependencies:\n  - numpy\nchannels:\n  - bioconda\n",
        "channels: [conda-forge]\ndependencies:\n  - numpy  # [linux]\n",
        "channels: [conda-forge]\ndependencies:\n  - numpy\n  - pip:\n      # client\n      - nomic[local]==3.9.1\n",
    ],
    ids=["flow", "unindented pip", "pip first", "mirror", "flow pip", "other channel", "selector", "their nomic"],
)
def test_everything_needed_is_there_once_and_theirs_is_kept(theirs: str) -> None:
    before, after = environment_yml.parse(theirs), environment_yml.parse(merged(theirs))
    assert set(before.requirements) <= set(after.requirements)
    assert set(before.pip_requirements) <= set(after.pip_requirements)
    assert after.channels[: len(before.channels)] == before.channels
    assert any(channel.endswith("conda-forge") for channel in after.channels)
    names = [adopt.name_of(entry.text) for entry in after.entries if entry.selector is None]
    assert sorted(names) == sorted(set(names))
    assert {"python", "pip", "pytorch", "numpy", "nomic"} <= set(names) | {"python"}
    if "python" not in theirs:
        assert "python 3.13.*" in after.requirements


def test_adopting_what_was_adopted_changes_nothing() -> None:
    once = merged("channels: [conda-forge]\ndependencies:\n- pandas\n")
    assert merged(once) == once


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("- pytorch-cuda=12.1", "pytorch-cuda chooses CPU or CUDA"),
        ("- cpuonly", "cpuonly chooses CPU or CUDA"),
        ("- pytorch ==2.3", "'pytorch ==2.3' excludes what the embedding code needs: 'pytorch >=2.6'"),
        ("- pytorch <2.6", "excludes what"),
        ("- pytorch=2.3.*", "excludes what"),
        ("- pytorch=2.3=cpu_mkl", "excludes what"),
        ("- numpy 1.26.* py311_0", "excludes what"),
        ("- numpy[version='<2']", "excludes what"),
        ("- python 3.9.*", "allows none of the Pythons"),
        ("- python >=3.14", "allows none of the Pythons"),
        ("- pip: [torch]", "torch comes from pip and pytorch from conda"),
        ("- pip: [pandas]", "pandas comes from pip and pandas from conda"),
        ("- pip: [numpy>=2]", "'numpy>=2' comes from pip, and the embedding code has it from conda"),
        ("- pip: ['-r requirements.txt']", "can't be locked by hash"),
        ("- pip: ['-e .']", "can't be locked by hash"),
        ("- pip: [https://example.com/x.whl]", "can't be locked by hash"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(line: str, told: str) -> None:
    theirs = f"channels:\n  - conda-forge\ndependencies:\n  - pandas\n  {line}\n"
    with pytest.raises(InputError) as caught:
        merged(theirs)
    assert told in caught.value.message
    assert caught.value.message.startswith("theirs.yml:5: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    "line",
    [
        "- pytorch",
        "- pytorch >=2.3",
        "- pytorch >2.6,<2.7",
        "- pytorch 2.9.*",
        "- pytorch =2.7|2.8",
        "- pytorch * cpu*",
    ],
)
def test_what_can_be_met_is_left_to_the_solver(line: str) -> None:
    assert line in merged(f"channels: [conda-forge]\ndependencies:\n{line}\n")


@pytest.mark.parametrize(
    ("requirement", "answers"),
    [
        ("python", {"python": "3.13"}),
        ("python=3.12", {"python": "3.12"}),
        ("python 3.11.*", {"python": "3.11"}),
        ("python >=3.10,<3.13", {"python": "3.12"}),
        ("python ==3.12.4", {"python": "3.12"}),
        ("python ~=3.11", {"python": "3.13"}),
        ("pandas", {}),
    ],
)
def test_their_python_is_the_projects(requirement: str, answers: dict[str, str]) -> None:
    assert adopt.read(f"channels: [c]\ndependencies: [{requirement!r}]", path="p").answers == answers


def test_channels_with_a_catch_are_told() -> None:
    theirs = "channels: [defaults, nodefaults]\ndependencies: [numpy]\nprefix: /opt/conda/envs/x\n"
    result = adopt.merge(adopt.read(theirs, path="p"), OURS)
    assert "prefix" not in result.text
    told = "\n".join(result.notes)
    assert "paid licence" in told
    assert "'nodefaults'" in told
    assert "added the channel conda-forge" in told
