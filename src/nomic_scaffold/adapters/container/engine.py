"""Reach the Docker engine, look at its images, and run one command in a sealed container."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nomic_scaffold.adapters.container.words import translated, unreachable
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.models.image import Image, ImageLayer
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.variant import Platform

NOBODY = "10001:10001"
"""User and group of everything that runs in our containers."""


PLATFORMS = {Platform.LINUX_64: "linux/amd64", Platform.LINUX_AARCH64: "linux/arm64"}
"""What engines call our platforms."""


def host() -> str | None:
    """Say which engine is meant: DOCKER_HOST, or the current `docker context`; None for the default socket."""
    from docker import ContextAPI
    from docker.errors import DockerException

    named = os.environ.get("DOCKER_HOST")
    if named:
        return named
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except (DockerException, OSError, ValueError, KeyError):
        return None
    return None if context is None or context.name == "default" else str(context.Host)


@contextmanager
def engine() -> Iterator[Any]:
    """Give a docker client of the engine that `host` names, or else of the default socket.

    Raises ToolMissingError when none answers.
    """
    import docker
    from docker.errors import DockerException

    named = host()
    try:
        client = docker.from_env(timeout=600, environment={**os.environ, **({"DOCKER_HOST": named} if named else {})})
        client.ping()
    except DockerException as error:
        raise unreachable(str(error), system=sys.platform, host=os.environ.get("DOCKER_HOST")) from error
    try:
        yield client
    finally:
        client.close()


def find(client: Any, image: str) -> str | None:
    """Give the id of an image that the engine has; None when it has not."""
    from docker.errors import APIError, ImageNotFound

    try:
        return str(client.images.get(image).id)
    except ImageNotFound:
        return None
    except APIError as error:
        raise translated(str(error.explanation or error)) from error


def have(client: Any, image: str, *, platform: Platform, progress: Progress) -> str:
    """Have the engine pull an image that it lacks; gives its id. Raises UnavailableError when it can't be had."""
    import requests
    from docker.errors import APIError

    found, said = find(client, image), ""
    if found is None:
        progress.say(f"pulling {image}")
        try:
            said = str(client.api.pull(image, platform=PLATFORMS[platform]))
        except APIError as error:
            raise translated(f"{image}: {error.explanation or error}") from error
        except requests.exceptions.RequestException as error:
            raise translated(f"{image}: {error}") from error
        found = find(client, image)
    if found is None:
        raise translated(f"{image}: {said.strip()[-300:] or 'not found: does not exist'}")
    return found


def also_tag(client: Any, image: str, tag: str) -> None:
    """Give an image one more name."""
    repository, _, version = tag.rpartition(":")
    client.api.tag(image, repository, version)


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
    environment: Mapping[str, str] | None = None,
    gpu: bool = False,
) -> tuple[int, str, str]:
    """Run `command` with no network, no capability, no writable root and no root user; (exit code, stdout, stderr).

    `files` (name -> content) stand in `/verify`; `mounts` (folder here -> folder there) are read-only; with
    `gpu` the container sees the engine's NVIDIA GPUs.
    Raises UnavailableError when it does not end in `timeout` seconds.
    """
    import requests
    from docker.errors import APIError
    from docker.types import DeviceRequest

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
            environment={"PYTHONUTF8": "1", **(environment or {})},
            tmpfs={"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108 - inside the container
            volumes=[
                "/verify",
                *(f"{here.resolve()}:{there}:ro" for here, there in mounts.items()),
            ],
            healthcheck={"test": ["NONE"]},
            device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpu else [],
        )
    except APIError as error:
        raise translated(str(error.explanation or error)) from error
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
        raise translated(str(error.explanation or error)) from error
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
        raise translated(str(error.explanation or error)) from error
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


def _tar_of(files: Mapping[str, bytes]) -> IO[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer
