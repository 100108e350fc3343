"""What an engine says when something fails, in words that help."""

from __future__ import annotations

import re

from nomic_scaffold.errors import (
    CheckFailedError,
    HashMismatchError,
    ScaffoldError,
    ToolMissingError,
    UnavailableError,
)

OTHER_IMAGE = "name another: nomic-scaffold image build --base IMAGE --builder-base IMAGE"
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (r"no space left on device|disk quota exceeded", "the engine's disk is full", "docker system prune"),
    (r"permission denied", "the engine may not read or write something", "look at the line that names it"),
    (
        r"could not select device driver|nvidia-container",
        "the engine can't give a container the NVIDIA GPU",
        "install the NVIDIA Container Toolkit and start the engine anew, or leave out --gpu",
    ),
    (
        r"no matching manifest|does not match the specified platform|exec format error",
        "an image has nothing for this platform",
        f"--platform, or {OTHER_IMAGE}",
    ),
    (
        r"unauthorized|authentication required|no basic auth credentials",
        "the registry wants a login",
        "docker login REGISTRY",
    ),
    (
        r"manifest unknown|pull access denied|access to the resource is denied|not found: does not exist|"
        r"repository does not exist|no such image|manifest for \S+ not found|: not found",
        "an image that the Dockerfile starts from can't be had",
        OTHER_IMAGE,
    ),
    (r"\bdenied\b|403 forbidden", "the registry refuses", "docker login REGISTRY, or " + OTHER_IMAGE),
    (r"x509|certificate", "the engine does not trust the registry's certificate", "give the engine its certificate"),
    (
        r"dial tcp|lookup \S+|i/o timeout|connection refused|tls handshake timeout|request canceled|"
        r"context deadline exceeded|no route to host|network is unreachable|tls:|toomanyrequests",
        "the engine can't reach the registry",
        OTHER_IMAGE,
    ),
    (
        r"buildx component is missing|unknown command: docker buildx|unknown flag: --progress|'buildx' is not a docker",
        "BuildKit needs docker's buildx plug-in, and this docker has none",
        "install docker-buildx, or leave out --buildkit",
    ),
)
_CODE = re.compile(r"returned a non-zero code: (\d+)|did not complete successfully: exit code: (\d+)")


def translated(text: str) -> ScaffoldError:
    """Say what an engine said in words that help."""
    text = text.strip()
    for pattern, sentence, hint in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            kind = ToolMissingError if "buildx" in sentence else UnavailableError
            return kind(f"{sentence}: {text}", hint=hint)
    return UnavailableError(f"the engine says: {text}")


def stopped(error: str, *, step: str, tail: str, log: str) -> ScaffoldError:
    """Say why a build stopped: the cause first, then the step and its last lines.

    A command of the Dockerfile that failed keeps the meaning of its exit code: 1 a check, 5 wrong bytes.
    """
    where = f"the build stopped at {step or 'its start'}"
    hint = f"the whole log: {log}"
    code = next((int(a or b) for a, b in _CODE.findall(error)), None)
    if code is None or re.search(r"no space left on device", tail, re.IGNORECASE):
        cause = translated(error if code is None else "no space left on device")
        told = f"{cause.message}\n{where}\n{tail}"
        return type(cause)(told, hint=f"{cause.hint}; {hint}" if cause.hint else hint)
    said = next((line.strip() for line in reversed(tail.splitlines()) if line.strip().startswith("error: ")), "")
    told = f"{said.removeprefix('error: ') or where}\n{where} (exit code {code})\n{tail}"
    kinds: dict[int, type[ScaffoldError]] = {1: CheckFailedError, 5: HashMismatchError}
    return kinds.get(code, UnavailableError)(told, hint=hint)


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
    reason = (text.splitlines() or ["it says nothing"])[0]
    if "(" in reason:  # a library's error in another's in another's
        reason = re.split(r": |['\"]|\] ", reason.rstrip("\"')"))[-1]
    at = f" at {host}" if host else ""
    return ToolMissingError(f"no Docker engine answers{at}: {reason[:160]}", hint=hint)
