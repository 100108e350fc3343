"""What the command line says of what no command foresaw."""

from __future__ import annotations

import errno
import os

import pytest

from nomic_scaffold.cli import main
from nomic_scaffold.errors import ExitCode


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: No space left on device\nhint:  make room (nomic-scaffold doctor), then run the same command\n",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "locks/x"),
            "error: locks/x: Permission denied\nhint:  get the right to write there, or take another folder\n",
        ),
        (OSError("odd"), "error: odd\n"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_mends_it(
    error: OSError, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", refuse)
    assert main.run(["lock"]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err == told
