"""conda environments without conda: solve, install, and look at what is installed; py-rattler does the work.

Submodules are imported by name where they are used: `lock --check` has no time for what an installation needs.
"""
