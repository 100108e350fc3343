"""Run the command line as `python -m nomic_scaffold`."""

from nomic_scaffold.cli.main import main

main()
