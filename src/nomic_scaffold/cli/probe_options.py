"""The options that say how long embed() may take, and on what it shall run; `verify` and `bless` share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])
_OPTIONS = (
    click.option(
        "--timeout",
        type=click.FloatRange(min=1),
        default=900.0,
        show_default=True,
        metavar="SECONDS",
        help="How long the probe may take.",
    ),
    click.option(
        "--runtime",
        type=click.Choice(["torch", "nomic"]),
        help="What runs the model.  [default: torch, where it is installed]",
    ),
    click.option(
        "--device", metavar="DEVICE", help="torch: cpu, cuda, cuda:1, mps.  [default: as the project's code chooses]"
    ),
    click.option("--dtype", metavar="TYPE", help="torch: float32, tf32 (CUDA), bfloat16, float16.  [default: float32]"),
    click.option(
        "--engine",
        type=click.Choice(["fast", "reference", "exact"]),
        help="torch: what computes.  [default: fast, where it runs]",
    ),
)


def probe_options(function: F) -> F:
    """Add --timeout, --runtime, --device, --dtype and --engine to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
