"""Text <-> model, no input or output of its own."""
