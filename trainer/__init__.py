"""Training of generators and of the built-in networks."""
