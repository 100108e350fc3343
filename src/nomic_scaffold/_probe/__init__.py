"""Run as a folder by the environment's own Python; imports nothing of the tool, and nobody imports it."""
