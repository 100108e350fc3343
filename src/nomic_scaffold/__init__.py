"""Local text-embedding environments that are the same on every machine, and can prove it."""

__version__ = "0.1.0"
