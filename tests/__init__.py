"""The test suite; a package so that rooms and their tests may carry the same names."""
