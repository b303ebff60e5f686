"""Recipes that made the built-in weights; each runs from the command line and is resumable."""
