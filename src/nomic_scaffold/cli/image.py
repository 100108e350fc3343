"""`nomic-scaffold image`: build the project's Docker image, and prove it from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.cli.targets import check_targets, write_target
from nomic_scaffold.cli.verify import FORMATS, GROUPS, show, wanted_reports, write_report
from nomic_scaffold.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from nomic_scaffold.models.progress import Progress
    from nomic_scaffold.workflows.image import Built, Ingredients

PLATFORMS = ("linux-64", "linux-aarch64")


@click.group("image")
def command() -> None:
    """Build the project's Docker image, and verify inside it."""


@command.command("build")
@click.option("-t", "--tag", help="Name of the image.  [default: the project's name and variant]")
@click.option("--variant", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--platform", type=click.Choice(PLATFORMS), help="Platform of the image.  [default: this machine's]")
@click.option(
    "--weights",
    "weights_in",
    type=click.Choice(["bake", "mount"]),
    default="bake",
    show_default=True,
    help="Model file inside the image, or mounted at /opt/weights when it runs.",
)
@click.option("--base", metavar="IMAGE", help="Start the last stage from this image instead of the Dockerfile's.")
@click.option(
    "--builder-base", metavar="IMAGE", help="Start the tool's own image from this one: python3 >= 3.11 with venv."
)
@click.option("--builder-image", metavar="IMAGE", help="The tool's own image, instead of building it here once.")
@click.option("--no-cache", is_flag=True, help="Build every step anew.")
@click.option("--buildkit", is_flag=True, help="Build with BuildKit, through the docker command.")
@click.pass_obj
def build_command(
    options: Options,
    /,
    *,
    tag: str | None,
    variant: str,
    platform: str | None,
    weights_in: str,
    base: str | None,
    builder_base: str | None,
    builder_image: str | None,
    no_cache: bool,
    buildkit: bool,
) -> int:
    """Fetch everything by hash on this machine, then build with no network.

    Prints the size and the largest packages; exits with 1 when the image is larger than scaffold.toml allows.
    """
    from nomic_scaffold.workflows import image

    shape = options.format_in("console", "json")
    root, progress = options.root(), progress_for(options)
    made_of = _ingredients(root, variant=variant, platform=platform, fresh=True, progress=progress)
    wishes = image.Wishes(
        tag=tag or image.default_tag(made_of),
        weights_in="mount" if weights_in == "mount" else "bake",
        base=base,
        tool_base=builder_base,
        tool_image=builder_image,
        cached=not no_cache,
        builder="buildkit" if buildkit else "classic",
        offline=options.offline,
    )
    built = image.build(root, made_of, wishes, progress=progress)
    if shape == "json":
        click.echo(json.dumps(_as_json(built), indent=2))
    else:
        _tell(built)
    if built.over_budget:
        click.echo(f"over budget: [image] of scaffold.toml allows {_mb(made_of.budget or 0)}", err=True)
    return int(ExitCode.CHECK_FAILED if built.over_budget else ExitCode.OK)


@command.command("verify")
@click.argument("tag", required=False)
@click.option("--variant", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--platform", type=click.Choice(PLATFORMS), help="Platform of the image.  [default: this machine's]")
@click.option(
    "--only",
    metavar="GROUP",
    multiple=True,
    type=click.Choice(GROUPS),
    help=f"Again for each: {', '.join(GROUPS)}; the image itself is always judged.",
)
@click.option(
    "--skip", metavar="GROUP", multiple=True, type=click.Choice(GROUPS), help="Leave a group out; again for each."
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=1800.0, show_default=True, help="Seconds for embedding."
)
@click.option("--gpu", is_flag=True, help="Embed on the engine's NVIDIA GPU; for the CUDA variant.")
@click.option("--strict", is_flag=True, help="Let warnings fail.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to a file, not stdout."
)
@click.option(
    "--report", "reports", metavar="FORMAT=FILE", multiple=True, help="Write one more report to a file; again for each."
)
@click.option("--save-evidence", type=click.Path(dir_okay=False, path_type=Path), help="Write what was seen to a file.")
@click.pass_obj
def verify_command(
    options: Options,
    /,
    *,
    tag: str | None,
    variant: str,
    platform: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    timeout: float,
    gpu: bool,
    strict: bool,
    output: Path | None,
    reports: tuple[str, ...],
    save_evidence: Path | None,
) -> int:
    """Run the image sealed (no network, read-only, no capability, no root), take the evidence, judge it here.

    TAG is the image's name.  [default: as `image build` names it]
    """
    from nomic_scaffold.formats import evidence as evidence_format
    from nomic_scaffold.models.report import Group
    from nomic_scaffold.workflows import image
    from nomic_scaffold.workflows.verify import chosen, gather, verify

    if gpu and variant != "cuda":
        raise UsageError("--gpu is for the CUDA variant", hint="nomic-scaffold image verify --variant cuda --gpu")
    shape = options.format_in(*FORMATS)
    wanted = wanted_reports(reports)
    check_targets({"--save-evidence": save_evidence, "-o": output, **{f"--report {n}=": p for n, p in wanted}})
    groups = chosen(only=[Group(name) for name in only], skip=[Group(name) for name in skip])
    root, progress = options.root(), progress_for(options)
    made_of = _ingredients(root, variant=variant, platform=platform, fresh=False, progress=progress)
    name = tag or image.default_tag(made_of)
    found, results, evidence = image.look(
        root, made_of, tag=name, groups=groups, timeout=timeout, offline=options.offline, progress=progress, gpu=gpu
    )
    # The image's lock is the project's (IMG001, IMG004): it is judged here.
    of_lock = [group for group in groups if group is Group.LOCK]
    here = gather(root, made_of.spec, groups=of_lock, prefix=None, deep=False, timeout=timeout, progress=progress)
    evidence = evidence.model_copy(update={"lock": here.lock})
    if save_evidence:
        write_target(save_evidence, evidence_format.render(evidence))
    judged = verify(root, only=groups, evidence=evidence, progress=progress).report
    subject = f"image {found.tag}, {found.id[:19]}"
    report = judged.model_copy(update={"subject": subject, "results": (*results, *judged.results)})
    for kind, path in wanted:
        write_report(report, kind, path, strict=strict)
    show(report, shape, options, strict=strict, output=output)
    return int(report.exit_code(strict=strict))


def _ingredients(root: Path, *, variant: str, platform: str | None, fresh: bool, progress: Progress) -> Ingredients:
    from nomic_scaffold.models.variant import Accelerator, Platform
    from nomic_scaffold.workflows import image

    chosen = Platform(platform) if platform else image.image_platform()
    return image.ingredients(root, accelerator=Accelerator(variant), platform=chosen, fresh=fresh, progress=progress)


def _as_json(built: Built) -> dict[str, object]:
    return {
        "schema_version": 1,
        "tag": built.image.tag,
        "id": built.image.id,
        "image_bytes": built.image.size,
        "package_bytes": built.ingredients.package_bytes,
        "budget_bytes": built.ingredients.budget,
        "installed_bytes": sum(size for _, size in built.largest),
        "largest": [{"name": name, "bytes": size} for name, size in built.largest[:10]],
        "layers": list(built.image.diff_ids),
        "labels": built.image.labels,
        "log": str(built.log),
    }


def _tell(built: Built) -> None:
    image = built.image
    click.echo(f"{image.tag}  {image.id[:19]}")
    installed = sum(size for _, size in built.largest)
    click.echo(
        f"image {_mb(image.size)}, installed {_mb(installed)}, downloaded {_mb(built.ingredients.package_bytes)}"
    )
    click.echo("largest packages, installed:")
    for name, size in built.largest[:10]:
        click.echo(f"  {_mb(size):>9}  {name}")
    click.echo(f"log: {built.log}\nnext: nomic-scaffold image verify {image.tag}", err=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
