"""Docker: the only place that talks to an engine."""
