"""Which engine is meant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from nomic_scaffold.adapters.container.engine import host


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker's own settings, with a context `far` that is the current one."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": "unix:///far/docker.sock", "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    return tmp_path


def test_the_current_context_of_docker_is_meant(config: Path) -> None:
    assert host() == "unix:///far/docker.sock"


def test_docker_host_goes_before_a_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///near/docker.sock")
    assert host() == "unix:///near/docker.sock"


@pytest.mark.parametrize("settings", ["{}", '{"currentContext": "default"}', '{"currentContext": "gone"}'])
def test_without_either_it_is_the_default_socket(config: Path, settings: str) -> None:
    (config / "config.json").write_text(settings)
    assert host() is None
