"""`nomic-scaffold install`: make the environment from the lock."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.models.variant import Accelerator


@click.command(
    epilog="Examples: `nomic-scaffold install`, `nomic-scaffold install --provider pypi`, "
    "`nomic-scaffold install --explain`."
)
@click.option(
    "--provider",
    type=click.Choice(["auto", "conda", "pypi"]),
    default="auto",
    show_default=True,
    help="Where packages come from; auto: conda, or pypi where no channel answers.",
)
@click.option(
    "--variant",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Which lock; auto: by this machine.",
)
@click.option(
    "--prefix", type=click.Path(path_type=Path), help="Folder of the environment.  [default: in .nomic-scaffold/envs]"
)
@click.option("--copy", is_flag=True, help="conda: copy files instead of linking them from the package cache.")
@click.option("--slim", is_flag=True, help="conda: leave out headers, tests and manuals, and record it; for images.")
@click.option(
    "--deep", is_flag=True, help="conda: read every byte, where sizes and times would do; mend what is wrong."
)
@click.option("--fresh", is_flag=True, help="Make it anew, even if it looks whole.")
@click.option("--explain", is_flag=True, help="Say what would be installed and why; install nothing.")
@click.pass_obj
def command(
    options: Options,
    *,
    provider: Literal["auto", "conda", "pypi"],
    variant: Literal["auto", "cpu", "cuda"],
    prefix: Path | None,
    copy: bool,
    slim: bool,
    deep: bool,
    fresh: bool,
    explain: bool,
) -> None:
    """Make the environment from the lock, every file by its hash.

    Nothing is resolved: a lock that no longer matches its inputs is an error. Safe to interrupt and run again.
    """
    from nomic_scaffold.adapters.project import read_spec
    from nomic_scaffold.workflows import install as workflow

    shape = options.format_in("console", "json")
    root, progress, started = options.root(), progress_for(options), time.monotonic()
    spec = read_spec(root)
    choice = workflow.choose(
        root,
        spec,
        provider=provider,
        variant="auto" if variant == "auto" else Accelerator(variant),
        destination=prefix.absolute() if prefix else None,
        offline=options.offline,
    )
    for reason in choice.reasons:
        progress.say(f"provider {reason}")
    if choice.variant_reason:
        progress.say(choice.variant_reason)
    answer: dict[str, object] = {
        "schema_version": 1,
        "provider": choice.provider,
        "variant": choice.accelerator.value,
        "prefix": str(choice.destination),
        "reasons": [*choice.reasons, *([choice.variant_reason] if choice.variant_reason else [])],
    }
    if explain:
        answer["wants"] = {name: [asdict(need) for need in wanted] for name, wanted in choice.wants.items()}
        for name, wanted in choice.wants.items():
            progress.say(f"{name} wants: " + ("; ".join(map(str, wanted)) or "nothing special"))
        refusal = choice.refusal
        answer["refusal"] = {"message": refusal.message, "hint": refusal.hint} if refusal else None
        if refusal:
            progress.say(f"install would refuse: {refusal.message}; {refusal.hint}")
    else:
        made = workflow.install(
            root, spec, choice, fresh=fresh, offline=options.offline, progress=progress, deep=deep, copy=copy
        )
        if slim and choice.provider == "conda":
            progress.say(workflow.slim(made))
        answer |= {"python": str(made.python), "seconds": round(time.monotonic() - started, 2)}
        progress.say(f"ready in {time.monotonic() - started:.1f} s; next: nomic-scaffold weights pull")
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if shape == "json" else str(choice.destination))
