"""A certificate authority that nobody trusts yet, and a server's certificate of it, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_LEAF = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"


def make_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Give the authority's certificate (PEM), and what a server on 127.0.0.1 shows."""
    authority, key = folder / "authority.crt", folder / "authority.key"
    leaf, leaf_key, request = folder / "leaf.crt", folder / "leaf.key", folder / "leaf.csr"
    (folder / "leaf.ext").write_text(_LEAF)
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-sha256"]
    for arguments in (
        [*new, "-x509", "-days", "30", "-subj", "/CN=tests", "-keyout", str(key), "-out", str(authority)],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", str(leaf_key), "-out", str(request)],
        [
            *("x509", "-req", "-in", str(request), "-days", "30", "-CA", str(authority), "-CAkey", str(key)),
            *("-CAcreateserial", "-extfile", str(folder / "leaf.ext"), "-out", str(leaf)),
        ],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf, leaf_key)
    return authority, context
