"""Reach conda channels the way the user's other conda tools do: their mirrors, logins, proxies and certificates.

Locks always hold canonical addresses (https://conda.anaconda.org/conda-forge/...); where the bytes come from is this
machine's business. Sources, the later the stronger: rattler's and pixi's config.toml (`[mirrors]`), `.condarc`
(`channel_alias`, `custom_channels`, `mirrored_channels`, `proxy_servers`, `ssl_verify`), the environment variable
NOMIC_SCAFFOLD_MIRRORS. Logins: netrc, `rattler auth login` or RATTLER_AUTH_FILE, or in the mirror's address.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import yaml

from nomic_scaffold.errors import InputError

if TYPE_CHECKING:
    from rattler.networking import Client

CANONICAL = "https://conda.anaconda.org"
"""What a channel's bare name is short for in every lock."""
MIRRORS = "NOMIC_SCAFFOLD_MIRRORS"
"""Pairs `CHANNEL_URL=MIRROR_URL`, separated by white space; several mirrors of one channel are several pairs."""
_RETRIES = 3
_VERIFIED = (
    "ssl_verify is false for conda; certificates are verified here all the same: name your own with ssl_verify: FILE"
)


@dataclass(frozen=True, kw_only=True)
class ChannelAccess:
    """Where channels really are for this user."""

    mirrors: dict[str, tuple[str, ...]]
    """Canonical address -> addresses to ask instead, best first; without logins."""
    logins: dict[str, str]
    """Host (with port) -> value of the Authorization header, from addresses with a user and a password in them."""
    environment: dict[str, str]
    """Proxy and certificate variables that the network library reads, where they are not set yet."""
    notes: tuple[str, ...] = ()
    """What of the user's settings is not done, one sentence each."""

    def resolve(self, url: str) -> str:
        """Give the first address that is really asked for `url`."""
        return self.resolve_all(url)[0]

    def resolve_all(self, url: str) -> tuple[str, ...]:
        """Give the addresses that are really asked for `url`, best first."""
        for base in sorted(self.mirrors, key=len, reverse=True):
            if url == base or url.startswith(base.rstrip("/") + "/"):
                return tuple(mirror.rstrip("/") + url[len(base.rstrip("/")) :] for mirror in self.mirrors[base])
        return (url,)


def channel_access(environ: Mapping[str, str], *, home: Path | None = None) -> ChannelAccess:
    """Read how this user reaches channels; raises InputError for a file that is not what it should be."""
    home = home or Path.home()
    found = _toml_mirrors(environ, home)
    condarc = _condarc(environ, home)
    found |= _condarc_mirrors(condarc)
    found |= _own_mirrors(environ)
    logins: dict[str, str] = {}
    mirrors = {base.rstrip("/"): tuple(_without_login(url, logins) for url in urls) for base, urls in found.items()}
    unverified = str(condarc.get("ssl_verify", "")).lower() in ("false", "no", "0")
    return ChannelAccess(
        mirrors=mirrors,
        logins=logins,
        environment=_transport(environ, condarc),
        notes=(_VERIFIED,) if unverified else (),
    )


def open_client(access: ChannelAccess | None = None, *, retries: int = _RETRIES) -> Client:
    """Make the client that all requests to channels go through; it tries `retries` times more, in its own time."""
    from rattler.networking import Client
    from rattler.networking.middleware import (
        AddHeadersMiddleware,
        AuthenticationMiddleware,
        GCSMiddleware,
        MirrorMiddleware,
        OciMiddleware,
        RetryMiddleware,
        S3Middleware,
    )

    access = channel_access(os.environ) if access is None else access
    for name, value in access.environment.items():  # the network library reads only the process's environment
        os.environ.setdefault(name, value)
    logins = access.logins

    def login(host: str, _path: str) -> dict[str, str] | None:
        value = logins.get(host) or next((v for k, v in logins.items() if k.partition(":")[0] == host), None)
        return {"Authorization": value} if value else None

    return Client(
        [
            *([RetryMiddleware(retries)] if retries else []),
            # The mirror comes before the logins: they are looked up for the host that is really asked.
            MirrorMiddleware({base: list(urls) for base, urls in access.mirrors.items()}),
            *([AddHeadersMiddleware(login)] if logins else []),
            AuthenticationMiddleware(),
            OciMiddleware(),
            GCSMiddleware(),
            S3Middleware(),
        ],
        user_agent="nomic-scaffold",
    )


def redact(text: str) -> str:
    """Take logins and tokens out of addresses in `text`."""
    text = re.sub(r"(?<=://)[^/\s@]+@", "***@", text)
    return re.sub(r"/t/[^/\s?#]+", "/t/***", text)


def _own_mirrors(environ: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in environ.get(MIRRORS, "").split():
        base, equals, url = pair.partition("=")
        if not equals or "://" not in base or "://" not in url:
            raise InputError(
                f"{re.sub(r'[^/=@]+@', '***@', redact(pair))!r} is not CHANNEL_URL=MIRROR_URL",
                path=MIRRORS,
                hint=f"export {MIRRORS}={CANONICAL}/conda-forge=https://mirror.example/conda-forge",
            )
        found.setdefault(base, []).append(url)
    return found


def _condarc_mirrors(condarc: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    alias = str(condarc.get("channel_alias") or "").rstrip("/")
    if alias and alias != CANONICAL:
        found[CANONICAL] = [alias]
    for name, location in _mapping(condarc, "custom_channels").items():
        if name != "pkgs" and not str(name).startswith("pkgs/"):
            found[f"{CANONICAL}/{name}"] = [f"{str(location).rstrip('/')}/{name}"]
    for name, locations in _mapping(condarc, "mirrored_channels").items():  # mamba's and micromamba's
        if isinstance(locations, list) and locations:
            found[f"{CANONICAL}/{name}"] = [str(location) for location in locations]
    return {base: urls for base, urls in found.items() if all("://" in url for url in urls)}


def _mapping(condarc: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = condarc.get(key)
    return value if isinstance(value, dict) else {}


def _condarc(environ: Mapping[str, str], home: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in _condarc_files(environ, home):
        for key, value in _read_condarc(path, environ).items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **value} if both else value
    for key in ("channel_alias", "ssl_verify"):
        if value := environ.get(f"CONDA_{key.upper()}"):
            merged[key] = value
    return merged


def _condarc_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """List the files that conda and mamba read, the later the stronger."""
    system = [Path("C:/ProgramData/conda")] if sys.platform == "win32" else [Path("/etc/conda"), Path("/var/lib/conda")]
    configuration = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "conda"
    files: list[Path] = []
    for folder in [*system, *_folder(environ, "CONDA_ROOT"), configuration, home / ".conda"]:
        files += [folder / ".condarc", folder / "condarc", *sorted(folder.glob("condarc.d/*.y*ml"))]
    files += [home / ".condarc", home / ".mambarc"]
    files += [folder / ".condarc" for folder in _folder(environ, "CONDA_PREFIX")]
    return [*files, *_folder(environ, "CONDARC"), *_folder(environ, "MAMBARC")]


def _folder(environ: Mapping[str, str], name: str) -> list[Path]:
    return [Path(environ[name])] if environ.get(name) else []


def _read_condarc(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    # conda, too, replaces ${NAME} by the environment's value: that is how tokens stay out of the file.
    text = re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda m: environ.get(m[1] or m[2], m[0]), text)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", path=path, hint="conda config --show-sources") from error
    return data if isinstance(data, dict) else {}


def _toml_mirrors(environ: Mapping[str, str], home: Path) -> dict[str, list[str]]:
    configuration = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    roots = [Path("/etc/rattler"), Path("/etc/pixi"), configuration / "rattler", configuration / "pixi", home / ".pixi"]
    found: dict[str, list[str]] = {}
    for path in (root / "config.toml" for root in roots):
        try:
            mirrors = tomllib.loads(path.read_text(encoding="utf-8")).get("mirrors", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue  # theirs to complain about
        found |= {base: [str(url) for url in urls] for base, urls in mirrors.items() if isinstance(urls, list) and urls}
    return found


def _without_login(url: str, logins: dict[str, str]) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url
    logins[host] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    return urlunsplit(parts._replace(netloc=host))


def _transport(environ: Mapping[str, str], condarc: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for scheme, url in _mapping(condarc, "proxy_servers").items():
        name = f"{scheme}_proxy".upper()
        if scheme in ("http", "https") and url and name.lower() not in environ:
            found[name] = str(url)
    verify = condarc.get("ssl_verify")
    bundle = verify if isinstance(verify, str) and Path(verify).is_file() else None
    bundle = bundle or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if bundle:
        found["SSL_CERT_FILE"] = bundle
    return found
