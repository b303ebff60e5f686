"""The benchmarks: of speed, of quality, and of training; what they share stands here."""
