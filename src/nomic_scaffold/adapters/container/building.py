"""Build an image with the engine's classic builder, or with BuildKit through the docker command."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomic_scaffold.adapters.container.engine import PLATFORMS, describe, host
from nomic_scaffold.adapters.container.steps import BuildOutput
from nomic_scaffold.adapters.container.words import stopped, translated
from nomic_scaffold.errors import ToolMissingError, UnavailableError
from nomic_scaffold.models.image import Builder, Image
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be built."""

    context: Path
    """A tar file with a Dockerfile at its top."""
    tag: str
    arguments: Mapping[str, str]
    platform: Platform
    target: str | None = None
    """The stage to end with; None for the last."""
    cached: bool = True


def build(client: Any, order: Order, *, builder: Builder, log: Path, progress: Progress) -> Image:
    """Build with no network and tag the image; every line of the engine is added to `log`.

    Raises what the engine says in plain words, with the failing step and its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as kept:
        output = BuildOutput(kept, progress)
        if builder == "classic":
            _classic(client, order, output)
        else:
            _buildkit(order, output)
    return describe(client, order.tag)


def _classic(client: Any, order: Order, output: BuildOutput) -> None:
    import requests
    from docker.errors import APIError

    try:
        with order.context.open("rb") as file:
            for event in client.api.build(
                fileobj=file,
                custom_context=True,
                tag=order.tag,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=dict(order.arguments),
                network_mode="none",
                nocache=not order.cached,
                target=order.target or "",
                platform=PLATFORMS[order.platform],
            ):
                if "stream" in event:
                    output.write(event["stream"])
                elif "status" in event:
                    output.note(f"{event['status']} {event.get('id', '')}".strip())
                elif "error" in event:
                    output.write(event["error"] + "\n")
                    raise stopped(event["error"], step=output.step, tail=output.tail(12), log=output.name)
    except APIError as error:
        raise translated(str(error.explanation or error)) from error
    except requests.exceptions.RequestException as error:
        raise UnavailableError(
            f"the engine went away during the build: {error}", hint="look at its log, then run the same command"
        ) from error


def _buildkit(order: Order, output: BuildOutput) -> None:
    program = shutil.which("docker")
    if program is None:
        raise ToolMissingError(
            "BuildKit is reached through the docker command, and there is none on PATH",
            hint="install docker's command line, or leave out --buildkit",
        )
    command = [program, "build", "--progress", "plain", "--tag", order.tag, "--network", "none"]
    command += ["--platform", PLATFORMS[order.platform]]
    for name, value in sorted(order.arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    if order.target:
        command += ["--target", order.target]
    if not order.cached:
        command.append("--no-cache")
    named = host()
    with order.context.open("rb") as file:
        process = subprocess.Popen(
            [*command, "-"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # The engine that the SDK talks to, whatever docker's own settings say.
            env={**os.environ, "DOCKER_BUILDKIT": "1", **({"DOCKER_HOST": named} if named else {})},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.write(line)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
    if code:
        raise stopped(output.tail(3), step=output.step, tail=output.tail(12), log=output.name)
