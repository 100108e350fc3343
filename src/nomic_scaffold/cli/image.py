"""`nomic-scaffold image`: build the project's Docker image, and prove it from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.errors import ExitCode

if TYPE_CHECKING:
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
@click.option("--builder-image", metavar="IMAGE", help="The tool's own image, for the first stages.")
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Extra CA certificate (PEM) for the first stage only; again for each.",
)
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
    builder_image: str | None,
    certificates: tuple[Path, ...],
    no_cache: bool,
    buildkit: bool,
) -> int:
    """Fetch everything by hash on this machine, then build with no network.

    Prints the size and the largest packages; exits with 1 when the image is larger than scaffold.toml allows.
    """
    from nomic_scaffold.workflows import image

    shape = options.format_in("console", "json")
    root = options.root()
    made_of = _ingredients(root, variant=variant, platform=platform)
    built = image.build(
        root,
        made_of,
        tag=tag or image.default_tag(made_of),
        weights_in="mount" if weights_in == "mount" else "bake",
        base=base,
        builder_image=builder_image,
        certificates=certificates,
        cached=not no_cache,
        builder="buildkit" if buildkit else "classic",
        offline=options.offline,
        progress=progress_for(options),
    )
    if shape == "json":
        click.echo(json.dumps(_as_json(built), indent=2))
    else:
        _tell(built)
    return int(ExitCode.CHECK_FAILED if built.over_budget else ExitCode.OK)


@command.command("verify")
@click.argument("tag", required=False)
@click.option("--variant", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--platform", type=click.Choice(PLATFORMS), help="Platform of the image.  [default: this machine's]")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=1800.0, show_default=True, help="Seconds for embedding."
)
@click.option("--strict", is_flag=True, help="Let warnings fail.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to a file, not stdout."
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
    timeout: float,
    strict: bool,
    output: Path | None,
    save_evidence: Path | None,
) -> int:
    """Run the image sealed (no network, read-only, no capability, no root), take the evidence, judge it here.

    TAG is the image's name.  [default: as `image build` names it]
    """
    from nomic_scaffold.cli.verify import FORMATS, show
    from nomic_scaffold.disk import atomic
    from nomic_scaffold.formats import evidence as evidence_format
    from nomic_scaffold.models.report import Group
    from nomic_scaffold.workflows import image
    from nomic_scaffold.workflows.verify import verify

    shape = options.format_in(*FORMATS)
    root, progress = options.root(), progress_for(options)
    made_of = _ingredients(root, variant=variant, platform=platform)
    name = tag or image.default_tag(made_of)
    found, results, evidence = image.look(root, made_of, tag=name, timeout=timeout, progress=progress)
    if save_evidence:
        atomic.write_text(save_evidence, evidence_format.render(evidence))
    judged = verify(root, skip=[Group.LOCK], evidence=evidence, progress=progress).report
    subject = f"image {found.tag}, {found.id[:19]}"
    report = judged.model_copy(update={"subject": subject, "results": (*results, *judged.results)})
    show(report, shape, options, strict=strict, output=output)
    return int(report.exit_code(strict=strict))


def _ingredients(root: Path, *, variant: str, platform: str | None) -> Ingredients:
    from nomic_scaffold.models.variant import Accelerator, Platform
    from nomic_scaffold.workflows import image

    chosen = Platform(platform) if platform else image.image_platform()
    return image.ingredients(root, accelerator=Accelerator(variant), platform=chosen)


def _as_json(built: Built) -> dict[str, object]:
    return {
        "schema_version": 1,
        "tag": built.image.tag,
        "id": built.image.id,
        "image_bytes": built.image.size,
        "package_bytes": built.package_bytes,
        "budget_bytes": built.ingredients.spec.image_budget,
        "installed_bytes": sum(size for _, size in built.largest),
        "largest": [{"name": name, "bytes": size} for name, size in built.largest[:10]],
        "layers": list(built.image.diff_ids),
        "labels": built.image.labels,
        "log": str(built.log),
    }


def _tell(built: Built) -> None:
    image, budget = built.image, built.ingredients.spec.image_budget
    click.echo(f"{image.tag}  {image.id[:19]}")
    installed = sum(size for _, size in built.largest)
    click.echo(f"image {_mb(image.size)}, installed {_mb(installed)}, downloaded {_mb(built.package_bytes)}")
    click.echo("largest packages, installed:")
    for name, size in built.largest[:10]:
        click.echo(f"  {_mb(size):>9}  {name}")
    if built.over_budget and budget is not None:
        click.echo(f"over budget: [image] of scaffold.toml allows {_mb(budget)}", err=True)
    click.echo(f"log: {built.log}\nnext: nomic-scaffold image verify {image.tag}", err=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
