"""The self-test: real files, real processes, real SIGKILL, and a checker that imports nothing of this program."""
