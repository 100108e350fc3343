"""Say to uv what people have said to pip: which index, which certificates, which proxy.

People configure pip (pip.conf, PIP_...); uv reads none of that. Everything goes through the environment of the uv
process: an index URL may hold a password, and a command line can be read by every user of a machine.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_SECTIONS = ("global", "install")
_OWN_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_ELSEWHERE = {
    *("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT"),
    *("UV_WORKING_DIR", "UV_VENV_SEED", "UV_VENV_CLEAR", "UV_VENV_RELOCATABLE"),
}
"""Would point uv at another environment than ours."""
_UNPINNING = {
    *("UV_NO_VERIFY_HASHES", "UV_INSECURE_NO_ZIP_VALIDATION", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE"),
    *("UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_TORCH_BACKEND", "UV_COMPILE_BYTECODE", "UV_CUSTOM_COMPILE_COMMAND"),
    *("UV_RESOLUTION", "UV_FORK_STRATEGY", "UV_PRERELEASE"),
}
"""Would change what is locked or installed, or leave hashes unlooked at."""


def pip_settings(environ: Mapping[str, str], *, prefix: Path | None = None) -> dict[str, str]:
    """Read pip's settings as pip does: global, user and site files, then PIP_CONFIG_FILE's, then PIP_... variables.

    Names are as in pip's files (`index-url`); several values of one setting are separated by white space.
    """
    settings: dict[str, str] = {}
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen != os.devnull:
        files = [*_system_files(environ), *_user_files(environ), (prefix or Path(sys.prefix)) / _basename()]
        for path in [*files, Path(chosen)] if chosen else files:
            settings.update(_read(path))
    for name, value in environ.items():
        if name.startswith("PIP_") and value and name != "PIP_CONFIG_FILE":
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def uv_environment(
    environ: Mapping[str, str], *, prefix: Path | None = None, for_everyone: bool = False
) -> dict[str, str]:
    """Make the environment of a uv process: the user's own, pip's settings in uv's words, nothing that unpins a lock.

    Where uv has index settings of its own in the environment, those stand and pip's are left alone. `for_everyone` is
    for making a lock: extra folders of this machine are left out, since they mostly hold the files of one platform,
    and uv takes the files of a release from one place only.
    """
    pip = pip_settings(environ, prefix=prefix)
    if for_everyone and not no_index(environ, prefix=prefix):
        for name in ("extra-index-url", "find-links"):
            pip[name] = " ".join(place for place in pip.get(name, "").split() if place.startswith(("http:", "https:")))
    result = {name: value for name, value in environ.items() if name not in _ELSEWHERE | _UNPINNING}
    if not result.get("UV_CACHE_DIR", "unset"):
        del result["UV_CACHE_DIR"]  # uv refuses an empty one, and a workflow's `env` can't leave a variable out
    result["NO_COLOR"] = "1"
    if not any(environ.get(name) for name in _OWN_INDEX):
        result.update(_indexes(pip))
    for variable, value in _transport(pip).items():
        result.setdefault(variable, value)
    return result


def no_index(environ: Mapping[str, str], *, prefix: Path | None = None) -> bool:
    """Tell whether pip is told to use no index at all, only folders of files."""
    return pip_settings(environ, prefix=prefix).get("no-index", "").lower() in {"1", "true", "yes", "on"}


def _indexes(pip: Mapping[str, str]) -> dict[str, str]:
    found = {}
    if "index-url" in pip:
        found["UV_DEFAULT_INDEX"] = pip["index-url"].split()[0]
    if extra := pip.get("extra-index-url", "").split():
        found["UV_INDEX"] = " ".join(extra)
    if links := pip.get("find-links", "").split():
        found["UV_FIND_LINKS"] = ",".join(links)
    if extra or links:
        # What pip does: all of its indexes count alike. uv's default would stop at the first that knows a name.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


def _transport(pip: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for setting, variables in {
        "cert": ("SSL_CERT_FILE",),
        "client-cert": ("SSL_CLIENT_CERT",),
        "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
        "default-timeout": ("UV_HTTP_TIMEOUT",),
        "timeout": ("UV_HTTP_TIMEOUT",),
    }.items():
        found.update({variable: pip[setting] for variable in variables if setting in pip})
    if hosts := pip.get("trusted-host", "").split():
        found["UV_INSECURE_HOST"] = " ".join(hosts)
    if pip.get("keyring-provider") in {"subprocess", "import"}:
        found["UV_KEYRING_PROVIDER"] = "subprocess"
    return found


def _read(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    return {
        name.lower().replace("_", "-").removeprefix("--"): value
        for section in _SECTIONS
        if parser.has_section(section)
        for name, value in parser.items(section)
        if value
    }


def _basename() -> str:
    return "pip.ini" if sys.platform == "win32" else "pip.conf"


def _system_files(environ: Mapping[str, str]) -> list[Path]:
    if sys.platform == "win32":
        return [Path(environ.get("PROGRAMDATA", "C:/ProgramData"), "pip", "pip.ini")]
    if sys.platform == "darwin":
        return [Path("/Library/Application Support/pip/pip.conf")]
    folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    return [*(Path(folder, "pip", "pip.conf") for folder in folders), Path("/etc/pip.conf")]


def _user_files(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("USERPROFILE" if sys.platform == "win32" else "HOME") or Path.home())
    if sys.platform == "win32":
        return [home / "pip" / "pip.ini", Path(environ.get("APPDATA") or home / "AppData/Roaming", "pip", "pip.ini")]
    modern = Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    if sys.platform == "darwin" and (home / "Library/Application Support/pip").is_dir():
        modern = home / "Library/Application Support/pip/pip.conf"
    return [home / ".pip" / "pip.conf", modern]
