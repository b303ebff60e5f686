"""The benchmark of speed: a file for each section, `run.py` for all of them."""
