"""Reach the Docker engine, build images, and run one command in a sealed container."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nomic_scaffold.adapters.container.steps import BuildOutput
from nomic_scaffold.errors import ScaffoldError, ToolMissingError, UnavailableError
from nomic_scaffold.models.image import Builder, Image, ImageLayer
from nomic_scaffold.models.progress import Progress

NOBODY = "10001:10001"
"""User and group of everything that runs in our containers."""


@contextmanager
def engine() -> Iterator[Any]:
    """Give a docker client of the engine that DOCKER_HOST, or else the default socket, names.

    Raises ToolMissingError when none answers.
    """
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        raise unreachable(str(error), system=sys.platform, host=os.environ.get("DOCKER_HOST")) from error
    try:
        yield client
    finally:
        client.close()


def build(
    client: Any,
    context: Path,
    *,
    tag: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    log: Path,
    cached: bool,
    builder: Builder,
    network: str | None,
    progress: Progress,
) -> Image:
    """Build the image of `context` (a tar file with a Dockerfile at its top) and tag it.

    Every line of the engine is kept in `log`. Raises UnavailableError with the failing step and its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as kept:
        output = BuildOutput(kept, progress)
        if builder == "classic":
            _build_classic(client, context, tag, arguments, labels, network, output, cached=cached)
        else:
            _build_buildkit(context, tag, arguments, labels, network, output, cached=cached)
    return describe(client, tag)


def describe(client: Any, tag: str) -> Image:
    """Tell what the engine knows of an image; raises UnavailableError when it isn't there."""
    from docker.errors import ImageNotFound

    try:
        found = client.images.get(tag)
    except ImageNotFound as error:
        raise UnavailableError(f"the engine has no image {tag}", hint="nomic-scaffold image build") from error
    return Image(
        id=found.id,
        tag=tag,
        size=int(found.attrs["Size"]),
        layers=tuple(
            ImageLayer(made_by=str(entry.get("CreatedBy", "")), size=int(entry.get("Size", 0)))
            for entry in reversed(found.history())
        ),
        diff_ids=tuple(found.attrs["RootFS"]["Layers"]),
        labels=dict(found.labels),
        user=str(found.attrs["Config"].get("User") or ""),
    )


def run_sealed(
    client: Any,
    image: str,
    command: list[str],
    *,
    files: Mapping[str, bytes],
    mounts: Mapping[Path, str],
    timeout: float,
) -> tuple[int, str, str]:
    """Run `command` with no network, no capability, no writable root and no root user; (exit code, stdout, stderr).

    `files` (name -> content) stand in `/verify`; `mounts` (folder here -> folder there) are read-only.
    Raises UnavailableError when it does not end in `timeout` seconds.
    """
    import requests
    from docker.errors import APIError

    try:
        container = client.containers.create(
            image,
            command,
            entrypoint=[],
            user=NOBODY,
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment={"PYTHONUTF8": "1"},
            tmpfs={"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108 - inside the container
            volumes=[
                "/verify",
                *(f"{here.resolve()}:{there}:ro" for here, there in mounts.items()),
            ],
            healthcheck={"test": ["NONE"]},
        )
    except APIError as error:
        raise translated(error) from error
    try:
        container.put_archive("/verify", _tar_of(files))
        container.start()
        code = int(container.wait(timeout=timeout)["StatusCode"])
        out = container.logs(stdout=True, stderr=False).decode("utf-8", "replace")
        err = container.logs(stdout=False, stderr=True).decode("utf-8", "replace")
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
        raise UnavailableError(
            f"{command[0]} in {image} did not end in {timeout:.0f} s", hint="a larger --timeout, or more memory"
        ) from error
    except APIError as error:
        raise translated(error) from error
    finally:
        container.remove(force=True, v=True)
    return code, out, err


def take_out(client: Any, image: str, path: str, destination: Path) -> None:
    """Copy the file or folder `path` of an image into the folder `destination`, links as links; nothing is run.

    Raises UnavailableError when the image has no such path.
    """
    from docker.errors import APIError, NotFound

    try:
        container = client.containers.create(image, ["none"], entrypoint=[])
    except APIError as error:
        raise translated(error) from error
    try:
        blocks, _ = container.get_archive(path, chunk_size=1 << 20)
        destination.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=_Blocks(blocks), mode="r|", bufsize=1 << 20) as tar:
            # `tar` refuses members that would land outside, and keeps the permissions that are to be judged.
            tar.extractall(destination, filter="tar")
    except NotFound as error:
        raise UnavailableError(f"{image} has no {path}", hint="nomic-scaffold image build") from error
    except tarfile.TarError as error:
        raise UnavailableError(
            f"can't take {path} out of {image}: {error}", hint="nomic-scaffold image build"
        ) from error
    finally:
        container.remove(force=True, v=True)


class _Blocks(io.RawIOBase):
    """What an iterator of bytes gives, as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size and (block := next(self._blocks, b"")):
            self._rest += block
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def translated(error: Exception) -> ScaffoldError:
    """Say an error of the engine in words that help."""
    text = str(getattr(error, "explanation", None) or error).strip()
    lower = text.lower()
    if "no space left" in lower:
        return UnavailableError(f"the engine's disk is full: {text}", hint="docker system prune")
    if "manifest unknown" in lower or "pull access denied" in lower or "not found: does not exist" in lower:
        return UnavailableError(
            f"an image that the Dockerfile starts from can't be had: {text}",
            hint="name another: nomic-scaffold image build --base IMAGE --builder-image IMAGE",
        )
    if any(word in lower for word in ("dial tcp", "lookup", "i/o timeout", "connection refused", "tls:")):
        return UnavailableError(
            f"the engine can't reach the registry of the base image: {text}",
            hint="name one that it has: nomic-scaffold image build --base IMAGE --builder-image IMAGE",
        )
    return UnavailableError(f"the engine says: {text}")


def _build_classic(
    client: Any,
    context: Path,
    tag: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    network: str | None,
    output: BuildOutput,
    *,
    cached: bool,
) -> None:
    from docker.errors import APIError

    try:
        with context.open("rb") as file:
            for event in client.api.build(
                fileobj=file,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=dict(arguments),
                labels=dict(labels),
                network_mode=network,
                nocache=not cached,
            ):
                if "stream" in event:
                    output.write(event["stream"])
                elif "status" in event:
                    output.note(f"{event['status']} {event.get('id', '')}".strip())
                elif "error" in event:
                    output.write(event["error"] + "\n")
                    raise _failed(output, translated(RuntimeError(event["error"])))
    except APIError as error:
        raise translated(error) from error


def _build_buildkit(
    context: Path,
    tag: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    network: str | None,
    output: BuildOutput,
    *,
    cached: bool,
) -> None:
    program = shutil.which("docker")
    if program is None:
        raise ToolMissingError(
            "BuildKit is reached through the docker command, and there is none on PATH",
            hint="install docker's command line, or leave out --buildkit",
        )
    command = [program, "build", "--progress", "plain", "--tag", tag]
    for name, value in sorted(arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(labels.items()):
        command += ["--label", f"{name}={value}"]
    if not cached:
        command.append("--no-cache")
    if network:
        command += ["--network", network]
    with context.open("rb") as file:
        process = subprocess.Popen(
            [*command, "-"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            output.write(line)
        code = process.wait()
    if code:
        raise _failed(output, translated(RuntimeError(output.tail(3))))


def _failed(output: BuildOutput, cause: ScaffoldError) -> ScaffoldError:
    return UnavailableError(
        f"the build stopped at {output.step or 'its start'}\n{output.tail(12)}",
        hint=f"the whole log: {output.name}" + (f"; {cause.hint}" if cause.hint else ""),
    )


_START = {"darwin": "open -a Docker", "win32": "docker desktop start"}
"""How an engine is started; elsewhere systemd does it."""
_LET_IN = {"darwin": "open -a Docker", "win32": 'net localgroup docker-users "$env:USERNAME" /add'}
"""How one gets the right to talk to it; elsewhere by its group."""


def unreachable(text: str, *, system: str, host: str | None) -> ToolMissingError:
    """Say why no engine answers on a `system` like sys.platform, with `host` the value of DOCKER_HOST."""
    if "permission denied" in text.lower():
        return ToolMissingError(
            "you may not talk to the Docker engine (permission denied on its socket)",
            hint=_LET_IN.get(system, "sudo usermod -aG docker $USER && newgrp docker"),
        )
    if host:
        unset = "Remove-Item Env:DOCKER_HOST" if system == "win32" else "unset DOCKER_HOST"
        hint = f"start the engine that DOCKER_HOST names, or take this machine's own: {unset}"
    else:
        hint = _START.get(system, "sudo systemctl start docker")
    return ToolMissingError(f"no Docker engine answers ({text.splitlines()[0][:160]})", hint=hint)


def _tar_of(files: Mapping[str, bytes]) -> IO[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer
