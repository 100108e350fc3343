"""Local text embeddings: see `embedding.embed`."""
