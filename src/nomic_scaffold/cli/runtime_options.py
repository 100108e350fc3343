"""The options that say what embed() shall run on; `verify` and `bless` share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])
_OPTIONS = (
    click.option(
        "--runtime",
        type=click.Choice(["torch", "nomic"]),
        help="What runs the model.  [default: torch, where it is installed]",
    ),
    click.option(
        "--device", metavar="DEVICE", help="torch: cpu, cuda, cuda:1, mps.  [default: as the project's code chooses]"
    ),
    click.option("--dtype", metavar="TYPE", help="torch: float32, bfloat16, float16.  [default: float32]"),
)


def runtime_options(function: F) -> F:
    """Add --runtime, --device and --dtype to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
