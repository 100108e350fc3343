"""Run by the environment's own Python as a folder (`python FOLDER`); imports nothing of the tool, and nobody imports it."""
