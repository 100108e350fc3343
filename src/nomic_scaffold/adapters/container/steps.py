"""Follow the output of an image build: which step runs, what it said last."""

from __future__ import annotations

import re
from collections import deque
from typing import TextIO

from nomic_scaffold.models.progress import Progress

_CLASSIC = re.compile(r"^Step (\d+/\d+) : (.*)")
_BUILDKIT = re.compile(r"^#\d+ \[([^\]]*\d+/\d+)\] (.*)")
_NOISE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class BuildOutput:
    """The engine's lines: kept in a log, told as steps."""

    def __init__(self, log: TextIO, progress: Progress) -> None:
        self._log, self._progress = log, progress
        self._last: deque[str] = deque(maxlen=200)
        self._rest = ""
        self.step = ""
        self.name = log.name

    def write(self, text: str) -> None:
        """Take a piece of output, not always a whole line."""
        *lines, self._rest = (self._rest + _NOISE.sub("", text)).split("\n")
        for line in lines:
            self._log.write(line + "\n")
            self._log.flush()
            if line.strip():
                self._last.append(line.rstrip())
            step = _CLASSIC.match(line) or _BUILDKIT.match(line)
            told = f"step {step[1]}: {_short(step[2])}" if step else self.step
            if told != self.step:
                self.step = told
                self._progress.say(f"  {told}")

    def note(self, text: str) -> None:
        """Keep a line that is only for the log."""
        self._log.write(text + "\n")

    def tail(self, count: int) -> str:
        """Give the last lines."""
        lines = [*self._last, *([self._rest] if self._rest.strip() else [])]
        return "\n".join("  " + line for line in lines[-count:])


def _short(command: str) -> str:
    return command if len(command) <= 70 else command[:67] + "..."
