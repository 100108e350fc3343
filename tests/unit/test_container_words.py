"""What engines and registries say, and what people are told."""

from __future__ import annotations

import io

import pytest

from nomic_scaffold.adapters.container.steps import BuildOutput
from nomic_scaffold.adapters.container.words import stopped, translated
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.progress import Silent

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("said", "sentence", "hint"),
    [
        (
            "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
            "the engine's disk is full",
            "docker system prune",
        ),
        (
            "open /var/lib/docker/overlay2/l: permission denied",
            "the engine may not read or write something",
            "names it",
        ),
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
            "the engine can't reach the registry",
            "--base IMAGE",
        ),
        (
            'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout',
            "the engine can't reach the registry",
            "--base IMAGE",
        ),
        (
            'Get "https://r.example/v2/": net/http: request canceled while waiting for connection '
            "(Client.Timeout exceeded while awaiting headers)",
            "the engine can't reach the registry",
            "--base IMAGE",
        ),
        (
            'Get "https://r.example/v2/": x509: certificate signed by unknown authority',
            "the engine does not trust the registry's certificate",
            "certificate",
        ),
        (
            "pull access denied for nowhere, repository does not exist or may require 'docker login': denied: "
            "requested access to the resource is denied",
            "an image that the Dockerfile starts from can't be had",
            "--base IMAGE",
        ),
        ("denied: installation not allowed to read", "the registry refuses", "docker login"),
        (
            'Get "https://r.example/v2/a/manifests/1": unauthorized: authentication required',
            "the registry wants a login",
            "docker login",
        ),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "an image has nothing for this platform",
            "--platform",
        ),
        (
            "image with reference base:1 was found but does not match the specified platform: wanted linux/arm64, "
            "actual: linux/amd64",
            "an image has nothing for this platform",
            "--platform",
        ),
        (f"manifest for debian@{DIGEST} not found: manifest unknown", "an image that the Dockerfile", "--base IMAGE"),
        (
            "ERROR: BuildKit is enabled but the buildx component is missing or broken.",
            "BuildKit needs docker's buildx plug-in",
            "leave out --buildkit",
        ),
        (
            'could not select device driver "" with capabilities: [[gpu]]',
            "the engine can't give a container the NVIDIA GPU",
            "Container Toolkit",
        ),
        ("something new", "the engine says: something new", ""),
    ],
    ids=[
        "disk-full",
        "permission",
        "no-name",
        "tls-timeout",
        "canceled",
        "certificate",
        "no-such-image",
        "denied",
        "login",
        "manifest",
        "platform",
        "unknown-digest",
        "no-buildx",
        "no-gpu",
        "anything-else",
    ],
)
def test_what_an_engine_says_is_told_in_words_that_help(said: str, sentence: str, hint: str) -> None:
    error = translated(said)
    assert error.message.startswith(sentence)
    assert said in error.message
    assert hint in (error.hint or "")
    assert error.exit_code == (ExitCode.TOOL_MISSING if "buildx" in said else ExitCode.UNAVAILABLE)


@pytest.mark.parametrize(
    ("error", "tail", "first", "code"),
    [
        (
            "The command '/bin/sh -c nomic-scaffold install' returned a non-zero code: 5",
            "  installing\n  error: x-1.conda has other bytes than the lock pins",
            "x-1.conda has other bytes than the lock pins",
            ExitCode.HASH_MISMATCH,
        ),
        (
            'process "/bin/sh -c set -eu" did not complete successfully: exit code: 1',
            "  error: a CPU image with torch for CUDA 12.9",
            "a CPU image with torch for CUDA 12.9",
            ExitCode.CHECK_FAILED,
        ),
        (
            "The command '/bin/sh -c true' returned a non-zero code: 137",
            "  Killed",
            "the build stopped at step 3/9: RUN true",
            ExitCode.UNAVAILABLE,
        ),
        (
            "The command '/bin/sh -c cp a b' returned a non-zero code: 1",
            "  cp: error writing 'b': No space left on device",
            "the engine's disk is full",
            ExitCode.UNAVAILABLE,
        ),
        ("manifest unknown", "  Step 1/9 : FROM x", "an image that the Dockerfile", ExitCode.UNAVAILABLE),
    ],
    ids=["wrong-hash", "mixture", "killed", "disk-full-inside", "no-base"],
)
def test_a_build_that_stopped_names_its_cause_first(error: str, tail: str, first: str, code: ExitCode) -> None:
    told = stopped(error, step="step 3/9: RUN true", tail=tail, log="/p/build.log")
    assert told.message.splitlines()[0].startswith(first)
    assert "step 3/9: RUN true" in told.message
    assert tail in told.message
    assert "/p/build.log" in (told.hint or "")
    assert told.exit_code == code


def test_a_step_is_told_once_however_often_the_engine_names_it() -> None:
    progress, log = Told(), io.StringIO()
    log.name = "build.log"  # type: ignore[misc]
    output = BuildOutput(log, progress)
    for line in (
        "#5 [runtime 2/3] RUN make",
        "#5 0.1 making",
        "#5 [runtime 2/3] RUN make",
        "#6 [runtime 3/3] RUN test",
    ):
        output.write(line + "\n")
    assert progress.words == ["  step runtime 2/3: RUN make", "  step runtime 3/3: RUN test"]
    assert log.getvalue().count("RUN make") == 2


class Told(Silent):
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def say(self, message: str) -> None:
        self.words.append(message)
