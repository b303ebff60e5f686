"""Data sets of aligned faces, for training."""
