"""Chunks rendered on the machines of a Ray cluster. Only here is Ray known."""
