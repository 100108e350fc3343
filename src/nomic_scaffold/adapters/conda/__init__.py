"""conda environments without conda: solve, install, and look at what is installed; py-rattler does the work."""
