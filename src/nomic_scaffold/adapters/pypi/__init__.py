"""Environments out of wheels: lock them, install them by hash, look at what is installed; uv does the work."""

from nomic_scaffold.adapters.pypi.ask_index import ask_index
from nomic_scaffold.adapters.pypi.download import wheelhouse
from nomic_scaffold.adapters.pypi.inspect import inspect
from nomic_scaffold.adapters.pypi.install import install
from nomic_scaffold.adapters.pypi.lock import lock

__all__ = ["ask_index", "inspect", "install", "lock", "wheelhouse"]
