"""pip's settings, said to uv."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nomic_scaffold.adapters.pypi.index import no_index, pip_settings, uv_environment

posix = pytest.mark.skipif(sys.platform != "linux", reason="the places of pip's files on Linux")


def home(tmp_path: Path, **files: str) -> dict[str, str]:
    """Give an environment whose pip files are these: system, user, legacy, site."""
    places = {
        "system": tmp_path / "xdg" / "pip" / "pip.conf",
        "user": tmp_path / "home" / ".config" / "pip" / "pip.conf",
        "legacy": tmp_path / "home" / ".pip" / "pip.conf",
        "site": tmp_path / "prefix" / "pip.conf",
        "named": tmp_path / "named.conf",
    }
    for name, text in files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_text(text, encoding="utf-8")
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def index(url: str) -> str:
    return f"[global]\nindex-url = {url}\n"


@posix
@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        ({"system": index("a")}, {}, "a"),
        ({"system": index("a"), "user": index("b")}, {}, "b"),
        ({"legacy": index("a"), "user": index("b")}, {}, "b"),
        ({"user": index("a"), "site": index("b")}, {}, "b"),
        ({"site": index("a"), "named": index("b")}, {"PIP_CONFIG_FILE": "named"}, "b"),
        ({"named": index("a")}, {"PIP_CONFIG_FILE": "named", "PIP_INDEX_URL": "b"}, "b"),
        ({"user": "[global]\nindex-url = a\n[install]\nindex_url = b\n"}, {}, "b"),
        ({"user": "[install]\nindex-url = b\n[global]\nindex-url = a\n"}, {}, "b"),
        ({"user": "[download]\nindex-url = a\n"}, {}, None),
        ({"user": "index-url = a\n"}, {}, None),
        ({"user": "\ufeff" + index("a")}, {}, "a"),
    ],
    ids=["system", "user", "legacy", "site", "named", "variable", "section", "order", "other", "broken", "bom"],
)
def test_pips_files_count_as_for_pip(
    tmp_path: Path, files: dict[str, str], variables: dict[str, str], expected: str | None
) -> None:
    environ = {**home(tmp_path, **files), **variables}
    if "PIP_CONFIG_FILE" in environ:
        environ["PIP_CONFIG_FILE"] = str(tmp_path / "named.conf")
    settings = pip_settings(environ, prefix=tmp_path / "prefix")
    # This machine's own /etc/pip.conf is read too, as pip would: the tests set what it must not decide.
    if expected is not None or not Path("/etc/pip.conf").exists():
        assert settings.get("index-url") == expected


def settings(**variables: str) -> dict[str, str]:
    return uv_environment({"PIP_CONFIG_FILE": os.devnull, **variables})


def test_an_empty_place_for_uvs_cache_counts_as_none() -> None:
    assert "UV_CACHE_DIR" not in settings(UV_CACHE_DIR="")
    assert settings(UV_CACHE_DIR="/cache")["UV_CACHE_DIR"] == "/cache"


def test_pip_settings_become_uvs() -> None:
    told = settings(
        PIP_INDEX_URL="https://ann:x@a.example/simple",
        PIP_EXTRA_INDEX_URL="https://b.example/simple https://c.example/simple",
        PIP_FIND_LINKS="/w https://d.example/w",
        PIP_CERT="/etc/ca.pem",
        PIP_CLIENT_CERT="/etc/me.pem",
        PIP_PROXY="http://proxy.example:3128",
        PIP_TRUSTED_HOST="a.example b.example:8080",
        PIP_DEFAULT_TIMEOUT="180",
        PIP_KEYRING_PROVIDER="subprocess",
    )
    expected = {
        "UV_DEFAULT_INDEX": "https://ann:x@a.example/simple",
        "UV_INDEX": "https://b.example/simple https://c.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/w,https://d.example/w",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "SSL_CLIENT_CERT": "/etc/me.pem",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
        "UV_INSECURE_HOST": "a.example b.example:8080",
        "UV_HTTP_TIMEOUT": "180",
        "UV_KEYRING_PROVIDER": "subprocess",
    }
    assert {name: told.get(name) for name in expected} == expected


def test_uvs_own_settings_stand() -> None:
    told = settings(PIP_INDEX_URL="https://a.example", UV_DEFAULT_INDEX="https://u.example", SSL_CERT_FILE="/u.pem")
    assert told["UV_DEFAULT_INDEX"] == "https://u.example"
    assert settings(PIP_CERT="/p.pem", SSL_CERT_FILE="/u.pem")["SSL_CERT_FILE"] == "/u.pem"


@pytest.mark.parametrize("name", ["UV_NO_VERIFY_HASHES", "UV_CONSTRAINT", "VIRTUAL_ENV", "UV_PYTHON", "UV_RESOLUTION"])
def test_what_would_unpin_a_lock_does_not_reach_uv(name: str) -> None:
    assert name not in settings(**{name: "1"})


def test_for_a_lock_only_indexes_that_others_reach_count() -> None:
    environ = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_EXTRA_INDEX_URL": "file:///near/simple https://b.example/simple",
        "PIP_FIND_LINKS": "/w",
    }
    told = uv_environment(environ, for_everyone=True)
    assert told["UV_INDEX"] == "https://b.example/simple"
    assert "UV_FIND_LINKS" not in told
    assert uv_environment(environ)["UV_FIND_LINKS"] == "/w"


def test_without_an_index_local_folders_make_the_lock() -> None:
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w"}
    assert no_index(environ)
    assert uv_environment(environ, for_everyone=True)["UV_FIND_LINKS"] == "/w"
