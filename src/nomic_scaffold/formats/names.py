"""Names of Python packages on PyPI and on conda-forge."""

from __future__ import annotations

import re

_PYPI = {
    "brotli-python": "brotli",
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "pyarrow-core": "pyarrow",
    "python-build": "build",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "pytables": "tables",
    "pytorch": "torch",
    "ray-core": "ray",
    "ruamel_yaml": "ruamel.yaml",
}
"""conda-forge's name -> PyPI's, where they differ for Python packages of this field."""


def pypi_name(conda_name: str) -> str:
    """Give the normalised name on PyPI of a Python package of conda-forge."""
    return normal_name(_PYPI.get(conda_name, conda_name))


def normal_name(name: str) -> str:
    """Write a package's name as PyPI compares names: `Typing_Extensions` is `typing-extensions`."""
    return re.sub(r"[-_.]+", "-", name).lower()
