"""Draw progress on stderr: bars on a terminal, plain sentences elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.models.progress import Meter, Progress, Silent, Unit


def progress_for(options: Options) -> Progress:
    """Choose how progress is shown for these options and this terminal."""
    if options.quiet:
        return Silent()
    bars = options.progress and not options.in_ci and sys.stderr.isatty()
    return Drawn(bars=bars)


class Drawn:
    """Progress that people watch."""

    def __init__(self, *, bars: bool) -> None:
        self._bars = bars

    def say(self, message: str) -> None:
        click.echo(message, err=True)

    @contextmanager
    def meter(self, label: str, *, total: int | None, unit: Unit) -> Iterator[Meter]:
        if not self._bars:
            yield _Plain(label, total=total, unit=unit)
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        amounts: list[ProgressColumn] = (
            [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn(), TextColumn(unit)]
        )
        with RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            *amounts,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as drawing:
            yield _Bar(drawing, drawing.add_task(label, total=total))


class _Bar:
    def __init__(self, drawing: object, task: object) -> None:
        self._drawing, self._task = drawing, task

    def advance(self, amount: int) -> None:
        self._drawing.advance(self._task, amount)  # type: ignore[attr-defined]

    def resize(self, total: int | None) -> None:
        self._drawing.update(self._task, total=total)  # type: ignore[attr-defined]


class _Plain:
    """One line at each quarter of a known total, so that a log shows life; none for what is over in a second."""

    def __init__(self, label: str, *, total: int | None, unit: Unit) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._seen, self._quarter = 0, 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, amount: int) -> None:
        with self._lock:
            self._seen += amount
            if not self._total or time.monotonic() - self._start < 1:
                return
            quarter = min(4, 4 * self._seen // self._total)
            if quarter > self._quarter:
                self._quarter = quarter
                click.echo(f"  {self._label}: {25 * quarter} % of {_amount(self._total, self._unit)}", err=True)

    def resize(self, total: int | None) -> None:
        self._total = total


def _amount(total: int, unit: Unit) -> str:
    return f"{total / 1e6:.0f} MB" if unit == "bytes" else f"{total} {unit}"
