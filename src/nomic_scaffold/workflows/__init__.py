"""One module per verb: the order of steps, returning a typed result."""
