"""Addresses in locks: which hold a login, and which other people's machines can't reach."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://[^\s'"]+""")
_VARIABLE = re.compile(r"\$\{?\w+\}?")
_TOKEN = re.compile(r"/t/([^/?#]+)(?=[/?#]|$)")
_SECRET_QUERY = re.compile(r"(?i)(?:^|&)(?:[\w-]*(?:token|signature|password|secret|key|credential)[\w-]*)=[^&]+")
REACHABLE = frozenset({"https", "http", "oci", "s3", "gcs"})


def has_credentials(url: str) -> bool:
    """Say whether an address holds a user, password or token itself; `${NAME}` in its place is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "@" in url
    user = parts.netloc.rpartition("@")[0]
    tokens = _TOKEN.findall(parts.path)
    written = [part for part in (*user.split(":"), *tokens) if part]
    return any(not _VARIABLE.fullmatch(part) for part in written) or bool(_SECRET_QUERY.search(parts.query))


def holds_credentials(text: str) -> bool:
    """Say whether any address in `text` does: a requirement, a line of a lock's head."""
    return any(has_credentials(address) for address in _ADDRESS.findall(text))


def without_credentials(url: str) -> str:
    """Take user, password and token out of an address."""
    return _TOKEN.sub("", re.sub(r"(?<=://)[^/@]+@", "", url))


def scheme(url: str) -> str:
    """Give the scheme in lower case; empty for a path."""
    return url.partition("://")[0].lower() if "://" in url else ""
