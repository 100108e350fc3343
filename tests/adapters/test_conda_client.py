"""Channels are reached as the user's other conda tools reach them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda.client import CANONICAL, channel_access, open_client, redact
from nomic_scaffold.errors import InputError

FORGE = f"{CANONICAL}/conda-forge"
FILE = "/linux-64/x-1-0.conda"


@pytest.mark.parametrize(
    ("condarc", "asked"),
    [
        pytest.param("", FORGE, id="nothing configured"),
        pytest.param("channel_alias: https://m.example/conda/", "https://m.example/conda/conda-forge", id="alias"),
        pytest.param(
            "custom_channels:\n  conda-forge: https://c.example/conda\nchannel_alias: https://m.example",
            "https://c.example/conda/conda-forge",
            id="custom channel beats alias",
        ),
        pytest.param(
            "mirrored_channels:\n  conda-forge: [https://a.example/cf, https://b.example/cf]",
            "https://a.example/cf",
            id="mamba's mirrored channels",
        ),
        pytest.param("channel_alias: https://${SITE}/conda", "https://site.example/conda/conda-forge", id="variable"),
        pytest.param("custom_channels:\n  other: https://c.example", FORGE, id="another channel"),
    ],
)
def test_condarc_says_where_a_channel_is(tmp_path: Path, condarc: str, asked: str) -> None:
    (tmp_path / ".condarc").write_text(condarc)
    access = channel_access({"SITE": "site.example"}, home=tmp_path)
    assert access.resolve(FORGE + FILE) == asked + FILE


def test_stronger_sources_win(tmp_path: Path) -> None:
    (tmp_path / ".config" / "rattler").mkdir(parents=True)
    (tmp_path / ".config" / "rattler" / "config.toml").write_text(f'[mirrors]\n"{FORGE}" = ["https://toml.example"]\n')
    assert channel_access({}, home=tmp_path).resolve(FORGE + FILE) == "https://toml.example" + FILE
    (tmp_path / "rc").write_text("custom_channels: {conda-forge: https://rc.example}")
    environ = {"CONDARC": str(tmp_path / "rc")}
    assert channel_access(environ, home=tmp_path).resolve(FORGE + FILE) == "https://rc.example/conda-forge" + FILE
    environ["NOMIC_SCAFFOLD_MIRRORS"] = f"{FORGE}=https://own.example/x"
    assert channel_access(environ, home=tmp_path).resolve(FORGE + FILE) == "https://own.example/x" + FILE


def test_proxies_and_certificates_of_condarc_reach_the_network_library(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    (tmp_path / ".condarc").write_text(f"proxy_servers: {{https: 'http://p:3128'}}\nssl_verify: {bundle}\n")
    assert channel_access({}, home=tmp_path).environment == {
        "HTTPS_PROXY": "http://p:3128",
        "SSL_CERT_FILE": str(bundle),
    }


def test_a_malformed_override_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"NOMIC_SCAFFOLD_MIRRORS: 'conda-forge' is not CHANNEL_URL=MIRROR_URL"):
        channel_access({"NOMIC_SCAFFOLD_MIRRORS": "conda-forge"}, home=tmp_path)


@pytest.mark.parametrize("pair", ["https://a.example=me:hunter2@b.example", "a.example=https://me:hunter2@b.example"])
def test_a_password_in_a_malformed_override_is_not_shown(tmp_path: Path, pair: str) -> None:
    with pytest.raises(InputError, match="is not CHANNEL_URL=MIRROR_URL") as caught:
        channel_access({"NOMIC_SCAFFOLD_MIRRORS": pair}, home=tmp_path)
    assert "hunter2" not in caught.value.message
    assert "b.example" in caught.value.message


@pytest.mark.parametrize(("value", "notes"), [("false", 1), ("true", 0), ("/etc/ca.pem", 0)])
def test_certificates_are_verified_whatever_condarc_says_and_that_is_told(
    tmp_path: Path, value: str, notes: int
) -> None:
    (tmp_path / ".condarc").write_text(f"ssl_verify: {value}\n")
    assert len(channel_access({}, home=tmp_path).notes) == notes


def test_every_mirror_of_a_channel_is_named(tmp_path: Path) -> None:
    environ = {"NOMIC_SCAFFOLD_MIRRORS": f"{FORGE}=https://a.example/x {FORGE}=https://b.example/y/"}
    asked = channel_access(environ, home=tmp_path).resolve_all(FORGE)
    assert asked == ("https://a.example/x", "https://b.example/y")


def test_a_broken_condarc_is_named(tmp_path: Path) -> None:
    (tmp_path / ".condarc").write_text("a: [")
    with pytest.raises(InputError, match=r"\.condarc: not valid YAML"):
        channel_access({}, home=tmp_path)


def test_secrets_are_not_shown() -> None:
    text = redact("https://bob:secret@m.example/t/token/conda-forge failed")
    assert text == "https://***@m.example/t/***/conda-forge failed"
    assert redact("could not read https://m.example/t/to-ken") == "could not read https://m.example/t/***"


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str | None]]]:
    """A server that notes the Authorization header of each request."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(200 if seen[-1] else 401)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


def fetch(environ: dict[str, str], home: Path) -> bytes:
    from rattler.package_streaming import download_bytes

    async def run() -> bytes:
        return bytes(await download_bytes(open_client(channel_access(environ, home=home)), FORGE + FILE))

    return asyncio.run(run())


def test_a_login_in_the_mirrors_address_is_sent_to_it(tmp_path: Path, guarded: tuple[str, list[str | None]]) -> None:
    host, seen = guarded
    assert fetch({"NOMIC_SCAFFOLD_MIRRORS": f"{FORGE}=http://bob:s%40cret@{host}/cf"}, tmp_path) == b"ok"
    assert seen == ["Basic " + base64.b64encode(b"bob:s@cret").decode()]


def test_netrc_is_asked_for_the_mirrors_host(
    tmp_path: Path, guarded: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, seen = guarded
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert fetch({"NOMIC_SCAFFOLD_MIRRORS": f"{FORGE}=http://{host}/cf"}, tmp_path) == b"ok"
    assert seen == ["Basic " + base64.b64encode(b"u:p").decode()]
