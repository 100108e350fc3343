"""Every way a command can fail: one tree of errors, each with an exit code and a hint."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import ClassVar

from nomic_scaffold import __version__


def page(name: str) -> str:
    """Give the address of a page of this version's documentation, for hints: it is not part of the wheel."""
    return f"https://github.com/nomic-scaffold/nomic-scaffold/blob/v{__version__}/docs/{name}"


class ExitCode(IntEnum):
    """What the process says to the shell; documented in docs/reference/exit-codes.md."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    INPUT = 3
    NO_SOLUTION = 4
    HASH_MISMATCH = 5
    UNAVAILABLE = 6
    TOOL_MISSING = 7
    BUG = 70
    INTERRUPTED = 130


class ScaffoldError(Exception):
    """Base of all expected failures: a message with the values, and a hint with the next command to type."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckFailedError(ScaffoldError):
    """Something was looked at, and is not as it must be (exit 1)."""

    exit_code = ExitCode.CHECK_FAILED


class UsageError(ScaffoldError):
    """The command line asks for something that can't be (exit 2)."""

    exit_code = ExitCode.USAGE


class InputError(ScaffoldError):
    """A file that people wrote is invalid (exit 3); names the file and, where known, the line."""

    exit_code = ExitCode.INPUT

    def __init__(
        self, message: str, *, path: Path | str | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(place + message, hint=hint)
        self.path = path
        self.line = line


class StaleLockError(InputError):
    """A lock no longer matches its inputs (exit 3); `findings` are its reasons where there are several."""

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        hint: str | None = None,
        findings: tuple[InputError, ...] = (),
    ) -> None:
        super().__init__(message, path=path, line=line, hint=hint)
        self.findings = findings


class UnsolvableError(ScaffoldError):
    """No set of packages meets the requirements (exit 4)."""

    exit_code = ExitCode.NO_SOLUTION


class HashMismatchError(ScaffoldError):
    """Bytes are not the pinned ones (exit 5)."""

    exit_code = ExitCode.HASH_MISMATCH


class UnavailableError(ScaffoldError):
    """Something could not be looked at or fetched: network, missing artefact, dead probe (exit 6)."""

    exit_code = ExitCode.UNAVAILABLE


class ToolMissingError(ScaffoldError):
    """A program that this command needs is not on this machine (exit 7)."""

    exit_code = ExitCode.TOOL_MISSING
