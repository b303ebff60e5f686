"""Face parsing and masks: which pixels belong to which part of a face."""
