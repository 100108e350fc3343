"""Frozen nouns: what the parts of the tool hand to each other."""
