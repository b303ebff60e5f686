"""The benchmark of quality: a file for each section, `run.py` for all of them."""
