"""Local text embeddings: texts in, vectors out, nothing leaves the machine."""

from .embedding import TextError, UnreadableWarning, embed

__all__ = ["TextError", "UnreadableWarning", "embed"]
