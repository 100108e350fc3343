"""The pinned model file: fetched from any source, decided by hash, kept in a store, placed in a project."""

from nomic_scaffold.adapters.weights.add import add
from nomic_scaffold.adapters.weights.bring import bring, places, pulled
from nomic_scaffold.adapters.weights.fetch import Fetched, addresses, fetch
from nomic_scaffold.adapters.weights.known import known_files, read_manifests
from nomic_scaffold.adapters.weights.place import inspect, place, place_checked
from nomic_scaffold.adapters.weights.store import Store, adopt, open_store
from nomic_scaffold.adapters.weights.wheels import bring_wheels

__all__ = [
    "Fetched",
    "Store",
    "add",
    "addresses",
    "adopt",
    "bring",
    "bring_wheels",
    "fetch",
    "inspect",
    "known_files",
    "open_store",
    "place",
    "place_checked",
    "places",
    "pulled",
    "read_manifests",
]
