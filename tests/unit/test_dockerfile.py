"""A Dockerfile as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomic_scaffold.formats import dockerfile

TEMPLATE = Path(__file__).resolve().parents[2] / "template" / "Dockerfile.jinja"
HEAD = """\
ARG BASE=debian:12@sha256:ab
FROM tool AS environment
RUN make
FROM ${BASE} AS runtime
COPY --from=environment / /
"""
REST = "# the project\nFROM tool AS project\nCOPY src /src\nFROM runtime\nCOPY --from=project / /\n"


def test_going_on_after_a_stage_leaves_out_what_came_before_it() -> None:
    assert dockerfile.until(HEAD + REST, "runtime") == HEAD + "# the project\n"
    assert dockerfile.after(HEAD + REST, "runtime", "kept:1") == (
        "ARG BASE=debian:12@sha256:ab\nFROM kept:1 AS runtime\n" + REST.removeprefix("# the project\n")
    )


@pytest.mark.parametrize(
    "text",
    [
        "FROM tool\nCOPY . .\n",
        HEAD,
        HEAD + "FROM runtime\nCOPY --from=environment /etc /etc\n",
        HEAD + "FROM environment\nRUN true\n",
        HEAD + "FROM runtime\nCOPY --from=0 /etc /etc\n",
    ],
    ids=["no-such-stage", "nothing-after-it", "copies-from-before", "starts-from-before", "by-number"],
)
def test_a_stage_that_cannot_stand_alone_is_not_split_off(text: str) -> None:
    assert dockerfile.until(text, "runtime") is None


def test_the_templates_dockerfile_can_go_on_after_its_environment() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    head = dockerfile.until(text, "runtime")
    assert head is not None
    assert "nomic-scaffold install" in head
    assert "COPY src" not in head
    assert "nomic-scaffold install" not in dockerfile.after(text, "runtime", "kept:1")


def test_defaults_of_arguments_are_read() -> None:
    assert dockerfile.default(HEAD, "BASE") == "debian:12@sha256:ab"
    assert dockerfile.default(HEAD, "OTHER") is None


@pytest.mark.parametrize("text", ["", "FORM debian\nRUN make\n"])
def test_a_text_without_a_stage_is_told_from_a_dockerfile(text: str) -> None:
    assert not dockerfile.has_a_stage(text)
    assert dockerfile.until(text, "runtime") is None
    assert dockerfile.has_a_stage(HEAD)
